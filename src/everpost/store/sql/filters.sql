-- People's filters, and the messages that they pass on.

-- name: of_mailbox
-- In the order in which they act. A filter is broken where the folder it names is gone.
SELECT f.id, f.name, f.sort_order, f.enabled, f.match, f.conditions, f.folder_id, f.keywords, f.forward_to, f.stop,
       f.folder_id IS NOT NULL AND o.id IS NULL AS broken
FROM filter f LEFT JOIN folder o
  ON o.organisation_id = f.organisation_id AND o.mailbox_id = f.mailbox_id AND o.id = f.folder_id
WHERE f.organisation_id = $1 AND f.mailbox_id = $2
ORDER BY f.sort_order, f.id;

-- name: save
INSERT INTO filter (organisation_id, mailbox_id, id, name, sort_order, enabled, match, conditions, folder_id, keywords,
                    forward_to, stop)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (organisation_id, mailbox_id, id) DO UPDATE SET
    name = excluded.name, sort_order = excluded.sort_order, enabled = excluded.enabled, match = excluded.match,
    conditions = excluded.conditions, folder_id = excluded.folder_id, keywords = excluded.keywords,
    forward_to = excluded.forward_to, stop = excluded.stop;

-- name: delete
DELETE FROM filter WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3;

-- name: set_state
UPDATE mailbox m SET filters_modseq = CASE WHEN EXISTS (
    SELECT 1 FROM filter f WHERE f.organisation_id = $1 AND f.mailbox_id = $2 AND f.enabled) THEN $3 ELSE 0 END
WHERE m.organisation_id = $1 AND m.id = $2;

-- name: newest_in_folder
SELECT message_id FROM placement WHERE organisation_id = $1 AND mailbox_id = $2 AND folder_id = $3
ORDER BY received_at DESC, message_id DESC LIMIT $4;

-- name: forwarding
SELECT forwarding FROM organisation WHERE id = $1;

-- name: owe
INSERT INTO forward (organisation_id, mailbox_id, message_id, address, filter_id, at, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, $6);

-- name: due
SELECT f.organisation_id, f.mailbox_id, f.message_id, f.address, m.blob_id, m.reverse_path, m.body, m.smtputf8,
       m.trace, m.edits, m.size, o.forwarding
FROM forward f
JOIN message m ON m.organisation_id = f.organisation_id AND m.id = f.message_id
JOIN organisation o ON o.id = f.organisation_id
WHERE f.done_at IS NULL AND f.next_attempt_at <= $1
ORDER BY f.next_attempt_at LIMIT $2;

-- name: settle
UPDATE forward SET done_at = $5, outcome = $6, forwarded_id = $7
WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = $3 AND address = $4 AND done_at IS NULL
RETURNING message_id;

-- name: put_off
UPDATE forward SET next_attempt_at = $5
WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = $3 AND address = $4 AND done_at IS NULL;

-- name: sent_since
SELECT count(*) FROM forward
WHERE organisation_id = $1 AND mailbox_id = $2 AND done_at > $3 AND outcome = 'sent';

-- name: problems
-- Of each filter, why it did not pass on a message when it last did not.
SELECT DISTINCT ON (filter_id) filter_id, outcome FROM forward
WHERE organisation_id = $1 AND mailbox_id = $2 AND done_at > $3 AND outcome <> 'sent'
ORDER BY filter_id, done_at DESC;

-- name: forget
DELETE FROM forward WHERE (organisation_id, mailbox_id, message_id, address) IN (
    SELECT organisation_id, mailbox_id, message_id, address FROM forward WHERE done_at < $1 LIMIT 5000);
