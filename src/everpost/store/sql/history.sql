-- What a mailbox had before.

-- name: marks
SELECT place, validity, position FROM history_mark
WHERE organisation_id = $1 AND mailbox_id = $2 AND source = $3;

-- name: items
SELECT item FROM history_item WHERE organisation_id = $1 AND mailbox_id = $2 AND source = $3 AND place = $4;

-- name: set_mark
INSERT INTO history_mark (organisation_id, mailbox_id, source, place, validity, position) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (organisation_id, mailbox_id, source, place)
DO UPDATE SET validity = excluded.validity, position = excluded.position;

-- name: insert_items
INSERT INTO history_item (organisation_id, mailbox_id, source, place, item)
SELECT $1, $2, $3, $4, unnest($5::bigint[]) ON CONFLICT DO NOTHING;

-- name: standing_content
-- Entries of the mailbox that have one of these contents: by conversation ($3, $4), or without a Message-ID ($5).
-- `free`: nobody changed them here since they came; `untouched`: nothing did.
WITH found AS (
    SELECT e.*, m.content_digest
    FROM unnest($3::bigint[], $4::bytea[]) AS w(thread_id, digest)
    JOIN entry e ON e.organisation_id = $1 AND e.mailbox_id = $2 AND e.thread_id = w.thread_id
    JOIN message m ON m.organisation_id = $1 AND m.id = e.message_id AND m.content_digest = w.digest
    UNION
    SELECT e.*, m.content_digest
    FROM unnest($5::bytea[]) AS w(digest)
    JOIN message m ON m.organisation_id = $1 AND m.message_id IS NULL AND m.content_digest = w.digest
    JOIN entry e ON e.organisation_id = $1 AND e.mailbox_id = $2 AND e.message_id = m.id
)
SELECT f.content_digest, f.message_id, f.folder_ids, f.keywords, f.origin,
       coalesce(c.kind = 'received' OR c.followed, false) AS free, coalesce(c.kind = 'received', false) AS untouched
FROM found f LEFT JOIN change c ON c.organisation_id = $1 AND c.mailbox_id = $2 AND c.modseq = f.modseq
ORDER BY f.message_id;

-- name: standing_message_ids
-- Entries of the mailbox whose messages have one of these Message-IDs, as standing_content tells them.
SELECT m.message_id AS header_id, e.message_id, e.folder_ids, e.keywords, e.origin,
       coalesce(c.kind = 'received' OR c.followed, false) AS free, coalesce(c.kind = 'received', false) AS untouched
FROM unnest($3::bigint[], $4::text[]) AS w(thread_id, header_id)
JOIN entry e ON e.organisation_id = $1 AND e.mailbox_id = $2 AND e.thread_id = w.thread_id
JOIN message m ON m.organisation_id = $1 AND m.id = e.message_id AND m.message_id = w.header_id
LEFT JOIN change c ON c.organisation_id = $1 AND c.mailbox_id = $2 AND c.modseq = e.modseq
ORDER BY e.message_id;
