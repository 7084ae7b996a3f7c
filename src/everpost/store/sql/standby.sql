-- Standby mailboxes: folders, entries, the change log, uploads, what was submitted.

-- name: modseq
SELECT modseq FROM mailbox WHERE organisation_id = $1 AND id = $2;

-- name: modseqs
SELECT m.organisation_id, m.id, m.modseq FROM mailbox m
JOIN unnest($1::bigint[], $2::bigint[]) AS w(organisation_id, id) USING (organisation_id, id);

-- name: kinds_since
-- What was changed in each mailbox between two of its states.
SELECT DISTINCT c.organisation_id, c.mailbox_id, c.kind, CASE WHEN c.kind = 'settings' THEN c.detail->>'what' END AS about
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w(organisation_id, mailbox_id, since, until)
JOIN change c ON c.organisation_id = w.organisation_id AND c.mailbox_id = w.mailbox_id
             AND c.modseq > w.since AND c.modseq <= w.until;

-- name: lock_mailbox
-- Orders the change log: whoever changes a mailbox, intake included, holds this lock until the commit.
SELECT modseq FROM mailbox WHERE organisation_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: set_modseq
UPDATE mailbox SET modseq = $3 WHERE organisation_id = $1 AND id = $2;

-- name: entries
-- The structure is read only where $4 asks for it.
SELECT e.message_id AS id, e.received_at, e.thread_id, e.folder_ids, e.keywords, e.origin, e.modseq,
       m.blob_id, m.size, m.summary, CASE WHEN $4 THEN m.structure END AS structure
FROM entry e JOIN message m ON m.organisation_id = e.organisation_id AND m.id = e.message_id
WHERE e.organisation_id = $1 AND e.mailbox_id = $2 AND e.message_id = ANY($3::bigint[]);

-- name: entries_to_change
SELECT e.message_id AS id, e.received_at, e.thread_id, e.folder_ids, e.keywords, e.origin, e.modseq,
       m.message_id AS header_id
FROM entry e JOIN message m ON m.organisation_id = e.organisation_id AND m.id = e.message_id
WHERE e.organisation_id = $1 AND e.mailbox_id = $2 AND e.message_id = ANY($3::bigint[]);

-- name: newest_entries
SELECT message_id FROM entry WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY message_id DESC LIMIT $3;

-- name: entries_of_folder
SELECT message_id FROM placement WHERE organisation_id = $1 AND mailbox_id = $2 AND folder_id = $3 LIMIT $4;

-- name: insert_entry
INSERT INTO entry
    (organisation_id, mailbox_id, message_id, received_at, thread_id, folder_ids, keywords, origin, modseq)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: update_entry
UPDATE entry SET keywords = $4, folder_ids = $5, modseq = $6
WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = $3;

-- name: delete_entries
DELETE FROM entry WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = ANY($3::bigint[]);

-- name: insert_placement
INSERT INTO placement (organisation_id, mailbox_id, folder_id, received_at, message_id) VALUES ($1, $2, $3, $4, $5);

-- name: delete_placement
DELETE FROM placement
WHERE organisation_id = $1 AND mailbox_id = $2 AND folder_id = $3 AND received_at = $4 AND message_id = $5;

-- name: insert_message
INSERT INTO message
    (organisation_id, id, blob_id, direction, source, received_at, reverse_path, body, smtputf8, size, digest,
     content_digest, message_id, subject, thread_id, summary, structure, client, trace)
VALUES ($1, $2, $3, 'internal', $4, $5, NULL, '8BITMIME', false, $6, $7, $8, $9, $10, $11, $12, $13, $14, '');

-- name: threads
SELECT thread_id, message_id FROM entry
WHERE organisation_id = $1 AND mailbox_id = $2 AND thread_id = ANY($3::bigint[])
ORDER BY thread_id, received_at, message_id LIMIT $4;

-- name: folders
SELECT id, parent_id, name, role, sort_order, modseq, subscribed FROM folder
WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY sort_order, name, id;

-- name: folder_counts
-- RFC 8621 §2: a thread is unread in a folder where any of its messages is, those in the Trash ($3) apart.
WITH own AS (
    SELECT message_id, thread_id, folder_ids, NOT (keywords && '{$seen,$draft}'::text[]) AS unread
    FROM entry WHERE organisation_id = $1 AND mailbox_id = $2
), unread_threads AS (
    SELECT thread_id, bool_or(folder_ids <> ARRAY[$3::bigint]) AS outside, bool_or($3 = ANY(folder_ids)) AS trashed
    FROM own WHERE unread GROUP BY thread_id
)
SELECT f.folder_id, count(*) AS total, count(*) FILTER (WHERE own.unread) AS unread,
       count(DISTINCT own.thread_id) AS threads,
       count(DISTINCT own.thread_id) FILTER (
           WHERE CASE WHEN f.folder_id = $3 THEN u.trashed ELSE u.outside END) AS unread_threads
FROM own CROSS JOIN LATERAL unnest(own.folder_ids) AS f(folder_id)
LEFT JOIN unread_threads u ON u.thread_id = own.thread_id
GROUP BY f.folder_id;

-- name: kept_counts
SELECT modseq, counts FROM folder_counts WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: keep_counts
INSERT INTO folder_counts (organisation_id, mailbox_id, modseq, counts) VALUES ($1, $2, $3, $4)
ON CONFLICT (organisation_id, mailbox_id) DO UPDATE SET modseq = excluded.modseq, counts = excluded.counts
WHERE folder_counts.modseq < excluded.modseq;

-- name: places_in_threads
SELECT message_id, thread_id, folder_ids, NOT (keywords && '{$seen,$draft}'::text[]) AS unread FROM entry
WHERE organisation_id = $1 AND mailbox_id = $2 AND thread_id = ANY($3::bigint[]) LIMIT $4;

-- name: threads_of_messages
SELECT id, thread_id FROM message WHERE organisation_id = $1 AND id = ANY($2::bigint[]);

-- name: thread_sizes
SELECT thread_id, count(*) AS size FROM entry
WHERE organisation_id = $1 AND mailbox_id = $2 AND thread_id = ANY($3::bigint[]) GROUP BY thread_id;

-- name: insert_folder
INSERT INTO folder (organisation_id, mailbox_id, id, parent_id, name, sort_order, modseq, subscribed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: update_folder
UPDATE folder SET parent_id = $4, name = $5, sort_order = $6, modseq = $7, subscribed = $8
WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3;

-- name: delete_folder
DELETE FROM folder WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3;

-- name: filters_changed
-- Intake reads the filters of a mailbox anew where this number is another; 0 says that none is on.
UPDATE mailbox SET filters_modseq = $3 WHERE organisation_id = $1 AND id = $2 AND filters_modseq <> 0;

-- name: changes_since
SELECT modseq, kind, message_id, folder_id, detail FROM change
WHERE organisation_id = $1 AND mailbox_id = $2 AND modseq > $3 ORDER BY modseq LIMIT $4;

-- name: insert_submission
INSERT INTO submission
    (organisation_id, mailbox_id, id, email_id, thread_id, message_id, identity, envelope, send_at, undo_status,
     actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: cancel_submission
UPDATE submission SET undo_status = 'canceled'
WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3 AND undo_status = 'pending' RETURNING id;

-- name: finish_submission
UPDATE submission SET undo_status = 'final', message_id = $4, failure = $5
WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3 AND undo_status = 'pending' RETURNING id;

-- name: postpone_submission
UPDATE submission SET send_at = $4
WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3 AND undo_status = 'pending' RETURNING id;

-- name: delete_submission
DELETE FROM submission
WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3 AND undo_status <> 'pending' RETURNING id;

-- name: due_submissions
SELECT organisation_id, mailbox_id, id, email_id, identity, envelope, actor FROM submission
WHERE undo_status = 'pending' AND send_at <= $1 ORDER BY send_at LIMIT $2;

-- name: submissions
SELECT s.id, s.email_id, s.thread_id, s.message_id, s.identity, s.envelope, s.send_at, s.undo_status, s.failure,
       m.reverse_path
FROM submission s LEFT JOIN message m ON m.organisation_id = s.organisation_id AND m.id = s.message_id
WHERE s.organisation_id = $1 AND s.mailbox_id = $2 AND s.id = ANY($3::bigint[]) ORDER BY s.id DESC;

-- name: message_to_send
-- Also of an entry that is gone meanwhile.
SELECT blob_id, message_id FROM message WHERE organisation_id = $1 AND id = $2;

-- name: identities
SELECT id, email, name, reply_to, bcc, text_signature, html_signature FROM identity
WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY id;

-- name: save_identity
INSERT INTO identity (organisation_id, mailbox_id, id, email, name, reply_to, bcc, text_signature, html_signature)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (organisation_id, mailbox_id, id) DO UPDATE SET
    name = excluded.name, reply_to = excluded.reply_to, bcc = excluded.bcc,
    text_signature = excluded.text_signature, html_signature = excluded.html_signature;

-- name: delete_identity
DELETE FROM identity WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3;

-- name: vacation
SELECT enabled, from_date, to_date, subject, text_body, html_body FROM vacation
WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: save_vacation
-- Where it is switched on, mail that came before ($9) is not answered.
INSERT INTO vacation (organisation_id, mailbox_id, enabled, from_date, to_date, subject, text_body, html_body,
                      answered_modseq)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (organisation_id, mailbox_id) DO UPDATE SET
    answered_modseq = CASE WHEN vacation.enabled THEN vacation.answered_modseq ELSE excluded.answered_modseq END,
    enabled = excluded.enabled, from_date = excluded.from_date, to_date = excluded.to_date, subject = excluded.subject,
    text_body = excluded.text_body, html_body = excluded.html_body;

-- name: forget_told
DELETE FROM vacation_told WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: noted_since
SELECT modseq, detail->>'id' AS id, detail->>'how' AS how FROM change
WHERE organisation_id = $1 AND mailbox_id = $2 AND modseq > $3 AND modseq <= $4
  AND kind <> 'received' AND kind = 'settings' AND detail->>'what' = $5
ORDER BY modseq LIMIT $6;

-- name: newest_submissions
SELECT id FROM submission WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY id DESC LIMIT $3;

-- name: submission_deliveries
SELECT message_id, accepted_as, status, coalesce(last_reply, '') AS last_reply FROM delivery
WHERE organisation_id = $1 AND message_id = ANY($2::bigint[]) ORDER BY message_id, number;

-- name: upload_of_mailbox
SELECT size FROM blob WHERE organisation_id = $1 AND id = $3 AND uploaded_by = $2;

-- name: uploaded_octets
SELECT coalesce(sum(size), 0)::bigint FROM blob WHERE organisation_id = $1 AND uploaded_by = $2;

-- name: delete_uploads
-- Uploads are copied when they are used, so an old one is nobody's.
WITH gone AS (
    DELETE FROM blob WHERE (organisation_id, id) IN (
        SELECT organisation_id, id FROM blob WHERE uploaded_by IS NOT NULL AND created_at < $1 LIMIT 500)
    RETURNING organisation_id, id
), pieces AS (
    DELETE FROM blob_chunk c USING gone g WHERE c.organisation_id = g.organisation_id AND c.blob_id = g.id
)
SELECT count(*) FROM gone;

-- name: owner_of_addresses
SELECT key, organisation_id, mailbox_id FROM address WHERE key = ANY($1::text[]);
