-- The queue. A lease is the next try, written before dialling; `leased_by` tells who has it in hand.

-- name: claim
-- Up to $2 due deliveries of each lane that is not suspended or in $3, at most $4 in all, leased to $1.
-- Lanes are found by hopping through the index, so that a long queue for one never slows down another.
WITH RECURSIVE lanes AS (
    (SELECT lane FROM delivery WHERE status = 'queued' ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT d.lane FROM delivery d WHERE d.status = 'queued' AND d.lane > lanes.lane ORDER BY d.lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
), due AS (
    SELECT d.* FROM lanes CROSS JOIN LATERAL (
        SELECT q.organisation_id, q.message_id, q.number, q.leased_by FROM delivery q
        WHERE q.status = 'queued' AND q.lane = lanes.lane AND q.next_attempt_at <= now()
          AND NOT EXISTS (
              SELECT 1 FROM suspension s WHERE s.organisation_id = q.organisation_id AND s.lane IN (q.lane, '')
                AND (s.expires_at IS NULL OR s.expires_at > now()))
        ORDER BY q.next_attempt_at LIMIT $2
        FOR UPDATE OF q SKIP LOCKED
    ) d
    WHERE lanes.lane IS NOT NULL AND lanes.lane <> ALL($3::text[])
    LIMIT $4
)
UPDATE delivery d SET
    attempts = d.attempts + 1, leased_by = $1,
    in_doubt = d.in_doubt OR due.leased_by IS NOT NULL,
    next_attempt_at = now() + interval '5 minutes'
FROM due
WHERE d.organisation_id = due.organisation_id AND d.message_id = due.message_id AND d.number = due.number
RETURNING d.organisation_id, d.message_id, d.number, d.recipient, d.notify, d.orcpt, d.kind, d.lane, d.mailbox_id,
          d.primary_id, d.attempts, d.expires_at, d.in_doubt, d.delay_told;

-- name: messages_to_send
SELECT organisation_id, id, blob_id, reverse_path, body, smtputf8, ret, envid, size, received_at, trace, edits
FROM message WHERE (organisation_id, id) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]));

-- name: renew
UPDATE delivery d SET next_attempt_at = now() + interval '5 minutes'
FROM unnest($2::bigint[], $3::bigint[], $4::int[]) AS k(organisation_id, message_id, number)
WHERE d.organisation_id = k.organisation_id AND d.message_id = k.message_id AND d.number = k.number AND d.leased_by = $1;

-- name: complete
-- Outcomes of attempts. A success always counts. Anything else leaves a delivery alone that was held meanwhile.
-- What failback has in hand ('returning') keeps that mark, and is held where another would fail.
UPDATE delivery d SET
    status = CASE WHEN o.status <> 'delivered' AND d.status <> 'queued' THEN d.status
                  WHEN o.status = 'failed' AND d.hold_reason = 'returning' THEN 'held'
                  ELSE o.status END,
    hold_reason = CASE WHEN o.status = 'delivered' THEN NULL
                       WHEN d.status <> 'queued' THEN d.hold_reason
                       WHEN o.status = 'failed' AND d.hold_reason = 'returning' THEN 'refused by primary'
                       WHEN o.status = 'queued' AND d.hold_reason = 'returning' THEN 'returning'
                       ELSE o.hold_reason END,
    next_attempt_at = CASE WHEN o.status = 'queued' THEN o.next_attempt_at ELSE d.next_attempt_at END,
    leased_by = NULL,
    in_doubt = o.in_doubt,
    report_due = CASE WHEN o.status = 'failed' AND d.hold_reason = 'returning' THEN d.report_due
                      WHEN o.status = 'queued' AND d.status = 'queued' THEN coalesce(o.report_due, d.report_due)
                      WHEN o.status = 'delivered' OR d.status = 'queued' THEN o.report_due ELSE d.report_due END,
    delay_told = d.delay_told OR o.report_due IS NOT DISTINCT FROM 'delayed',
    last_remote = o.remote,
    last_reply = o.reply,
    done_at = CASE WHEN o.status = 'delivered'
                     OR (o.status IN ('failed', 'expired') AND d.hold_reason IS DISTINCT FROM 'returning') THEN now() END
FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::timestamptz[], $8::bool[], $9::text[],
            $10::text[], $11::text[])
     AS o(organisation_id, message_id, number, status, hold_reason, next_attempt_at, in_doubt, report_due, remote, reply)
WHERE d.organisation_id = o.organisation_id AND d.message_id = o.message_id AND d.number = o.number
  AND d.leased_by = $1;

-- name: record_attempts
INSERT INTO attempt (organisation_id, message_id, number, attempt, at, remote, outcome, reply)
SELECT o.organisation_id, o.message_id, o.number, o.attempt, now(), o.remote, o.outcome, o.reply
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[])
     AS o(organisation_id, message_id, number, attempt, remote, outcome, reply)
ON CONFLICT DO NOTHING;

-- name: give_back
-- Leases of attempts that were never begun.
UPDATE delivery d SET leased_by = NULL, attempts = d.attempts - 1, next_attempt_at = now()
FROM unnest($2::bigint[], $3::bigint[], $4::int[]) AS k(organisation_id, message_id, number)
WHERE d.organisation_id = k.organisation_id AND d.message_id = k.message_id AND d.number = k.number AND d.leased_by = $1;

-- name: lapse
-- Leases of worker lives that are known to have ended: due soon, in doubt when they are claimed. Not at once: what the
-- primary took at the very end must have the time to appear in the mailbox, where it is looked for.
-- What was held meanwhile as well: it counts when that is released.
UPDATE delivery SET next_attempt_at = now() + interval '10 seconds'
WHERE status IN ('queued', 'held') AND leased_by = ANY($1::bigint[]);

-- name: due_reports
-- The reports due of up to $3 messages that follow message $2 of organisation $1.
SELECT d.organisation_id, d.message_id, d.number, d.accepted_as, d.orcpt, d.report_due, d.last_reply, d.last_remote,
       d.done_at, d.expires_at,
       m.reverse_path, m.body, m.ret, m.envid, m.blob_id, m.size, m.received_at, m.smtputf8
FROM (
    SELECT DISTINCT organisation_id, message_id FROM delivery
    WHERE report_due IS NOT NULL AND (organisation_id, message_id) > ($1::bigint, $2::bigint)
    ORDER BY organisation_id, message_id LIMIT $3
) due
JOIN delivery d ON d.organisation_id = due.organisation_id AND d.message_id = due.message_id
JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
WHERE d.report_due IS NOT NULL
ORDER BY d.organisation_id, d.message_id, d.number;

-- name: reported
-- Takes reports off the list inside the transaction that sends them. Returns fewer numbers than asked for where one
-- is due no more, or another has it in hand: nobody waits here, so that nobody waits in a circle.
WITH mine AS (
    SELECT organisation_id, message_id, number FROM delivery
    WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]) AND report_due = $4
    FOR UPDATE SKIP LOCKED
)
UPDATE delivery d SET report_due = NULL FROM mine
WHERE d.organisation_id = mine.organisation_id AND d.message_id = mine.message_id AND d.number = mine.number
RETURNING d.number;

-- name: lane_bindings
SELECT organisation_id, lane, host, port FROM lane_binding;

-- name: open_counts
-- By lane; each half reads one of the partial indexes, or more only where most of all deliveries are open.
SELECT o.lane, o.status, o.hold_reason, count(*) AS count, min(o.message_id) AS lowest_id,
       min(o.next_attempt_at) FILTER (WHERE o.status = 'queued') AS next
FROM (
    SELECT message_id, lane, status, NULL AS hold_reason, next_attempt_at FROM delivery
    WHERE organisation_id = $1 AND status = 'queued'
    UNION ALL
    SELECT message_id, lane, status, hold_reason, next_attempt_at FROM delivery
    WHERE organisation_id = $1 AND status = 'held'
) o
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: open_oldest
-- When the oldest message of each of those was accepted.
SELECT o.lane, o.status, o.hold_reason, min(m.received_at) AS oldest
FROM (
    SELECT message_id, lane, status, NULL AS hold_reason FROM delivery WHERE organisation_id = $1 AND status = 'queued'
    UNION ALL
    SELECT message_id, lane, status, hold_reason FROM delivery WHERE organisation_id = $1 AND status = 'held'
) o JOIN message m ON m.organisation_id = $1 AND m.id = o.message_id
GROUP BY 1, 2, 3;

-- name: accepted_at
SELECT id, received_at FROM message WHERE organisation_id = $1 AND id = ANY($2::bigint[]);

-- name: open_deliveries
-- Queued ($2) and held ($3) ones, of a lane ($4), of recipients or senders like $5, the next due first.
SELECT o.message_id, o.number, o.recipient, o.kind, o.lane, o.status, o.hold_reason, o.attempts, o.next_attempt_at,
       o.expires_at, o.last_reply, o.last_remote, m.reverse_path, m.subject, m.received_at, m.size
FROM (
    SELECT * FROM (
        SELECT * FROM delivery WHERE $2::bool AND organisation_id = $1 AND status = 'queued'
        UNION ALL
        SELECT * FROM delivery WHERE $3::bool AND organisation_id = $1 AND status = 'held'
    ) d
    WHERE $4::text IS NULL OR d.lane = $4
    ORDER BY d.status DESC, d.next_attempt_at, d.message_id, d.number
    LIMIT CASE WHEN $5::text IS NULL THEN $6::bigint END
) o JOIN message m ON m.organisation_id = o.organisation_id AND m.id = o.message_id
WHERE $5 IS NULL OR strpos(lower(o.recipient), lower($5)) > 0 OR strpos(lower(m.reverse_path), lower($5)) > 0
ORDER BY o.status DESC, o.next_attempt_at, o.message_id, o.number LIMIT $6;

-- name: recipients_of_message
SELECT number, recipient, accepted_as FROM delivery WHERE organisation_id = $1 AND message_id = $2 ORDER BY number;

-- name: lock_deliveries
-- With all that says what a person may do about them. Rows that a worker is writing just now are left out: whoever
-- waited for one while holding another could stop the worker.
SELECT d.number, d.recipient, d.kind, d.status, d.hold_reason, d.mailbox_id, p.name AS primary_name, p.trust_state,
       d.leased_by IS NOT NULL AND d.next_attempt_at > now() AS in_hand,
       d.kind = 'internet' AND m.source = 'smarthost' AND EXISTS (
           SELECT 1 FROM primary_server c WHERE c.organisation_id = $1 AND c.trust_state = 'compromised'
             AND (m.reverse_path IS NULL OR EXISTS (
                 SELECT 1 FROM domain o WHERE o.organisation_id = $1 AND o.primary_id = c.id
                   AND o.name = lower(split_part(m.reverse_path, '@', -1))))) AS from_isolated
FROM delivery d
JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
LEFT JOIN primary_server p ON p.organisation_id = d.organisation_id AND p.id = d.primary_id
WHERE d.organisation_id = $1 AND d.message_id = $2 AND d.number = ANY($3::int[])
ORDER BY d.number FOR UPDATE OF d SKIP LOCKED;

-- name: all_suspensions
SELECT organisation_id, lane, expires_at FROM suspension WHERE expires_at IS NULL OR expires_at > now();

-- name: hold
UPDATE delivery SET status = 'held', hold_reason = 'operator'
WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]);

-- name: release
-- One whose last attempt is still under way is tried again when that lease has run out, not beside it.
UPDATE delivery SET status = 'queued', hold_reason = NULL,
    next_attempt_at = CASE WHEN leased_by IS NULL THEN now() ELSE next_attempt_at END
WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]);

-- name: leave_to_failback
UPDATE delivery SET hold_reason = 'activated'
WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]) AND status = 'held';

-- name: retry
UPDATE delivery SET next_attempt_at = now()
WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]);

-- name: retry_lane
-- Of a lane, or of all of them; only what waits for its next attempt.
UPDATE delivery SET next_attempt_at = now()
WHERE (organisation_id, message_id, number) IN (
    SELECT organisation_id, message_id, number FROM delivery
    WHERE organisation_id = $1 AND status = 'queued' AND leased_by IS NULL AND next_attempt_at > now()
      AND ($2::text IS NULL OR lane = $2)
    FOR UPDATE SKIP LOCKED);

-- name: expire
UPDATE delivery SET status = 'expired', hold_reason = NULL, done_at = now(),
    last_remote = '', last_reply = '550 5.4.7 Expired by the administrator',
    report_due = CASE WHEN notify IS NULL OR notify & 2 = 2 THEN 'failed' END
WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]);

-- name: suspend
INSERT INTO suspension (organisation_id, lane, reason, actor, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organisation_id, lane)
DO UPDATE SET reason = excluded.reason, actor = excluded.actor, expires_at = excluded.expires_at, since = now();

-- name: resume
DELETE FROM suspension WHERE organisation_id = $1 AND lane = $2 RETURNING lane;

-- name: suspensions
SELECT lane, reason, actor, since, expires_at FROM suspension
WHERE organisation_id = $1 AND (expires_at IS NULL OR expires_at > now()) ORDER BY lane;

-- name: rebind
INSERT INTO lane_binding (organisation_id, lane, host, port, actor) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organisation_id, lane)
DO UPDATE SET host = excluded.host, port = excluded.port, actor = excluded.actor, since = now();

-- name: unbind
DELETE FROM lane_binding WHERE organisation_id = $1 AND lane = $2 RETURNING lane;

-- name: bindings
SELECT lane, host, port, actor, since FROM lane_binding WHERE organisation_id = $1 ORDER BY lane;

-- name: message_trace
SELECT id, blob_id, direction, source, received_at, reverse_path, body, smtputf8, ret, envid, size, message_id, subject,
       thread_id, client, encode(digest, 'hex') AS digest, verdict
FROM message WHERE organisation_id = $1 AND id = $2;

-- name: messages_by_header_id
-- Through the conversation: the message that began it, and those that stand in a mailbox.
SELECT m.id, m.direction, m.received_at, m.reverse_path, m.subject FROM message m
WHERE m.organisation_id = $1 AND m.message_id = $3 AND m.id IN (
    SELECT r.thread_id FROM message_ref r WHERE r.organisation_id = $1 AND r.ref = $2
    UNION
    SELECT e.message_id FROM message_ref r
    JOIN mailbox b ON b.organisation_id = $1
    JOIN entry e ON e.organisation_id = $1 AND e.mailbox_id = b.id AND e.thread_id = r.thread_id
    WHERE r.organisation_id = $1 AND r.ref = $2)
ORDER BY m.received_at LIMIT 50;

-- name: deliveries_of_message
SELECT number, recipient, accepted_as, kind, lane, status, hold_reason, attempts, next_attempt_at, expires_at,
       leased_by IS NOT NULL AND next_attempt_at > now() AS in_hand, in_doubt, last_remote, last_reply, done_at
FROM delivery WHERE organisation_id = $1 AND message_id = $2 ORDER BY number;

-- name: attempts_of_message
SELECT number, attempt, at, remote, outcome, reply FROM attempt
WHERE organisation_id = $1 AND message_id = $2 ORDER BY number, attempt;

-- name: entries_of_message
SELECT e.mailbox_id, a.written AS address, e.received_at, e.origin, e.keywords,
       array(SELECT f.name FROM folder f WHERE f.organisation_id = e.organisation_id AND f.mailbox_id = e.mailbox_id
             AND f.id = ANY(e.folder_ids) ORDER BY f.name) AS folders
FROM mailbox b
JOIN entry e ON e.organisation_id = b.organisation_id AND e.mailbox_id = b.id AND e.message_id = $2
LEFT JOIN address a ON a.organisation_id = b.organisation_id AND a.mailbox_id = b.id AND a.is_default
WHERE b.organisation_id = $1 ORDER BY a.written;

-- name: events_of_message
-- What people did to it, and its acceptance, which was written right after it: $3 is its name in the audit.
SELECT id, at, actor, action, subject, detail FROM audit_event
WHERE organisation_id = $1 AND subject = 'message ' || $3 AND action <> 'intake.accept'
UNION ALL
(SELECT id, at, actor, action, subject, detail FROM (
    SELECT * FROM audit_event WHERE organisation_id = $1 AND id > $2 ORDER BY id LIMIT 2000) later
 WHERE action = 'intake.accept' AND detail->'messages' ? $3 LIMIT 1)
ORDER BY at, id;
