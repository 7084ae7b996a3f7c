-- One look at the whole installation. Nothing here reads a table that grows with the mail: where it counts messages,
-- it estimates, and says so.

-- name: installation
SELECT pg_database_size(current_database()) AS octets, current_setting('server_version') AS version,
       (SELECT value FROM generation WHERE name = 'continuity') AS generation,
       (SELECT greatest(c.reltuples, s.n_live_tup, 0)::bigint FROM pg_class c
        LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = 'message'::regclass) AS messages_estimate,
       (SELECT greatest(c.reltuples, s.n_live_tup, 0)::bigint FROM pg_class c
        LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = 'entry'::regclass) AS entries_estimate;

-- name: workers
-- As `workers_behind` counts them: what was not seen for 10 s is not waited for.
SELECT run, host, pid, started_at, seen_at, seen_at > now() - interval '10 seconds' AS alive,
       generation < (SELECT value FROM generation WHERE name = 'continuity') AS behind
FROM worker ORDER BY host, run LIMIT 1000;

-- name: primaries
SELECT p.id, p.name, p.trust_state, p.state_since, p.state_cause, p.state_reason, p.state_actor,
       r.ok AS probe_ok, r.at AS probed_at, r.stage AS probe_stage, r.detail AS probe_detail, r.run_since AS probe_since,
       (SELECT count(*) FROM domain d WHERE d.organisation_id = $1 AND d.primary_id = p.id) AS domains,
       (SELECT count(*) FROM domain d JOIN mailbox m ON m.organisation_id = $1 AND m.domain_id = d.id
        WHERE d.organisation_id = $1 AND d.primary_id = p.id) AS mailboxes,
       EXISTS (
           SELECT 1 FROM activation a
           WHERE a.organisation_id = $1 AND a.started_at IS NOT NULL AND a.ended_at IS NULL AND CASE a.scope_kind
               WHEN 'organisation' THEN true
               WHEN 'primary' THEN a.scope_id = p.id
               WHEN 'domain' THEN EXISTS (
                   SELECT 1 FROM domain d WHERE d.organisation_id = $1 AND d.id = a.scope_id AND d.primary_id = p.id)
               ELSE false END) AS activated
FROM primary_server p
LEFT JOIN probe_result r ON r.organisation_id = p.organisation_id AND r.primary_id = p.id
WHERE p.organisation_id = $1 ORDER BY p.name;

-- name: activations
SELECT a.id, a.scope_kind, CASE a.scope_kind
           WHEN 'organisation' THEN (SELECT o.name FROM organisation o WHERE o.id = $1)
           WHEN 'primary' THEN (SELECT p.name FROM primary_server p WHERE p.organisation_id = $1 AND p.id = a.scope_id)
           WHEN 'domain' THEN (SELECT d.name FROM domain d WHERE d.organisation_id = $1 AND d.id = a.scope_id)
           WHEN 'group' THEN (SELECT g.name FROM mail_group g WHERE g.organisation_id = $1 AND g.id = a.scope_id)
           ELSE (SELECT w.written FROM address w WHERE w.organisation_id = $1 AND w.mailbox_id = a.scope_id AND w.is_default)
       END AS scope_name,
       a.cause, a.reason, a.actor, a.opens_access, a.starts_at, a.started_at, a.ends_at
FROM activation a WHERE a.organisation_id = $1 AND a.ended_at IS NULL ORDER BY a.starts_at;

-- name: failbacks
SELECT f.id, f.activation_id, f.state, f.reason, f.actor, f.started_at, m.mailboxes, m.returned, m.problems
FROM failback f CROSS JOIN LATERAL (
    SELECT count(*) AS mailboxes, count(*) FILTER (WHERE returned_at IS NOT NULL) AS returned,
           count(*) FILTER (WHERE state = 'problem') AS problems
    FROM failback_mailbox b WHERE b.organisation_id = f.organisation_id AND b.failback_id = f.id) m
WHERE f.organisation_id = $1 AND f.finished_at IS NULL ORDER BY f.started_at;

-- name: alerts
-- Calls that have not got through: under way, late (older than a minute), or given up during the last day.
SELECT c.kind AS channel, c.target, a.subject, a.at, w.attempts, w.last_result,
       w.done_at IS NOT NULL AS given_up, a.at < now() - interval '1 minute' AS late
FROM alert_call w
JOIN alert a ON a.organisation_id = w.organisation_id AND a.id = w.alert_id
JOIN contact c ON c.organisation_id = w.organisation_id AND c.id = w.contact_id
WHERE w.organisation_id = $1
  AND (w.done_at IS NULL OR (w.attempts >= $2 AND w.done_at > now() - interval '1 day'))
ORDER BY a.at DESC LIMIT 100;

-- name: mailboxes
SELECT count(*) FROM mailbox WHERE organisation_id = $1;
