-- What the metrics show of the whole installation.

-- name: queue
-- Two halves: each has its partial index.
SELECT o.name AS organisation, d.kind, d.status, d.reason, d.count
FROM (
    SELECT organisation_id, kind, status, coalesce(hold_reason, '') AS reason, count(*) AS count
    FROM delivery WHERE status = 'queued' GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT organisation_id, kind, status, coalesce(hold_reason, '') AS reason, count(*) AS count
    FROM delivery WHERE status = 'held' GROUP BY 1, 2, 3, 4
) d JOIN organisation o ON o.id = d.organisation_id;

-- name: queue_oldest
-- A lease is no delay: what is leased has its next try in the future.
SELECT coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)::float8
FROM delivery WHERE status = 'queued' AND next_attempt_at < now();

-- name: primaries
SELECT o.name AS organisation, p.name AS name, p.trust_state, r.ok, r.latency_ms
FROM primary_server p JOIN organisation o ON o.id = p.organisation_id
LEFT JOIN probe_result r ON r.organisation_id = p.organisation_id AND r.primary_id = p.id;

-- name: activations
SELECT o.name AS organisation, count(a.id) AS count
FROM organisation o LEFT JOIN activation a
  ON a.organisation_id = o.id AND a.ended_at IS NULL AND a.started_at IS NOT NULL
GROUP BY 1;

-- name: failbacks
SELECT o.name AS organisation, f.state, count(*) AS count
FROM failback f JOIN organisation o ON o.id = f.organisation_id WHERE f.finished_at IS NULL GROUP BY 1, 2;

-- name: open_calls
SELECT count(*) FROM alert_call WHERE done_at IS NULL;

-- name: unlinked
SELECT count(*) FROM audit_unlinked;
