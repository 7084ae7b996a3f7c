-- How people like the webmail.

-- name: of_mailbox
SELECT document FROM preference WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: save
INSERT INTO preference (organisation_id, mailbox_id, document) VALUES ($1, $2, $3)
ON CONFLICT (organisation_id, mailbox_id) DO UPDATE SET document = excluded.document;
