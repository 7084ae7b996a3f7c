-- Conversations, by the Message-IDs that were seen or cited.

-- name: find_threads
SELECT organisation_id, ref, thread_id FROM message_ref
WHERE (organisation_id, ref) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]));

-- name: insert_refs
-- In key order, so that two transactions never wait for each other; who comes second takes the first one's thread.
INSERT INTO message_ref (organisation_id, ref, thread_id)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS r(organisation_id, ref, thread_id)
ORDER BY 1, 2
ON CONFLICT (organisation_id, ref) DO UPDATE SET thread_id = message_ref.thread_id
RETURNING organisation_id, ref, thread_id;

-- name: move_refs
-- Of the Message-IDs just noted ($1, $2), those of a conversation that turned out to be another's ($3 → $4).
UPDATE message_ref r SET thread_id = moved.theirs
FROM unnest($1::bigint[], $2::bigint[]) AS noted(organisation_id, ref),
     unnest($3::bigint[], $4::bigint[]) AS moved(ours, theirs)
WHERE r.organisation_id = noted.organisation_id AND r.ref = noted.ref AND r.thread_id = moved.ours;
