-- How much people and primaries send.

-- name: relaxed
-- These counts may lose what was counted in the last moments before a crash of the database; they must not wait for disks.
SET LOCAL synchronous_commit TO off;

-- name: known
-- Of senders and recipients (paired arrays), those who have been written to, and when that was noted.
SELECT c.organisation_id, c.sender, c.recipient, c.seen
FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS a(organisation_id, sender, recipient)
JOIN correspondent c USING (organisation_id, sender, recipient);

-- name: count
-- Add to the counts of hours; answers each with what it is now, that of the hour before, and of the 23 hours before.
WITH counted AS (
    INSERT INTO sending_count AS c (organisation_id, sender, hour, messages, recipients, strangers)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::int[], $5::int[], $6::int[])
        AS a(organisation_id, sender, hour, messages, recipients, strangers)
    ORDER BY organisation_id, sender, hour
    ON CONFLICT (organisation_id, sender, hour) DO UPDATE SET
        messages = greatest(0, c.messages + excluded.messages),
        recipients = greatest(0, c.recipients + excluded.recipients),
        strangers = greatest(0, c.strangers + excluded.strangers)
    RETURNING c.*
)
SELECT n.*, b.*
FROM counted n, LATERAL (
    SELECT coalesce(sum(o.messages) FILTER (WHERE o.hour = n.hour - interval '1 hour'), 0)::int AS last_messages,
           coalesce(sum(o.recipients) FILTER (WHERE o.hour = n.hour - interval '1 hour'), 0)::int AS last_recipients,
           coalesce(sum(o.strangers) FILTER (WHERE o.hour = n.hour - interval '1 hour'), 0)::int AS last_strangers,
           coalesce(sum(o.messages), 0)::int AS before_messages,
           coalesce(sum(o.recipients), 0)::int AS before_recipients,
           coalesce(sum(o.strangers), 0)::int AS before_strangers
    FROM sending_count o
    WHERE o.organisation_id = n.organisation_id AND o.sender = n.sender
      AND o.hour >= n.hour - interval '23 hours' AND o.hour < n.hour
) b;

-- name: learn
INSERT INTO correspondent AS c (organisation_id, sender, recipient, seen)
SELECT DISTINCT organisation_id, sender, recipient, $4::date
FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS a(organisation_id, sender, recipient)
ORDER BY organisation_id, sender, recipient
ON CONFLICT (organisation_id, sender, recipient) DO UPDATE SET seen = greatest(c.seen, excluded.seen);

-- name: forget_counts
DELETE FROM sending_count WHERE hour < now() - interval '2 days';

-- name: forget_correspondents
DELETE FROM correspondent WHERE seen < current_date - 400;

-- name: forget_told
DELETE FROM sending_told WHERE at < now() - interval '2 days';

-- name: tell
-- A row where it is time to tell administrators: they have not heard of this sender for a day.
INSERT INTO sending_told AS t (organisation_id, sender, at) VALUES ($1, $2, $3)
ON CONFLICT (organisation_id, sender) DO UPDATE SET at = excluded.at WHERE t.at < excluded.at - interval '1 day'
RETURNING sender;

-- name: primary_name
SELECT name FROM primary_server WHERE organisation_id = $1 AND id = $2;
