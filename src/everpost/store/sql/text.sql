-- Full text search: what is to be indexed, and how far that has come.

-- name: mailboxes_behind
SELECT m.organisation_id, m.id FROM mailbox m
LEFT JOIN mailbox_text t ON t.organisation_id = m.organisation_id AND t.mailbox_id = m.id
WHERE m.modseq > coalesce(t.modseq, 0) LIMIT $1;

-- name: progress
SELECT m.modseq AS current, coalesce(t.modseq, 0) AS reached FROM mailbox m
LEFT JOIN mailbox_text t ON t.organisation_id = m.organisation_id AND t.mailbox_id = m.id
WHERE m.organisation_id = $1 AND m.id = $2;

-- name: appeared
-- Messages that came into a mailbox in ($3, $4]; those that are indexed already have no blob to read.
SELECT c.modseq, c.message_id, m.blob_id, m.size, m.received_at, m.summary, m.structure, t.message_id IS NOT NULL AS known
FROM (
    SELECT modseq, message_id FROM change
    WHERE organisation_id = $1 AND mailbox_id = $2 AND modseq > $3 AND modseq <= $4 AND kind IN ('received', 'created')
    ORDER BY modseq LIMIT $5
) c
JOIN message m ON m.organisation_id = $1 AND m.id = c.message_id
LEFT JOIN message_text t ON t.organisation_id = $1 AND t.message_id = c.message_id
ORDER BY c.modseq;

-- name: insert_text
INSERT INTO message_text (organisation_id, message_id, words, header, from_key, to_key, subject_key, sent_at)
VALUES ($1, $2, $3::text::tsvector, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING;

-- name: set_progress
INSERT INTO mailbox_text (organisation_id, mailbox_id, modseq) VALUES ($1, $2, $3)
ON CONFLICT (organisation_id, mailbox_id) DO UPDATE SET modseq = greatest(mailbox_text.modseq, excluded.modseq);
