-- Rules of organisations, by version.

-- name: current
SELECT version, document, actor, reason, at FROM policy WHERE organisation_id = $1 ORDER BY version DESC LIMIT 1;

-- name: version
SELECT version, document, actor, reason, at FROM policy WHERE organisation_id = $1 AND version = $2;

-- name: versions
SELECT version, actor, reason, at FROM policy WHERE organisation_id = $1 ORDER BY version DESC LIMIT 200;

-- name: lock
-- Two who change the rules at once are told apart by the number they began with.
SELECT id FROM organisation WHERE id = $1 FOR NO KEY UPDATE;

-- name: insert
INSERT INTO policy (organisation_id, version, document, actor, reason, at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: groups
SELECT id, lower(name) AS name FROM mail_group WHERE organisation_id = $1;

-- name: past_messages
-- At most $4 of those accepted since $2, from below number $3 on downwards.
SELECT m.id, m.blob_id, m.direction, m.reverse_path, m.received_at, m.client, m.trace, m.verdict, m.subject,
       d.recipients, d.accepted, d.mailboxes
FROM message m CROSS JOIN LATERAL (
    SELECT array_agg(recipient ORDER BY number) AS recipients, array_agg(accepted_as ORDER BY number) AS accepted,
           array_agg(mailbox_id ORDER BY number) AS mailboxes
    FROM delivery WHERE organisation_id = m.organisation_id AND message_id = m.id
) d
WHERE m.organisation_id = $1 AND m.received_at >= $2 AND m.id < $3 AND d.recipients IS NOT NULL
ORDER BY m.id DESC LIMIT $4;
