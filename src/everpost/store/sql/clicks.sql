-- Links of delivery copies that somebody has opened.

-- name: record
-- One row for each link of a message, however often it is clicked: a stranger who repeats it fills nothing.
INSERT INTO click (organisation_id, message_id, url_digest, url, blocked, first_at, last_at)
SELECT $1, $2, $3, $4, $5, $6, $6
WHERE EXISTS (SELECT 1 FROM message WHERE organisation_id = $1 AND id = $2)
ON CONFLICT (organisation_id, message_id, url_digest)
DO UPDATE SET times = click.times + 1, last_at = excluded.last_at, blocked = excluded.blocked;

-- name: of_message
SELECT url, blocked, times, first_at, last_at FROM click
WHERE organisation_id = $1 AND message_id = $2 ORDER BY first_at, url_digest LIMIT 1000;
