-- What the guard keeps apart: deliveries held as 'quarantined', of messages that stand in no mailbox yet.

-- name: kept
-- The latest first. $2: only this mailbox; $3: below this message; $4: of this judgement; $5, $6, $7: parts of a
-- recipient, of the sender (reverse-path), of the subject; $8, $9: from, until; $10: only this message; $11: only what somebody
-- asks for.
SELECT m.id AS message_id, m.received_at, m.reverse_path, m.subject, m.direction, m.size, m.verdict, m.summary,
       m.blob_id, m.structure, d.recipients,
       ARRAY(SELECT w.kind FROM quarantine_word w WHERE w.organisation_id = $1 AND w.message_id = m.id
               AND w.answer IS NULL AND ($2::bigint IS NULL OR w.mailbox_id = $2)) AS words
FROM (
    SELECT message_id, array_agg(recipient ORDER BY number) AS recipients FROM delivery
    WHERE organisation_id = $1 AND status = 'held' AND hold_reason = 'quarantined'
      AND ($2::bigint IS NULL OR mailbox_id = $2) AND ($3::bigint IS NULL OR message_id < $3)
      AND ($10::bigint IS NULL OR message_id = $10)
    GROUP BY message_id
    HAVING $5::text IS NULL OR bool_or(strpos(lower(recipient), lower($5)) > 0 OR strpos(lower(accepted_as), lower($5)) > 0)
    ORDER BY message_id DESC
    LIMIT CASE WHEN num_nonnulls($4::text, $6::text, $7::text, $8::timestamptz, $9::timestamptz) = 0 AND NOT $11::bool
          THEN $12::bigint END
) d JOIN message m ON m.organisation_id = $1 AND m.id = d.message_id
WHERE ($4::text IS NULL OR m.judgement = $4)
  AND ($6::text IS NULL OR strpos(lower(coalesce(m.reverse_path, '<>')), lower($6)) > 0)
  AND ($7::text IS NULL OR strpos(lower(m.subject), lower($7)) > 0)
  AND (NOT $11::bool OR EXISTS (
      SELECT 1 FROM quarantine_word w WHERE w.organisation_id = $1 AND w.message_id = m.id AND w.kind = 'release'
        AND w.answer IS NULL))
  AND ($8::timestamptz IS NULL OR m.received_at >= $8) AND ($9::timestamptz IS NULL OR m.received_at < $9)
ORDER BY m.id DESC LIMIT $12;

-- name: kept_recipients
-- Of one message ($2), with what their people said of it.
SELECT d.number, d.recipient, d.accepted_as, d.kind, w.at AS asked_at, w.comment,
       n.at AS not_junk_at
FROM delivery d
LEFT JOIN quarantine_word w ON w.organisation_id = $1 AND w.mailbox_id = d.mailbox_id AND w.message_id = $2
    AND w.kind = 'release' AND w.answer IS NULL
LEFT JOIN quarantine_word n ON n.organisation_id = $1 AND n.mailbox_id = d.mailbox_id AND n.message_id = $2
    AND n.kind = 'not-junk'
WHERE d.organisation_id = $1 AND d.message_id = $2 AND d.status = 'held' AND d.hold_reason = 'quarantined'
ORDER BY d.number;

-- name: kept_for
-- What is kept from one mailbox ($2), the latest first; $3: only these messages. With what its person said and heard.
SELECT m.id AS message_id, m.received_at, m.subject, m.size, m.verdict, m.summary, m.blob_id, m.structure,
       w.at AS asked_at, w.answer, w.answer_reason, n.at AS not_junk_at
FROM delivery d JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
LEFT JOIN quarantine_word w ON w.organisation_id = d.organisation_id AND w.mailbox_id = d.mailbox_id
    AND w.message_id = d.message_id AND w.kind = 'release'
LEFT JOIN quarantine_word n ON n.organisation_id = d.organisation_id AND n.mailbox_id = d.mailbox_id
    AND n.message_id = d.message_id AND n.kind = 'not-junk'
WHERE d.organisation_id = $1 AND d.mailbox_id = $2 AND d.status = 'held' AND d.hold_reason = 'quarantined'
  AND ($3::bigint[] IS NULL OR d.message_id = ANY($3))
ORDER BY d.message_id DESC LIMIT $4;

-- name: kept_state
-- Another whenever what `kept_for` says of any message is.
SELECT md5(concat_ws('|', o.self_release::text, string_agg(
    concat_ws(' ', d.message_id, w.at, w.answer, n.at), ',' ORDER BY d.message_id)))
FROM organisation o
LEFT JOIN delivery d ON d.organisation_id = o.id AND d.mailbox_id = $2 AND d.status = 'held'
    AND d.hold_reason = 'quarantined'
LEFT JOIN quarantine_word w ON w.organisation_id = o.id AND w.mailbox_id = $2 AND w.message_id = d.message_id
    AND w.kind = 'release'
LEFT JOIN quarantine_word n ON n.organisation_id = o.id AND n.mailbox_id = $2 AND n.message_id = d.message_id
    AND n.kind = 'not-junk'
WHERE o.id = $1 GROUP BY o.self_release;

-- name: lock_kept
-- `from_isolated`: as in `lock_deliveries` of the queue. $3: only this mailbox.
SELECT d.number, d.recipient, d.accepted_as, d.kind, d.mailbox_id, m.received_at, m.thread_id, m.judgement,
       d.kind = 'internet' AND m.source = 'smarthost' AND EXISTS (
           SELECT 1 FROM primary_server c WHERE c.organisation_id = $1 AND c.trust_state = 'compromised'
             AND (m.reverse_path IS NULL OR EXISTS (
                 SELECT 1 FROM domain o WHERE o.organisation_id = $1 AND o.primary_id = c.id
                   AND o.name = lower(split_part(m.reverse_path, '@', -1))))) AS from_isolated
FROM delivery d JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
WHERE d.organisation_id = $1 AND d.message_id = $2 AND d.status = 'held' AND d.hold_reason = 'quarantined'
  AND ($3::bigint IS NULL OR d.mailbox_id = $3)
ORDER BY d.number FOR UPDATE OF d;

-- name: let_go
UPDATE delivery d SET status = w.status, hold_reason = w.hold_reason, next_attempt_at = now(),
    done_at = CASE WHEN w.status = 'delivered' THEN now() END
FROM unnest($3::int[], $4::text[], $5::text[]) AS w(number, status, hold_reason)
WHERE d.organisation_id = $1 AND d.message_id = $2 AND d.number = w.number;

-- name: give_up
-- The sender is told nothing: it may not be theirs, and a stranger shall not learn what is kept apart.
UPDATE delivery SET status = 'expired', hold_reason = NULL, done_at = now(), report_due = NULL,
    last_remote = '', last_reply = $4
WHERE organisation_id = $1 AND message_id = $2 AND number = ANY($3::int[]);

-- name: too_old
-- Messages that came before $1 and are kept still.
SELECT d.organisation_id, d.message_id
FROM (SELECT DISTINCT organisation_id, message_id FROM delivery
      WHERE status = 'held' AND hold_reason = 'quarantined') d
JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
WHERE m.received_at < $1 ORDER BY m.received_at LIMIT $2;

-- name: answer_words
-- What was asked of these mailboxes' message has its answer; $7: they gave it themselves, and need not be told.
UPDATE quarantine_word SET answer = $4, answered_at = now(), answered_by = $5, answer_reason = $6,
    told_at = CASE WHEN $7::bool THEN now() END
WHERE organisation_id = $1 AND message_id = $2 AND mailbox_id = ANY($3::bigint[]) AND answer IS NULL AND kind = 'release';

-- name: say
-- A word once said stays as it is: returns nothing then.
INSERT INTO quarantine_word (organisation_id, mailbox_id, message_id, kind, actor, comment)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING at;

-- name: requests
-- Open ones, the oldest first.
SELECT w.message_id, w.at, w.actor, w.comment, a.written AS mailbox, m.subject, m.reverse_path, m.judgement
FROM quarantine_word w
JOIN message m ON m.organisation_id = w.organisation_id AND m.id = w.message_id
LEFT JOIN address a ON a.organisation_id = w.organisation_id AND a.mailbox_id = w.mailbox_id AND a.is_default
WHERE w.organisation_id = $1 AND w.kind = 'release' AND w.answer IS NULL ORDER BY w.at, w.message_id LIMIT $2;

-- name: untold
-- Answers that their people have not been told of; $1 at most.
SELECT w.organisation_id, w.mailbox_id, w.message_id, w.answer, w.answer_reason, m.subject, m.summary, m.received_at,
       a.written AS address, coalesce(b.language, o.language) AS language, o.time_zone
FROM quarantine_word w
JOIN message m ON m.organisation_id = w.organisation_id AND m.id = w.message_id
JOIN organisation o ON o.id = w.organisation_id
JOIN mailbox b ON b.organisation_id = w.organisation_id AND b.id = w.mailbox_id
LEFT JOIN address a ON a.organisation_id = w.organisation_id AND a.mailbox_id = w.mailbox_id AND a.is_default
WHERE w.kind = 'release' AND w.answer IS NOT NULL AND w.told_at IS NULL ORDER BY w.answered_at LIMIT $1;

-- name: tell_answer
UPDATE quarantine_word SET told_at = now()
WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = $3 AND kind = 'release' AND told_at IS NULL
RETURNING told_at;

-- name: state_for_mailbox
-- Where a message stands for a mailbox, for somebody who follows a link.
SELECT d.status, d.hold_reason, m.judgement, m.subject, m.summary, m.received_at, o.self_release,
       coalesce(b.language, o.language) AS language, o.time_zone
FROM delivery d
JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id
JOIN organisation o ON o.id = d.organisation_id
JOIN mailbox b ON b.organisation_id = d.organisation_id AND b.id = d.mailbox_id
WHERE d.organisation_id = $1 AND d.mailbox_id = $2 AND d.message_id = $3 ORDER BY d.number LIMIT 1;

-- name: settings
SELECT self_release, digest, digest_hour, time_zone FROM organisation WHERE id = $1;

-- name: save_settings
-- When the next digest is due is worked out anew.
UPDATE organisation SET self_release = $2, digest = $3, digest_hour = $4, time_zone = $5, digest_due_at = NULL
WHERE id = $1;

-- name: set_language
UPDATE mailbox SET language = $3
WHERE organisation_id = $1 AND id = $2 AND language IS DISTINCT FROM $3;

-- name: language_of
SELECT language FROM mailbox WHERE organisation_id = $1 AND id = $2;

-- name: digest_plans
-- Organisations whose digest is due at $1, or not planned.
SELECT id, digest, digest_hour, time_zone, digest_due_at, self_release FROM organisation
WHERE digest <> 'off' AND (digest_due_at IS NULL OR digest_due_at <= $1);

-- name: plan_digest
-- Nothing where somebody else has planned meanwhile ($3: what was planned before).
UPDATE organisation SET digest_due_at = $2 WHERE id = $1 AND digest_due_at IS NOT DISTINCT FROM $3 RETURNING id;

-- name: to_be_told
-- Mailboxes that are kept mail from of which no digest has told them, and that had none for this due time ($2) yet.
SELECT DISTINCT d.mailbox_id FROM delivery d
WHERE d.organisation_id = $1 AND d.status = 'held' AND d.hold_reason = 'quarantined' AND d.mailbox_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM quarantine_told t WHERE t.organisation_id = $1 AND t.mailbox_id = d.mailbox_id
                    AND t.message_id = d.message_id)
  AND NOT EXISTS (SELECT 1 FROM quarantine_digest g WHERE g.organisation_id = $1 AND g.mailbox_id = d.mailbox_id
                    AND g.due_at >= $2)
ORDER BY d.mailbox_id LIMIT $3;

-- name: untold_kept
-- What a mailbox's next digest tells of, the latest first.
SELECT m.id AS message_id, m.received_at, m.judgement, m.subject, m.summary FROM message m
WHERE m.organisation_id = $1 AND m.id IN (
    SELECT d.message_id FROM delivery d
    WHERE d.organisation_id = $1 AND d.mailbox_id = $2 AND d.status = 'held' AND d.hold_reason = 'quarantined'
      AND NOT EXISTS (SELECT 1 FROM quarantine_told t WHERE t.organisation_id = $1 AND t.mailbox_id = $2
                        AND t.message_id = d.message_id))
ORDER BY m.received_at DESC, m.id DESC LIMIT $3;

-- name: digest_address
SELECT a.written AS address, coalesce(b.language, o.language) AS language, o.time_zone, o.self_release,
       o.display_name
FROM mailbox b JOIN organisation o ON o.id = b.organisation_id
LEFT JOIN address a ON a.organisation_id = b.organisation_id AND a.mailbox_id = b.id AND a.is_default
WHERE b.organisation_id = $1 AND b.id = $2 AND b.status = 'active';

-- name: digest_made
-- Nothing where there is one for this due time already.
INSERT INTO quarantine_digest (organisation_id, mailbox_id, due_at) VALUES ($1, $2, $3)
ON CONFLICT (organisation_id, mailbox_id) DO UPDATE SET due_at = excluded.due_at
WHERE quarantine_digest.due_at < excluded.due_at RETURNING due_at;

-- name: told_of
INSERT INTO quarantine_told (organisation_id, mailbox_id, message_id, at)
SELECT $1, $2, unnest($3::bigint[]), $4 ON CONFLICT DO NOTHING;

-- name: forget_told
DELETE FROM quarantine_told t WHERE t.at < $1 AND NOT EXISTS (
    SELECT 1 FROM delivery d WHERE d.organisation_id = t.organisation_id AND d.message_id = t.message_id
      AND d.status = 'held' AND d.hold_reason = 'quarantined');

-- name: sender_rules
SELECT id, sender, action FROM sender_rule WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY sender;

-- name: sender_rules_of
SELECT organisation_id, mailbox_id, sender, action FROM sender_rule
WHERE (organisation_id, mailbox_id) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]));

-- name: save_sender_rule
-- One sender, one rule: the later one counts. Returns the rule's id.
INSERT INTO sender_rule (organisation_id, mailbox_id, id, sender, action) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organisation_id, mailbox_id, sender) DO UPDATE SET action = excluded.action, at = now()
RETURNING id;

-- name: delete_sender_rule
DELETE FROM sender_rule WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3 RETURNING id;
