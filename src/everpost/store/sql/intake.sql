-- The one transaction.

-- name: advance_modseq
-- Locks the change logs of these mailboxes, in key order, and reserves numbers in them; returns the last one, and
-- in which state the mailbox's filters were changed last.
WITH wanted AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS w(organisation_id, id, count)
), locked AS MATERIALIZED (
    SELECT m.organisation_id, m.id FROM mailbox m JOIN wanted w USING (organisation_id, id)
    ORDER BY 1, 2 FOR NO KEY UPDATE OF m
)
UPDATE mailbox m SET modseq = m.modseq + w.count
FROM wanted w JOIN locked l USING (organisation_id, id)
WHERE m.organisation_id = w.organisation_id AND m.id = w.id
RETURNING m.organisation_id, m.id, m.modseq, m.filters_modseq;

-- name: present_content
-- Entries of these mailboxes that have the same content already, found through the conversation.
SELECT e.organisation_id, e.mailbox_id, m.content_digest
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) AS w(organisation_id, mailbox_id, thread_id, digest)
JOIN entry e ON e.organisation_id = w.organisation_id AND e.mailbox_id = w.mailbox_id AND e.thread_id = w.thread_id
JOIN message m ON m.organisation_id = e.organisation_id AND m.id = e.message_id AND m.content_digest = w.digest;

-- name: insert_batch
-- Everything that a batch of messages comes to, in the order of intake/rows.py: blobs, messages, deliveries, entries
-- with their placements and changes, audit events. An entry that a filter moves came into one folder (`came_into`, the
-- change log's first row of it, `came_modseq`), and stands in another.
WITH blobs AS (
    INSERT INTO blob (organisation_id, id, wrapped_key, size, chunks, data, created_at)
    SELECT b.organisation_id, b.id, b.wrapped_key, b.size, 1, b.data, b.created_at
    FROM unnest(
    $1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::timestamptz[]
    ) AS b(organisation_id, id, wrapped_key, size, data, created_at)
), messages AS (
    INSERT INTO message (
        organisation_id, id, blob_id, direction, source, received_at, reverse_path, body, smtputf8, ret, envid, size,
        digest, content_digest, message_id, subject, thread_id, summary, structure, client, trace,
        judgement, verdict, edits)
    SELECT m.organisation_id, m.id, m.blob_id, m.direction, m.source, m.received_at, m.reverse_path, m.body,
           m.smtputf8, m.ret, m.envid, m.size, m.digest, m.content_digest, m.message_id, m.subject, m.thread_id,
           m.summary, m.structure, m.client, m.trace, m.judgement, m.verdict, m.edits
    FROM unnest(
    $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::timestamptz[], $13::text[],
    $14::text[], $15::bool[], $16::text[], $17::text[], $18::bigint[], $19::bytea[], $20::bytea[], $21::text[],
    $22::text[], $23::bigint[], $24::bytea[], $25::bytea[], $26::text[], $27::text[],
    $28::text[], $29::bytea[], $30::bytea[]
    ) AS m(organisation_id, id, blob_id, direction, source, received_at, reverse_path, body, smtputf8, ret, envid,
           size, digest, content_digest, message_id, subject, thread_id, summary, structure, client, trace, judgement,
           verdict, edits)
), deliveries AS (
    INSERT INTO delivery (
        organisation_id, message_id, number, recipient, accepted_as, notify, orcpt, mailbox_id, kind, primary_id, lane,
        status, hold_reason, attempts, next_attempt_at, expires_at, leased_by, report_due, done_at)
    SELECT * FROM unnest(
    $31::bigint[], $32::bigint[], $33::int[], $34::text[], $35::text[], $36::smallint[], $37::text[],
    $38::bigint[], $39::text[], $40::bigint[], $41::text[], $42::text[], $43::text[], $44::int[],
    $45::timestamptz[], $46::timestamptz[], $47::bigint[], $48::text[], $49::timestamptz[]
    )
), given AS MATERIALIZED (
    SELECT * FROM unnest(
    $50::bigint[], $51::bigint[], $52::bigint[], $53::timestamptz[], $54::bigint[], $55::bigint[], $56::text[],
    $57::text[], $58::bigint[], $59::bigint[], $60::bigint[]
    ) AS e(organisation_id, mailbox_id, message_id, received_at, thread_id, folder_id, keywords, origin, modseq,
           came_into, came_modseq)
), entries AS (
    INSERT INTO entry (
        organisation_id, mailbox_id, message_id, received_at, thread_id, folder_ids, keywords, origin, modseq)
    SELECT organisation_id, mailbox_id, message_id, received_at, thread_id, ARRAY[folder_id],
           string_to_array(keywords, ' '), origin, modseq
    FROM given
), placements AS (
    INSERT INTO placement (organisation_id, mailbox_id, folder_id, received_at, message_id)
    SELECT organisation_id, mailbox_id, folder_id, received_at, message_id FROM given
), changes AS (
    INSERT INTO change (organisation_id, mailbox_id, modseq, at, kind, message_id, folder_id, actor)
    SELECT organisation_id, mailbox_id, came_modseq, $68, $69, message_id, came_into, 'everpost' FROM given
), events AS (
    INSERT INTO audit_event (organisation_id, id, at, actor, action, subject, detail)
    SELECT * FROM unnest(
    $61::bigint[], $62::bigint[], $63::timestamptz[], $64::text[], $65::text[], $66::text[], $67::jsonb[]
    )
    RETURNING organisation_id, id
)
INSERT INTO audit_unlinked (organisation_id, event_id) SELECT organisation_id, id FROM events;
