-- What the console asks besides what the house's own parts answer. Every query names the organisation.

-- name: organisations
-- The one ($1) an administrator may see, or all; with $2 the one of that name.
SELECT id, name, display_name, signing_public FROM organisation
WHERE ($1::bigint IS NULL OR id = $1) AND ($2::text IS NULL OR name = $2) ORDER BY name LIMIT 1000;

-- name: primary_names
SELECT id, name FROM primary_server WHERE organisation_id = $1;

-- name: primary
SELECT id, name, trust_state FROM primary_server WHERE organisation_id = $1 AND id = $2;

-- name: fingerprints
-- What changes when something does. Of the queue a part is looked at, so that a long one costs no more.
SELECT o.id,
    (SELECT string_agg(concat_ws(' ', p.id, p.trust_state, p.state_since, r.ok, r.stage), ',' ORDER BY p.id)
     FROM primary_server p LEFT JOIN probe_result r ON r.organisation_id = p.organisation_id AND r.primary_id = p.id
     WHERE p.organisation_id = o.id) AS primaries,
    concat_ws(' ',
        (SELECT concat_ws(' ', count(*), count(started_at), count(ended_at)) FROM activation
         WHERE organisation_id = o.id),
        (SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE open), max(since)) FROM access_switch
         WHERE organisation_id = o.id)) AS activations,
    concat_ws(' ',
        (SELECT count(*) FROM failback WHERE organisation_id = o.id),
        (SELECT string_agg(concat_ws(' ', f.id, f.state, f.reason, m.progress), ',' ORDER BY f.id)
         FROM failback f CROSS JOIN LATERAL (
             SELECT string_agg(concat_ws(' ', g.state, g.count, g.replayed), ' ' ORDER BY g.state) AS progress FROM (
                 SELECT b.state, count(*), sum(b.replayed_modseq) AS replayed FROM failback_mailbox b
                 WHERE b.organisation_id = f.organisation_id AND b.failback_id = f.id GROUP BY 1) g) m
         WHERE f.organisation_id = o.id AND f.finished_at IS NULL)) AS failbacks,
    (SELECT concat_ws(' ', count(*), count(finished_at)) FROM drill WHERE organisation_id = o.id) AS drills,
    (SELECT max(id) FROM alert WHERE organisation_id = o.id) AS alerts,
    concat_ws(' ',
        (SELECT concat_ws(' ', count(*), sum(attempts), max(next_attempt_at)) FROM (
            SELECT attempts, next_attempt_at FROM delivery
            WHERE organisation_id = o.id AND status = 'queued' LIMIT 2000) q),
        (SELECT concat_ws(' ', count(*), min(message_id), max(message_id)) FROM (
            SELECT message_id FROM delivery WHERE organisation_id = o.id AND status = 'held' LIMIT 2000) h),
        (SELECT concat_ws(' ', count(*), max(since)) FROM suspension WHERE organisation_id = o.id),
        (SELECT concat_ws(' ', count(*), max(since)) FROM lane_binding WHERE organisation_id = o.id)) AS queue,
    concat_ws(' ',
        (SELECT max(received_at) FROM message WHERE organisation_id = o.id),
        (SELECT max(done_at) FROM delivery WHERE organisation_id = o.id AND status = 'delivered')) AS mail
FROM organisation o WHERE o.id = ANY($1::bigint[]);

-- name: accepted_by_minute
SELECT floor(extract(epoch FROM received_at - $2) / 60)::int AS minute, count(*) FROM (
    SELECT received_at FROM message WHERE organisation_id = $1 AND received_at >= $2
    ORDER BY received_at DESC LIMIT $3) m
GROUP BY 1;

-- name: delivered_by_minute
SELECT floor(extract(epoch FROM done_at - $2) / 60)::int AS minute, count(*) FROM (
    SELECT done_at FROM delivery WHERE organisation_id = $1 AND status = 'delivered' AND done_at >= $2
    ORDER BY done_at DESC LIMIT $3) d
GROUP BY 1;

-- name: scope_by_name
SELECT CASE $2::text
    WHEN 'organisation' THEN (SELECT id FROM organisation WHERE id = $1 AND name = $3)
    WHEN 'primary' THEN (SELECT id FROM primary_server WHERE organisation_id = $1 AND name = $3)
    WHEN 'domain' THEN (SELECT id FROM domain WHERE organisation_id = $1 AND name = lower($3))
    WHEN 'group' THEN (SELECT id FROM mail_group WHERE organisation_id = $1 AND name = $3)
    ELSE (SELECT mailbox_id FROM address WHERE organisation_id = $1 AND key = $3)
END;

-- name: scopes
-- What a switch can be thrown for, with how many mailboxes each covers; single mailboxes are searched for.
SELECT 'organisation' AS kind, o.id, o.name, (SELECT count(*) FROM mailbox WHERE organisation_id = $1) AS mailboxes
FROM organisation o WHERE o.id = $1
UNION ALL
SELECT 'primary', p.id, p.name, (
    SELECT count(*) FROM domain d JOIN mailbox m ON m.organisation_id = $1 AND m.domain_id = d.id
    WHERE d.organisation_id = $1 AND d.primary_id = p.id)
FROM primary_server p WHERE p.organisation_id = $1
UNION ALL
SELECT 'domain', d.id, d.name, (SELECT count(*) FROM mailbox m WHERE m.organisation_id = $1 AND m.domain_id = d.id)
FROM domain d WHERE d.organisation_id = $1
UNION ALL
(WITH RECURSIVE up(mailbox_id, group_id) AS (
    SELECT mailbox_id, group_id FROM group_member WHERE organisation_id = $1 AND mailbox_id IS NOT NULL
    UNION
    SELECT up.mailbox_id, g.group_id
    FROM up JOIN group_member g ON g.organisation_id = $1 AND g.member_group_id = up.group_id
)
SELECT 'group', g.id, g.name, (SELECT count(*) FROM up WHERE up.group_id = g.id)
FROM mail_group g WHERE g.organisation_id = $1 ORDER BY g.name LIMIT 1000);

-- name: find_mailboxes
-- Mailboxes whose name or one of whose addresses contains a text.
SELECT m.id, m.name, d.written AS address FROM mailbox m
LEFT JOIN address d ON d.organisation_id = $1 AND d.mailbox_id = m.id AND d.is_default
WHERE m.organisation_id = $1 AND (strpos(lower(m.name), lower($2)) > 0 OR EXISTS (
    SELECT 1 FROM address a WHERE a.organisation_id = $1 AND a.mailbox_id = m.id AND strpos(a.key, lower($2)) > 0))
ORDER BY m.name, m.id LIMIT 20;

-- name: activations
-- That of $2, or all that have not ended, or with $3 all; the latest first, from $4 on.
SELECT a.id, a.scope_kind, a.scope_id, CASE a.scope_kind
           WHEN 'organisation' THEN (SELECT o.name FROM organisation o WHERE o.id = $1)
           WHEN 'primary' THEN (SELECT p.name FROM primary_server p WHERE p.organisation_id = $1 AND p.id = a.scope_id)
           WHEN 'domain' THEN (SELECT d.name FROM domain d WHERE d.organisation_id = $1 AND d.id = a.scope_id)
           WHEN 'group' THEN (SELECT g.name FROM mail_group g WHERE g.organisation_id = $1 AND g.id = a.scope_id)
           ELSE (SELECT w.written FROM address w WHERE w.organisation_id = $1 AND w.mailbox_id = a.scope_id AND w.is_default)
       END AS scope_name,
       CASE a.scope_kind
           WHEN 'organisation' THEN (SELECT count(*) FROM mailbox WHERE organisation_id = $1)
           WHEN 'primary' THEN (
               SELECT count(*) FROM domain d JOIN mailbox m ON m.organisation_id = $1 AND m.domain_id = d.id
               WHERE d.organisation_id = $1 AND d.primary_id = a.scope_id)
           WHEN 'domain' THEN (SELECT count(*) FROM mailbox m WHERE m.organisation_id = $1 AND m.domain_id = a.scope_id)
           WHEN 'mailbox' THEN 1
           ELSE (
               WITH RECURSIVE below(id) AS (
                   SELECT a.scope_id
                   UNION
                   SELECT g.member_group_id FROM below JOIN group_member g
                     ON g.organisation_id = $1 AND g.group_id = below.id WHERE g.member_group_id IS NOT NULL)
               SELECT count(DISTINCT g.mailbox_id) FROM group_member g JOIN below ON g.group_id = below.id
               WHERE g.organisation_id = $1 AND g.mailbox_id IS NOT NULL)
       END AS mailboxes,
       (SELECT count(*) FROM failback f JOIN failback_mailbox m
          ON m.organisation_id = f.organisation_id AND m.failback_id = f.id
        WHERE f.organisation_id = $1 AND f.activation_id = a.id AND m.returned_at IS NOT NULL) AS returned,
       (SELECT f.id FROM failback f WHERE f.organisation_id = $1 AND f.activation_id = a.id
        ORDER BY f.started_at DESC LIMIT 1) AS failback_id,
       a.cause, a.reason, a.actor, a.opens_access, a.starts_at, a.started_at, a.ends_at, a.ended_at
FROM activation a
WHERE a.organisation_id = $1 AND ($2::bigint IS NULL OR a.id = $2) AND ($3 OR a.ended_at IS NULL)
ORDER BY a.starts_at DESC, a.id DESC OFFSET $4 LIMIT $5;

-- name: failbacks
SELECT f.id, f.activation_id, f.state, f.reason, f.wave_size, f.actor, f.started_at, f.finished_at,
       a.scope_kind, a.scope_id, CASE a.scope_kind
           WHEN 'organisation' THEN (SELECT o.name FROM organisation o WHERE o.id = $1)
           WHEN 'primary' THEN (SELECT p.name FROM primary_server p WHERE p.organisation_id = $1 AND p.id = a.scope_id)
           WHEN 'domain' THEN (SELECT d.name FROM domain d WHERE d.organisation_id = $1 AND d.id = a.scope_id)
           WHEN 'group' THEN (SELECT g.name FROM mail_group g WHERE g.organisation_id = $1 AND g.id = a.scope_id)
           ELSE (SELECT w.written FROM address w WHERE w.organisation_id = $1 AND w.mailbox_id = a.scope_id AND w.is_default)
       END AS scope_name, f.report IS NOT NULL AS has_report, m.mailboxes, m.returned, m.problems
FROM failback f
JOIN activation a ON a.organisation_id = f.organisation_id AND a.id = f.activation_id
CROSS JOIN LATERAL (
    SELECT count(*) AS mailboxes, count(*) FILTER (WHERE b.returned_at IS NOT NULL) AS returned,
           count(*) FILTER (WHERE b.state = 'problem') AS problems
    FROM failback_mailbox b WHERE b.organisation_id = f.organisation_id AND b.failback_id = f.id) m
WHERE f.organisation_id = $1 AND ($2::bigint IS NULL OR f.id = $2)
ORDER BY f.started_at DESC, f.id DESC OFFSET $3 LIMIT $4;

-- name: failback_mailboxes
SELECT b.mailbox_id, b.wave, b.state, b.problem, b.figures, b.returned_at, m.name, a.written AS address
FROM failback_mailbox b
JOIN mailbox m ON m.organisation_id = b.organisation_id AND m.id = b.mailbox_id
LEFT JOIN address a ON a.organisation_id = b.organisation_id AND a.mailbox_id = b.mailbox_id AND a.is_default
WHERE b.organisation_id = $1 AND b.failback_id = $2 ORDER BY b.wave, b.mailbox_id OFFSET $3 LIMIT $4;

-- name: failback_states
SELECT state, count(*) FROM failback_mailbox WHERE organisation_id = $1 AND failback_id = $2 GROUP BY 1;

-- name: drills
SELECT d.id, d.scope_kind, d.scope_id, CASE d.scope_kind
           WHEN 'group' THEN (SELECT g.name FROM mail_group g WHERE g.organisation_id = $1 AND g.id = d.scope_id)
           ELSE (SELECT w.written FROM address w WHERE w.organisation_id = $1 AND w.mailbox_id = d.scope_id AND w.is_default)
       END AS scope_name, d.actor, d.started_at, d.finished_at, d.outcome, d.figures
FROM drill d
WHERE d.organisation_id = $1 AND ($2::bigint IS NULL OR d.id = $2)
ORDER BY d.started_at DESC, d.id DESC OFFSET $3 LIMIT $4;

-- name: alerts
SELECT id, at, kind, subject, text FROM alert
WHERE organisation_id = $1 AND at > now() - interval '7 days' ORDER BY id DESC LIMIT 50;

-- name: oldest_searched
-- Where a search for messages stops that has looked at so many.
SELECT received_at FROM message WHERE organisation_id = $1 AND received_at >= $2 AND received_at < $3
ORDER BY received_at DESC OFFSET $4 LIMIT 1;

-- name: messages_since
-- Messages to ($4) or from ($5) an address among the latest $6 since $2 and before $3.
SELECT m.id, m.direction, m.received_at, m.reverse_path, m.subject FROM (
    SELECT id, direction, received_at, reverse_path, subject FROM message
    WHERE organisation_id = $1 AND received_at >= $2 AND received_at < $3 ORDER BY received_at DESC LIMIT $6) m
WHERE ($4::text IS NULL OR EXISTS (
        SELECT 1 FROM delivery d WHERE d.organisation_id = $1 AND d.message_id = m.id
          AND $4 IN (lower(d.recipient), lower(d.accepted_as))))
  AND ($5::text IS NULL OR lower(m.reverse_path) = $5)
ORDER BY m.received_at DESC LIMIT $7;

-- name: audit_page
-- The latest before $2, of those whose action begins with $3 and whose subject is $4; $5: also each acceptance of mail.
-- It looks at $6 events at most.
SELECT id, at, actor, action, subject, detail FROM (
    SELECT id, at, actor, action, subject, detail FROM audit_event
    WHERE organisation_id = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $6) looked
WHERE ($5 OR action <> 'intake.accept') AND ($3::text IS NULL OR starts_with(action, $3))
  AND ($4::text IS NULL OR subject = $4)
ORDER BY id DESC LIMIT $7;

-- name: audit_lowest
-- Where such a look ended, and whether it ended for want of events.
SELECT min(id) AS id, count(*) < $3 AS complete FROM (
    SELECT id FROM audit_event WHERE organisation_id = $1 AND ($2::bigint IS NULL OR id < $2)
    ORDER BY id DESC LIMIT $3) looked;

-- name: scope_name
SELECT CASE $2::text
    WHEN 'organisation' THEN (SELECT o.name FROM organisation o WHERE o.id = $1)
    WHEN 'primary' THEN (SELECT p.name FROM primary_server p WHERE p.organisation_id = $1 AND p.id = $3)
    WHEN 'domain' THEN (SELECT d.name FROM domain d WHERE d.organisation_id = $1 AND d.id = $3)
    WHEN 'group' THEN (SELECT g.name FROM mail_group g WHERE g.organisation_id = $1 AND g.id = $3)
    ELSE (SELECT w.written FROM address w WHERE w.organisation_id = $1 AND w.mailbox_id = $3 AND w.is_default)
END;
