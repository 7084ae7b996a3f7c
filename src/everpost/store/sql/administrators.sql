-- Administrators: how they prove who they are.

-- name: insert_administrator
INSERT INTO administrator (organisation_id, id, name, secret) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO NOTHING RETURNING id;

-- name: administrators
SELECT a.id, a.name, a.organisation_id, o.name AS organisation, a.created_at,
       (SELECT count(*) FROM administrator_session s
        WHERE s.organisation_id = a.organisation_id AND s.administrator_id = a.id AND s.expires_at > now()) AS sessions,
       (SELECT count(*) FROM administrator_token t
        WHERE t.organisation_id = a.organisation_id AND t.administrator_id = a.id AND t.expires_at > now()) AS tokens
FROM administrator a LEFT JOIN organisation o ON o.id = a.organisation_id
ORDER BY a.name;

-- name: administrator_by_name
SELECT organisation_id, id, name, secret FROM administrator WHERE name = $1;

-- name: lock_administrator
SELECT organisation_id, id, name FROM administrator WHERE name = $1 FOR UPDATE;

-- name: set_password
UPDATE administrator SET secret = $3 WHERE organisation_id = $1 AND id = $2;

-- name: delete_administrator
DELETE FROM administrator WHERE organisation_id = $1 AND id = $2;

-- name: insert_session
INSERT INTO administrator_session (organisation_id, id, administrator_id, secret, client, expires_at)
SELECT organisation_id, $2, id, $4, $5, now() + $6 FROM administrator WHERE organisation_id = $1 AND id = $3;

-- name: by_session
SELECT a.organisation_id, a.id, a.name, s.seen_at < now() - interval '1 minute' AS stale
FROM administrator_session s
JOIN administrator a ON a.organisation_id = s.organisation_id AND a.id = s.administrator_id
WHERE s.secret = $1 AND s.expires_at > now() AND s.seen_at > now() - $2::interval;

-- name: session_seen
UPDATE administrator_session SET seen_at = now() WHERE secret = $1;

-- name: delete_session
DELETE FROM administrator_session WHERE secret = $1;

-- name: delete_sessions
DELETE FROM administrator_session WHERE organisation_id = $1 AND administrator_id = $2;

-- name: insert_token
INSERT INTO administrator_token (organisation_id, id, administrator_id, secret, expires_at)
VALUES ($1, $2, $3, $4, $5);

-- name: by_token
SELECT a.organisation_id, a.id, a.name FROM administrator_token t
JOIN administrator a ON a.organisation_id = t.organisation_id AND a.id = t.administrator_id
WHERE t.secret = $1 AND t.expires_at > now();

-- name: delete_tokens
DELETE FROM administrator_token WHERE organisation_id = $1 AND administrator_id = $2 RETURNING id;

-- name: delete_old_sessions
DELETE FROM administrator_session WHERE expires_at < now() OR seen_at < now() - $1::interval;

-- name: delete_old_tokens
DELETE FROM administrator_token WHERE expires_at < now();
