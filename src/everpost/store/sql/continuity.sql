-- Trust states, switches, probes.

-- name: trust_states
SELECT organisation_id, id, trust_state FROM primary_server;

-- name: open_activations
SELECT a.organisation_id, a.id, a.scope_kind, a.scope_id, a.opens_access,
       array(SELECT m.mailbox_id FROM failback f JOIN failback_mailbox m
               ON m.organisation_id = f.organisation_id AND m.failback_id = f.id
             WHERE f.organisation_id = a.organisation_id AND f.activation_id = a.id
               AND m.returned_at IS NOT NULL) AS returned
FROM activation a WHERE a.started_at IS NOT NULL AND a.ended_at IS NULL;

-- name: access_switches
SELECT organisation_id, scope_kind, scope_id, open FROM access_switch;

-- name: lock_primary
SELECT id, name, settings, trust_state, state_since, state_cause, state_actor, state_reason FROM primary_server
WHERE organisation_id = $1 AND id = $2 FOR UPDATE;

-- name: set_trust_state
UPDATE primary_server
SET trust_state = $3, state_since = $4, state_cause = $5, state_actor = $6, state_reason = $7
WHERE organisation_id = $1 AND id = $2;

-- name: insert_activation
INSERT INTO activation
    (organisation_id, id, scope_kind, scope_id, opens_access, cause, reason, actor, starts_at, started_at, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: activation_of_scope
SELECT id, scope_kind, scope_id, opens_access, cause, reason, actor, starts_at, started_at, ends_at FROM activation
WHERE organisation_id = $1 AND scope_kind = $2 AND scope_id = $3 AND ended_at IS NULL
ORDER BY started_at NULLS LAST LIMIT 1;

-- name: activation
SELECT id, scope_kind, scope_id, opens_access, cause, reason, actor, starts_at, started_at, ends_at, ended_at
FROM activation WHERE organisation_id = $1 AND id = $2;

-- name: activations
SELECT id, scope_kind, scope_id, opens_access, cause, reason, actor, starts_at, started_at, ends_at, ended_at
FROM activation WHERE organisation_id = $1 AND ($2 OR ended_at IS NULL) ORDER BY starts_at DESC LIMIT 200;

-- name: set_activation_cause
UPDATE activation SET cause = $3, reason = $4, actor = $5 WHERE organisation_id = $1 AND id = $2;

-- name: anything_returned
SELECT EXISTS (
    SELECT 1 FROM failback f JOIN failback_mailbox m ON m.organisation_id = f.organisation_id AND m.failback_id = f.id
    WHERE f.organisation_id = $1 AND f.activation_id = $2 AND m.returned_at IS NOT NULL);

-- name: lock_due_activation
SELECT id, scope_kind, scope_id, opens_access, reason, actor FROM activation
WHERE organisation_id = $1 AND id = $2 AND started_at IS NULL AND ended_at IS NULL FOR UPDATE SKIP LOCKED;

-- name: last_probe
SELECT ok, stage, detail, at FROM probe_result WHERE organisation_id = $1 AND primary_id = $2;

-- name: start_activation
UPDATE activation SET started_at = $3 WHERE organisation_id = $1 AND id = $2;

-- name: end_activation
UPDATE activation SET ended_at = $3 WHERE organisation_id = $1 AND id = $2 AND ended_at IS NULL;

-- name: due_activations
SELECT organisation_id, id, scope_kind, scope_id, actor FROM activation
WHERE started_at IS NULL AND ended_at IS NULL AND starts_at <= now();

-- name: overdue_activations
-- Scheduled to end, and nobody has begun to bring them back.
SELECT a.organisation_id, a.id, a.scope_kind, a.scope_id, a.actor FROM activation a
WHERE a.started_at IS NOT NULL AND a.ended_at IS NULL AND a.ends_at <= now()
  AND NOT EXISTS (SELECT 1 FROM failback f WHERE f.organisation_id = a.organisation_id AND f.activation_id = a.id);

-- name: recent_activations
SELECT organisation_id, scope_kind, scope_id FROM activation
WHERE started_at > now() - make_interval(secs => $1) AND ended_at IS NULL;

-- name: mailboxes_in_scope
-- The mailboxes a scope covers, with the primary they have and their default address.
WITH RECURSIVE member_groups(id) AS (
    SELECT $3::bigint WHERE $2 = 'group'
    UNION
    SELECT g.member_group_id FROM member_groups JOIN group_member g
      ON g.organisation_id = $1 AND g.group_id = member_groups.id WHERE g.member_group_id IS NOT NULL
)
SELECT m.id, m.name, m.alternate, m.domain_id, d.primary_id, a.written AS address
FROM mailbox m
JOIN domain d ON d.organisation_id = m.organisation_id AND d.id = m.domain_id
LEFT JOIN address a ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.id AND a.is_default
WHERE m.organisation_id = $1 AND CASE $2
    WHEN 'organisation' THEN true
    WHEN 'primary' THEN d.primary_id = $3
    WHEN 'domain' THEN m.domain_id = $3
    WHEN 'mailbox' THEN m.id = $3
    ELSE m.id IN (SELECT g.mailbox_id FROM group_member g JOIN member_groups ON g.group_id = member_groups.id
                  WHERE g.organisation_id = $1 AND g.mailbox_id IS NOT NULL)
END
ORDER BY m.id;

-- name: scope_exists
SELECT CASE $2::text
    WHEN 'organisation' THEN $1::bigint = $3::bigint AND EXISTS (SELECT 1 FROM organisation WHERE id = $1)
    WHEN 'primary' THEN EXISTS (SELECT 1 FROM primary_server WHERE organisation_id = $1 AND id = $3)
    WHEN 'domain' THEN EXISTS (SELECT 1 FROM domain WHERE organisation_id = $1 AND id = $3)
    WHEN 'group' THEN EXISTS (SELECT 1 FROM mail_group WHERE organisation_id = $1 AND id = $3)
    ELSE EXISTS (SELECT 1 FROM mailbox WHERE organisation_id = $1 AND id = $3)
END;

-- name: groups_of_organisation
-- Every group each mailbox is in, directly or through other groups.
WITH RECURSIVE up(mailbox_id, group_id) AS (
    SELECT mailbox_id, group_id FROM group_member WHERE organisation_id = $1 AND mailbox_id IS NOT NULL
    UNION
    SELECT up.mailbox_id, g.group_id
    FROM up JOIN group_member g ON g.organisation_id = $1 AND g.member_group_id = up.group_id
)
SELECT mailbox_id, array_agg(group_id) AS group_ids FROM up GROUP BY mailbox_id;

-- name: hold_queued_of_primary
-- Re-homes what is queued for a primary, at most $4 at a time; $5 are mailboxes that have been given back.
-- A lease stays: if the attempt under way succeeds, it counts.
UPDATE delivery SET status = 'held', hold_reason = $3
WHERE (organisation_id, message_id, number) IN (
    SELECT organisation_id, message_id, number FROM delivery
    WHERE lane = 'primary:' || $2::bigint AND status = 'queued' AND organisation_id = $1 AND kind = 'primary'
      AND hold_reason IS NULL AND mailbox_id <> ALL($5::bigint[])
    LIMIT $4)
  AND status = 'queued'
RETURNING message_id;

-- name: hold_queued_of_mailboxes
-- The same for some of a primary's mailboxes ($5).
UPDATE delivery SET status = 'held', hold_reason = $3
WHERE (organisation_id, message_id, number) IN (
    SELECT organisation_id, message_id, number FROM delivery
    WHERE lane = 'primary:' || $2::bigint AND status = 'queued' AND organisation_id = $1 AND kind = 'primary'
      AND hold_reason IS NULL AND mailbox_id = ANY($5::bigint[])
    LIMIT $4)
  AND status = 'queued'
RETURNING message_id;

-- name: set_hold_reason_of_primary
UPDATE delivery SET hold_reason = $3
WHERE organisation_id = $1 AND primary_id = $2 AND status = 'held' AND hold_reason = ANY($4::text[]);

-- name: freeze_relayed
-- What a primary had relayed and is still queued for the internet: told apart by its domains and, for the null
-- reverse-path, by nothing, so that it waits too.
UPDATE delivery d SET status = 'held', hold_reason = 'compromised'
FROM message m
WHERE d.organisation_id = $1 AND d.kind = 'internet' AND d.status = 'queued'
  AND m.organisation_id = d.organisation_id AND m.id = d.message_id AND m.source = 'smarthost'
  AND (m.reverse_path IS NULL OR EXISTS (
      SELECT 1 FROM domain o WHERE o.organisation_id = $1 AND o.primary_id = $2
        AND o.name = lower(split_part(m.reverse_path, '@', -1))))
RETURNING d.message_id;

-- name: thaw_relayed
-- A clean bill does not send what may have been an attacker's: a person looks at each.
UPDATE delivery SET hold_reason = 'operator'
WHERE organisation_id = $1 AND kind = 'internet' AND status = 'held' AND hold_reason = 'compromised';

-- name: activations_touching_primary
-- Open activations of everything a primary serves as a whole.
SELECT a.id, a.scope_kind, a.scope_id, a.opens_access, a.cause, a.reason, a.actor FROM activation a
WHERE a.organisation_id = $1 AND a.started_at IS NOT NULL AND a.ended_at IS NULL AND CASE a.scope_kind
    WHEN 'organisation' THEN true
    WHEN 'primary' THEN a.scope_id = $2
    WHEN 'domain' THEN EXISTS (
        SELECT 1 FROM domain d WHERE d.organisation_id = $1 AND d.id = a.scope_id AND d.primary_id = $2)
    ELSE false
END
ORDER BY a.id;

-- name: insert_access_switch
INSERT INTO access_switch (organisation_id, scope_kind, scope_id, open, actor) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organisation_id, scope_kind, scope_id)
DO UPDATE SET open = excluded.open, actor = excluded.actor, since = now();

-- name: delete_access_switch
DELETE FROM access_switch WHERE organisation_id = $1 AND scope_kind = $2 AND scope_id = $3;

-- name: record_probe
INSERT INTO probe_result AS p
    (organisation_id, primary_id, at, ok, stage, detail, run_length, run_since, latency_ms)
VALUES ($1, $2, $3, $4, $5, $6, 1, $3, $7)
ON CONFLICT (organisation_id, primary_id) DO UPDATE SET
    at = excluded.at, ok = excluded.ok, stage = excluded.stage, detail = excluded.detail,
    latency_ms = excluded.latency_ms,
    run_length = CASE WHEN p.ok = excluded.ok THEN p.run_length + 1 ELSE 1 END,
    run_since = CASE WHEN p.ok = excluded.ok THEN p.run_since ELSE excluded.at END;

-- name: probe_results
SELECT primary_id, at, ok, stage, detail, run_length, run_since, latency_ms FROM probe_result
WHERE organisation_id = $1;

-- name: contacts
SELECT id, kind, target FROM contact WHERE organisation_id = $1 ORDER BY kind, target;

-- name: insert_contact
INSERT INTO contact (organisation_id, id, kind, target) VALUES ($1, $2, $3, $4);

-- name: delete_contact
DELETE FROM contact WHERE organisation_id = $1 AND target = $2 RETURNING id;

-- name: insert_alert
INSERT INTO alert (organisation_id, id, kind, subject, text, people_kind, people_id) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: alerts
SELECT id, kind, subject, text, at FROM alert WHERE organisation_id = $1 ORDER BY id DESC LIMIT $2;

-- name: insert_alert_calls
INSERT INTO alert_call (organisation_id, alert_id, contact_id)
SELECT organisation_id, $2, id FROM contact WHERE organisation_id = $1;

-- name: claim_alert_calls
-- The next try is written before the call, so that a crash repeats it later instead of losing it.
UPDATE alert_call w SET attempts = w.attempts + 1,
    next_attempt_at = now() + least(interval '1 hour', interval '15 seconds' * 2 ^ least(w.attempts, 10))
FROM contact c, alert a, organisation o
WHERE (w.organisation_id, w.alert_id, w.contact_id) IN (
        SELECT organisation_id, alert_id, contact_id FROM alert_call
        WHERE done_at IS NULL AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 20
        FOR UPDATE SKIP LOCKED)
  AND c.organisation_id = w.organisation_id AND c.id = w.contact_id
  AND a.organisation_id = w.organisation_id AND a.id = w.alert_id
  AND o.id = w.organisation_id
RETURNING w.organisation_id, w.alert_id, w.contact_id, w.attempts, c.kind AS channel, c.target,
          a.kind, a.subject, a.text, a.at, o.name AS organisation;

-- name: alert_called
UPDATE alert_call SET last_result = $4, done_at = CASE WHEN $5 THEN now() END
WHERE organisation_id = $1 AND alert_id = $2 AND contact_id = $3;

-- name: due_people_alerts
SELECT organisation_id, id, kind, subject, text, people_kind, people_id FROM alert
WHERE people_kind IS NOT NULL AND people_told_at IS NULL ORDER BY organisation_id, id LIMIT 10;

-- name: people_told
UPDATE alert SET people_told_at = now() WHERE organisation_id = $1 AND id = $2 AND people_told_at IS NULL RETURNING id;

-- name: insert_drill
INSERT INTO drill (organisation_id, id, scope_kind, scope_id, actor, started_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: finish_drill
UPDATE drill SET finished_at = now(), outcome = $3, figures = $4 WHERE organisation_id = $1 AND id = $2;

-- name: drills
SELECT id, scope_kind, scope_id, actor, started_at, finished_at, outcome, figures FROM drill
WHERE organisation_id = $1 ORDER BY started_at DESC LIMIT 50;

-- name: canary_arrived
-- The entries of a message by its Message-ID in these mailboxes.
SELECT e.mailbox_id, e.message_id FROM message_ref r
JOIN message m ON m.organisation_id = r.organisation_id AND m.thread_id = r.thread_id AND m.message_id = $4
JOIN entry e ON e.organisation_id = m.organisation_id AND e.message_id = m.id AND e.mailbox_id = ANY($2::bigint[])
WHERE r.organisation_id = $1 AND r.ref = $3;
