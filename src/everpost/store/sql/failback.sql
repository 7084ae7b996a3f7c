-- Coming back: runs, their mailboxes, and the ledger of what was done about each message.

-- name: lock_activation
SELECT id, scope_kind, scope_id, opens_access, cause, reason, actor, starts_at, started_at, ends_at, ended_at
FROM activation WHERE organisation_id = $1 AND id = $2 FOR UPDATE;

-- name: running_of_activation
SELECT id FROM failback WHERE organisation_id = $1 AND activation_id = $2 AND finished_at IS NULL;

-- name: running_of_primary
SELECT DISTINCT f.id, f.activation_id FROM failback f
JOIN failback_mailbox m ON m.organisation_id = f.organisation_id AND m.failback_id = f.id
WHERE f.organisation_id = $1 AND f.finished_at IS NULL AND m.primary_id = $2;

-- name: running
SELECT organisation_id, id FROM failback WHERE finished_at IS NULL AND state = 'running' ORDER BY id;

-- name: insert_run
INSERT INTO failback (organisation_id, id, activation_id, state, wave_size, actor, started_at)
VALUES ($1, $2, $3, 'running', $4, $5, $6);

-- name: insert_mailboxes
INSERT INTO failback_mailbox (organisation_id, failback_id, mailbox_id, primary_id, wave, state, replayed_modseq)
SELECT $1, $2, w.mailbox_id, w.primary_id, w.wave, 'waiting',
       coalesce((SELECT max(o.replayed_modseq) FROM failback_mailbox o
                 WHERE o.organisation_id = $1 AND o.mailbox_id = w.mailbox_id AND o.returned_at IS NOT NULL), 0)
FROM unnest($3::bigint[], $4::bigint[], $5::int[]) AS w(mailbox_id, primary_id, wave);

-- name: baselines
-- Up to where each mailbox's change log was replayed when it was given back last: 0 where it never was.
SELECT w.mailbox_id, coalesce(max(o.replayed_modseq), 0) AS modseq
FROM unnest($2::bigint[]) AS w(mailbox_id)
LEFT JOIN failback_mailbox o ON o.organisation_id = $1 AND o.mailbox_id = w.mailbox_id AND o.returned_at IS NOT NULL
GROUP BY w.mailbox_id;

-- name: run
SELECT f.id, f.activation_id, f.state, f.reason, f.wave_size, f.actor, f.started_at, f.finished_at, f.report,
       f.report_signature, a.scope_kind, a.scope_id, a.started_at AS activated_at, o.name AS organisation
FROM failback f
JOIN activation a ON a.organisation_id = f.organisation_id AND a.id = f.activation_id
JOIN organisation o ON o.id = f.organisation_id
WHERE f.organisation_id = $1 AND f.id = $2;

-- name: runs
SELECT f.id, f.activation_id, f.state, f.reason, f.actor, f.started_at, f.finished_at, a.scope_kind, a.scope_id,
       (SELECT count(*) FROM failback_mailbox m
        WHERE m.organisation_id = f.organisation_id AND m.failback_id = f.id) AS mailboxes,
       (SELECT count(*) FROM failback_mailbox m WHERE m.organisation_id = f.organisation_id AND m.failback_id = f.id
          AND m.returned_at IS NOT NULL) AS returned
FROM failback f JOIN activation a ON a.organisation_id = f.organisation_id AND a.id = f.activation_id
WHERE f.organisation_id = $1 ORDER BY f.started_at DESC LIMIT 100;

-- name: lock_run
SELECT state, activation_id FROM failback WHERE organisation_id = $1 AND id = $2 FOR UPDATE;

-- name: share_run
-- Its state cannot change before this transaction ends.
SELECT state FROM failback WHERE organisation_id = $1 AND id = $2 FOR SHARE;

-- name: run_state
SELECT state FROM failback WHERE organisation_id = $1 AND id = $2;

-- name: set_run_state
UPDATE failback SET state = $3, reason = $4, finished_at = CASE WHEN $5 THEN now() END
WHERE organisation_id = $1 AND id = $2 AND finished_at IS NULL RETURNING id;

-- name: hold_returning
-- A failback was stopped: what it had released and is not delivered yet waits again.
UPDATE delivery d SET status = 'held', hold_reason = $3
FROM failback_mailbox m
WHERE m.organisation_id = $1 AND m.failback_id = $2 AND d.organisation_id = m.organisation_id
  AND d.lane = 'primary:' || m.primary_id AND d.mailbox_id = m.mailbox_id
  AND d.status = 'queued' AND d.hold_reason = 'returning';

-- name: finish_run
UPDATE failback SET state = 'finished', reason = '', finished_at = $3, report = $4, report_signature = $5
WHERE organisation_id = $1 AND id = $2;

-- name: primaries_of_run
SELECT DISTINCT primary_id FROM failback_mailbox WHERE organisation_id = $1 AND failback_id = $2 ORDER BY 1;

-- name: mailboxes_of_run
SELECT m.mailbox_id, m.primary_id, m.wave, m.state, m.problem, m.replayed_modseq, m.figures, m.returned_at,
       b.name, a.written AS address
FROM failback_mailbox m
JOIN mailbox b ON b.organisation_id = m.organisation_id AND b.id = m.mailbox_id
LEFT JOIN address a ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.mailbox_id AND a.is_default
WHERE m.organisation_id = $1 AND m.failback_id = $2 ORDER BY m.wave, m.mailbox_id;

-- name: set_mailbox_state
UPDATE failback_mailbox SET state = $4, problem = $5
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = $3 AND returned_at IS NULL;

-- name: set_replayed
UPDATE failback_mailbox SET replayed_modseq = $4
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = $3;

-- name: set_figures
UPDATE failback_mailbox SET figures = $4
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = $3;

-- name: set_returned
UPDATE failback_mailbox SET returned_at = $4, state = 'returned', problem = ''
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = ANY($3::bigint[]) AND returned_at IS NULL;

-- name: ready_to_return
-- Whether nothing of a mailbox is still on its way: asked while nobody can change it.
SELECT m.replayed_modseq,
       (SELECT count(*) FROM delivery d
        WHERE d.organisation_id = $1 AND d.mailbox_id = $3 AND d.status = 'held' AND d.kind = 'primary'
          AND d.hold_reason IN ('activated', 'compromised', 'returning')) AS held,
       (SELECT count(*) FROM replay_item i
        WHERE i.organisation_id = $1 AND i.failback_id = $2 AND i.mailbox_id = $3
          AND i.state IN ('pending', 'begun')) AS open
FROM failback_mailbox m WHERE m.organisation_id = $1 AND m.failback_id = $2 AND m.mailbox_id = $3;

-- name: nothing_happened
-- No mail waits for these mailboxes and nobody did anything in them since they were given back last.
SELECT NOT EXISTS (
    SELECT 1 FROM unnest($2::bigint[], $3::bigint[]) AS w(mailbox_id, modseq)
    WHERE EXISTS (
        SELECT 1 FROM delivery d
        WHERE d.organisation_id = $1 AND d.mailbox_id = w.mailbox_id AND d.status = 'held' AND d.kind = 'primary'
          AND d.hold_reason IN ('activated', 'compromised', 'returning'))
    OR EXISTS (
        SELECT 1 FROM change c
        WHERE c.organisation_id = $1 AND c.mailbox_id = w.mailbox_id AND c.modseq > w.modseq AND c.kind <> 'received'
          AND NOT c.followed)
    OR EXISTS (
        SELECT 1 FROM change c JOIN message m ON m.organisation_id = c.organisation_id AND m.id = c.message_id
        WHERE c.organisation_id = $1 AND c.mailbox_id = w.mailbox_id AND c.modseq > w.modseq AND c.kind = 'received'
          AND c.folder_id = $4 AND c.at >= $5 AND m.source = 'submission')
);

-- name: held_inbound
-- What waits to be delivered, for a dry run.
SELECT count(*) AS messages, coalesce(sum(m.size), 0)::bigint AS octets, min(m.received_at) AS oldest
FROM delivery d JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
WHERE d.organisation_id = $1 AND d.mailbox_id = $2 AND d.status = 'held' AND d.kind = 'primary'
  AND d.hold_reason IN ('activated', 'compromised', 'returning');

-- name: release_inbound
-- Into the hands of the queue. The mark stays until the delivery is done: what is returning never bounces.
-- One whose last attempt is still under way is tried again when that lease has run out, not beside it.
WITH chosen AS (
    SELECT organisation_id, message_id, number FROM delivery
    WHERE organisation_id = $1 AND mailbox_id = $3 AND status = 'held' AND kind = 'primary'
      AND hold_reason IN ('activated', 'compromised', 'returning')
    ORDER BY message_id LIMIT $4 FOR UPDATE
), released AS (
    UPDATE delivery d SET status = 'queued', hold_reason = 'returning',
        next_attempt_at = CASE WHEN d.leased_by IS NULL THEN now() ELSE d.next_attempt_at END
    FROM chosen c
    WHERE d.organisation_id = c.organisation_id AND d.message_id = c.message_id AND d.number = c.number
    RETURNING d.message_id
)
INSERT INTO replay_item (organisation_id, failback_id, mailbox_id, message_id, kind, state)
SELECT DISTINCT $1::bigint, $2::bigint, $3::bigint, message_id, 'inbound', 'begun' FROM released
ON CONFLICT (organisation_id, failback_id, mailbox_id, message_id, kind)
DO UPDATE SET state = 'begun', evidence = '', updated_at = now()
RETURNING message_id;

-- name: inbound_progress
SELECT i.message_id, d.status, d.hold_reason, coalesce(d.last_reply, '') AS last_reply
FROM replay_item i JOIN delivery d
  ON d.organisation_id = i.organisation_id AND d.message_id = i.message_id AND d.mailbox_id = i.mailbox_id
WHERE i.organisation_id = $1 AND i.failback_id = $2 AND i.mailbox_id = $3 AND i.kind = 'inbound' AND i.state = 'begun'
  AND d.kind = 'primary';

-- name: retry_inbound
UPDATE delivery d SET next_attempt_at = now()
FROM replay_item i
WHERE i.organisation_id = $1 AND i.failback_id = $2 AND i.mailbox_id = $3 AND i.kind = 'inbound' AND i.state = 'begun'
  AND d.organisation_id = i.organisation_id AND d.message_id = i.message_id AND d.mailbox_id = i.mailbox_id
  AND d.kind = 'primary' AND d.status = 'queued' AND d.leased_by IS NULL;

-- name: log
-- What people did in a mailbox in ($3, $4], and what they sent with a mail program ($5: the Sent folder).
SELECT modseq, kind, message_id, folder_id, detail FROM change
WHERE organisation_id = $1 AND mailbox_id = $2 AND modseq > $3 AND modseq <= $4 AND kind <> 'received'
  AND NOT followed
UNION ALL
SELECT c.modseq, c.kind, c.message_id, c.folder_id, c.detail
FROM change c JOIN message m ON m.organisation_id = c.organisation_id AND m.id = c.message_id
WHERE c.organisation_id = $1 AND c.mailbox_id = $2 AND c.modseq > $3 AND c.modseq <= $4
  AND c.kind = 'received' AND c.folder_id = $5 AND c.at >= $6 AND m.source = 'submission'
ORDER BY modseq;

-- name: touched
-- The messages named in a log, with the entries that are still there.
SELECT m.id, m.message_id, m.content_digest, m.size, m.blob_id, m.received_at AS accepted_at,
       e.received_at, e.folder_ids, e.keywords, coalesce(e.origin, '') AS origin
FROM message m LEFT JOIN entry e
  ON e.organisation_id = m.organisation_id AND e.mailbox_id = $2 AND e.message_id = m.id
WHERE m.organisation_id = $1 AND m.id = ANY($3::bigint[]);

-- name: appended_before
-- Messages that earlier runs put on the primary, or may have.
SELECT DISTINCT i.message_id FROM failback_mailbox m JOIN replay_item i
  ON i.organisation_id = m.organisation_id AND i.failback_id = m.failback_id AND i.mailbox_id = m.mailbox_id
WHERE m.organisation_id = $1 AND m.mailbox_id = $2 AND i.kind = 'append' AND i.state IN ('begun', 'done', 'already')
  AND i.message_id = ANY($3::bigint[]);

-- name: folders
SELECT id, parent_id, name, role FROM folder WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: insert_items
-- What the log asks for now replaces what it asked for before; the same again, after a crash, keeps its state.
INSERT INTO replay_item (organisation_id, failback_id, mailbox_id, message_id, kind, state, detail)
SELECT $1, $2, $3, w.message_id, w.kind, 'pending', w.detail::jsonb
FROM unnest($4::bigint[], $5::text[], $6::text[]) AS w(message_id, kind, detail)
ON CONFLICT (organisation_id, failback_id, mailbox_id, message_id, kind)
DO UPDATE SET detail = excluded.detail, updated_at = now(),
    state = CASE WHEN replay_item.detail = excluded.detail THEN replay_item.state ELSE 'pending' END,
    evidence = CASE WHEN replay_item.detail = excluded.detail THEN replay_item.evidence ELSE '' END;

-- name: open_items
SELECT message_id, kind, state, detail FROM replay_item
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = $3 AND kind <> 'inbound'
  AND state IN ('pending', 'begun');

-- name: items
SELECT message_id, kind, state, detail, evidence FROM replay_item
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = $3 ORDER BY message_id, kind;

-- name: set_item
UPDATE replay_item SET state = $6, evidence = $7, updated_at = now()
WHERE organisation_id = $1 AND failback_id = $2 AND mailbox_id = $3 AND message_id = $4 AND kind = $5;

-- name: signing_key
SELECT name, signing_key, signing_public FROM organisation WHERE id = $1;
