-- How people prove who they are.

-- name: login_by_address
SELECT m.organisation_id, m.id AS mailbox_id, m.name, d.written AS address, m.status,
       (SELECT c.secret FROM credential c
        WHERE c.organisation_id = m.organisation_id AND c.mailbox_id = m.id AND c.kind = 'password') AS secret
FROM address a
JOIN mailbox m ON m.organisation_id = a.organisation_id AND m.id = a.mailbox_id
JOIN address d ON d.organisation_id = m.organisation_id AND d.mailbox_id = m.id AND d.is_default
WHERE a.key = $1;

-- name: login_by_token
SELECT m.organisation_id, m.id AS mailbox_id, m.name, d.written AS address
FROM credential c
JOIN mailbox m ON m.organisation_id = c.organisation_id AND m.id = c.mailbox_id AND m.status = 'active'
JOIN address d ON d.organisation_id = m.organisation_id AND d.mailbox_id = m.id AND d.is_default
WHERE c.kind = 'token' AND c.secret = $1 AND (c.expires_at IS NULL OR c.expires_at > now());

-- name: insert_session
INSERT INTO web_session (organisation_id, id, mailbox_id, secret, client, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6);

-- name: login_by_session
SELECT m.organisation_id, m.id AS mailbox_id, m.name, d.written AS address, s.seen_at < now() - interval '1 minute' AS stale
FROM web_session s
JOIN mailbox m ON m.organisation_id = s.organisation_id AND m.id = s.mailbox_id AND m.status = 'active'
JOIN address d ON d.organisation_id = m.organisation_id AND d.mailbox_id = m.id AND d.is_default
WHERE s.secret = $1 AND s.expires_at > now() AND s.seen_at > now() - $2::interval;

-- name: session_seen
UPDATE web_session SET seen_at = now() WHERE secret = $1;

-- name: delete_session
DELETE FROM web_session WHERE secret = $1;

-- name: delete_sessions
DELETE FROM web_session WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: delete_old_sessions
DELETE FROM web_session WHERE expires_at < now() OR seen_at < now() - $1::interval;

-- name: lock_credentials
SELECT id FROM mailbox WHERE organisation_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: delete_passwords
DELETE FROM credential WHERE organisation_id = $1 AND mailbox_id = $2 AND kind = 'password' RETURNING id;

-- name: insert_credential
INSERT INTO credential (organisation_id, id, mailbox_id, kind, label, secret, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: tokens
SELECT id, label, created_at, expires_at FROM credential
WHERE organisation_id = $1 AND mailbox_id = $2 AND kind = 'token' ORDER BY created_at, id;

-- name: delete_token
DELETE FROM credential WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3 AND kind = 'token' RETURNING label;
