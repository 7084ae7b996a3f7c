-- Automatic answers of people who are away.

-- name: waiting
-- Mailboxes with an answer switched on that got something since it was last looked.
SELECT v.organisation_id, v.mailbox_id, v.enabled, v.from_date, v.to_date, v.subject, v.text_body, v.html_body,
       v.answered_modseq, m.modseq, m.name
FROM vacation v JOIN mailbox m ON m.organisation_id = v.organisation_id AND m.id = v.mailbox_id
WHERE v.enabled AND m.status = 'active' AND m.modseq > v.answered_modseq LIMIT $1;

-- name: came
SELECT c.modseq, m.blob_id, m.reverse_path, m.received_at, m.message_id, m.subject
FROM change c JOIN message m ON m.organisation_id = c.organisation_id AND m.id = c.message_id
WHERE c.organisation_id = $1 AND c.mailbox_id = $2 AND c.modseq > $3 AND c.modseq <= $4
  AND c.kind = 'received' AND c.folder_id = $5
ORDER BY c.modseq LIMIT $6;

-- name: answered
UPDATE vacation SET answered_modseq = greatest(answered_modseq, $3) WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: tell
INSERT INTO vacation_told (organisation_id, mailbox_id, address, at) VALUES ($1, $2, $3, $4)
ON CONFLICT (organisation_id, mailbox_id, address) DO UPDATE SET at = excluded.at WHERE vacation_told.at < $5
RETURNING at;
