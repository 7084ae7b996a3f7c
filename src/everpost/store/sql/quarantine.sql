-- What the guard keeps apart: deliveries held as 'quarantined', of messages that stand in no mailbox yet.

-- name: kept
-- The latest first. $2: only this mailbox.
SELECT d.message_id, min(m.received_at) AS received_at, m.reverse_path, m.subject, m.direction, m.judgement, m.verdict,
       array_agg(d.recipient ORDER BY d.number) AS recipients
FROM delivery d JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
WHERE d.organisation_id = $1 AND d.status = 'held' AND d.hold_reason = 'quarantined'
  AND ($2::bigint IS NULL OR d.mailbox_id = $2)
GROUP BY d.message_id, m.reverse_path, m.subject, m.direction, m.judgement, m.verdict
ORDER BY d.message_id DESC LIMIT $3;

-- name: lock_kept
-- `from_isolated`: as in `lock_deliveries` of the queue.
SELECT d.number, d.recipient, d.accepted_as, d.kind, d.mailbox_id, m.received_at, m.thread_id,
       d.kind = 'internet' AND m.source = 'smarthost' AND EXISTS (
           SELECT 1 FROM primary_server c WHERE c.organisation_id = $1 AND c.trust_state = 'compromised'
             AND (m.reverse_path IS NULL OR EXISTS (
                 SELECT 1 FROM domain o WHERE o.organisation_id = $1 AND o.primary_id = c.id
                   AND o.name = lower(split_part(m.reverse_path, '@', -1))))) AS from_isolated
FROM delivery d JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
WHERE d.organisation_id = $1 AND d.message_id = $2 AND d.status = 'held' AND d.hold_reason = 'quarantined'
ORDER BY d.number FOR UPDATE OF d;

-- name: let_go
UPDATE delivery d SET status = w.status, hold_reason = w.hold_reason, next_attempt_at = now(),
    done_at = CASE WHEN w.status = 'delivered' THEN now() END
FROM unnest($3::int[], $4::text[], $5::text[]) AS w(number, status, hold_reason)
WHERE d.organisation_id = $1 AND d.message_id = $2 AND d.number = w.number;
