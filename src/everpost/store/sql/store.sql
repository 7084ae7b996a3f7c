-- Identifiers, generations, audit, workers.

-- name: next_id_block
SELECT nextval('id_block');

-- name: next_worker_run
SELECT nextval('worker_run');

-- name: share_generations
-- Taken first by every intake transaction: while it runs, no switch is thrown; it sees the switches as they are.
SELECT share_generations();

-- name: generations
SELECT (SELECT value FROM generation WHERE name = 'continuity') AS continuity,
       (SELECT value FROM generation WHERE name = 'directory') AS directory;

-- name: advance_generation
-- Waits for intake transactions that run under the old state; those that come later see the new one.
WITH barrier AS MATERIALIZED (SELECT pg_advisory_xact_lock(1163284301) AS taken)
UPDATE generation SET value = value + 1 FROM barrier WHERE name = $1 RETURNING value;

-- name: notify
SELECT pg_notify($1, $2);

-- name: insert_audit
WITH event AS (
    INSERT INTO audit_event (organisation_id, id, at, actor, action, subject, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING organisation_id, id
)
INSERT INTO audit_unlinked (organisation_id, event_id) SELECT organisation_id, id FROM event;

-- name: unlinked_events
-- Read in the order of the key: the table is never large, but much has come and gone in it.
SELECT e.organisation_id, e.id, e.at, e.actor, e.action, e.subject, e.detail
FROM (SELECT organisation_id, event_id FROM audit_unlinked ORDER BY 1, 2 LIMIT 1000 FOR UPDATE) AS u
JOIN audit_event e ON e.organisation_id = u.organisation_id AND e.id = u.event_id
ORDER BY u.organisation_id, u.event_id;

-- name: last_links
-- The end of each chain, found from its end: chains grow for years.
SELECT o.organisation_id, l.sequence, l.hash
FROM unnest($1::bigint[]) AS o(organisation_id)
CROSS JOIN LATERAL (
    SELECT sequence, hash FROM audit_link WHERE organisation_id = o.organisation_id ORDER BY sequence DESC LIMIT 1
) AS l;

-- name: insert_links
INSERT INTO audit_link (organisation_id, sequence, event_id, hash)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]);

-- name: delete_unlinked
DELETE FROM audit_unlinked u
USING unnest($1::bigint[], $2::bigint[]) AS done(organisation_id, event_id)
WHERE u.organisation_id = done.organisation_id AND u.event_id = done.event_id;

-- name: chain_page
SELECT l.sequence, l.hash, e.id, e.at, e.actor, e.action, e.subject, e.detail
FROM audit_link l LEFT JOIN audit_event e ON e.organisation_id = l.organisation_id AND e.id = l.event_id
WHERE l.organisation_id = $1 AND l.sequence > $2
ORDER BY l.sequence LIMIT $3;

-- name: audit_recent
SELECT id, at, actor, action, subject, detail FROM audit_event
WHERE organisation_id = $1 AND ($2::text IS NULL OR action LIKE $2 || '%')
ORDER BY id DESC LIMIT $3;

-- name: insert_blob
INSERT INTO blob (organisation_id, id, wrapped_key, size, chunks, data, uploaded_by)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: insert_blob_chunk
INSERT INTO blob_chunk (organisation_id, blob_id, number, data) VALUES ($1, $2, $3, $4);

-- name: read_blob
SELECT wrapped_key, size, chunks, data FROM blob WHERE organisation_id = $1 AND id = $2;

-- name: read_blobs
SELECT organisation_id, id, wrapped_key, size, chunks, data FROM blob
WHERE (organisation_id, id) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]));

-- name: read_blob_chunk
SELECT data FROM blob_chunk WHERE organisation_id = $1 AND blob_id = $2 AND number = $3;

-- name: organisation_key
SELECT wrapped_key FROM organisation WHERE id = $1;

-- name: worker_seen
INSERT INTO worker (run, host, pid, generation) VALUES ($1, $2, $3, $4)
ON CONFLICT (run) DO UPDATE SET seen_at = now(), generation = excluded.generation;

-- name: worker_gone
DELETE FROM worker WHERE run = $1;

-- name: workers_of_host
SELECT run, pid FROM worker WHERE host = $1;

-- name: workers_lost
DELETE FROM worker WHERE seen_at < now() - interval '1 hour';

-- name: workers_behind
SELECT count(*) FROM worker WHERE generation < $1 AND seen_at > now() - interval '10 seconds';
