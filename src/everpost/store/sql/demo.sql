-- What the demo waits for.

-- name: trust_is
SELECT trust_state = $3 FROM primary_server WHERE organisation_id = $1 AND id = $2;

-- name: probes_are_good
SELECT ok AND run_length >= $3 FROM probe_result WHERE organisation_id = $1 AND primary_id = $2;

-- name: nothing_queued
SELECT count(*) = $3 FROM delivery WHERE organisation_id = $1 AND primary_id = $2 AND status = 'queued';

-- name: failback_progress
SELECT count(*) AS total, count(returned_at) AS returned FROM failback_mailbox
WHERE organisation_id = $1 AND failback_id = $2;
