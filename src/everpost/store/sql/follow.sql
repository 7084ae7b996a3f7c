-- The standby follows its primary while the primary is the master.

-- name: master
-- The primary of a mailbox and its trust state.
SELECT p.id, p.trust_state
FROM mailbox m
JOIN domain d ON d.organisation_id = m.organisation_id AND d.id = m.domain_id
JOIN primary_server p ON p.organisation_id = d.organisation_id AND p.id = d.primary_id
WHERE m.organisation_id = $1 AND m.id = $2;

-- name: enrol
-- Mailboxes of a primary that nobody has followed yet, spread over $3 seconds.
INSERT INTO follow_mailbox (organisation_id, mailbox_id, due_at)
SELECT m.organisation_id, m.id, now() + random() * $3::float8 * interval '1 second'
FROM mailbox m JOIN domain d ON d.organisation_id = m.organisation_id AND d.id = m.domain_id
WHERE m.organisation_id = $1 AND d.primary_id = $2 AND m.status = 'active'
  AND NOT EXISTS (SELECT FROM follow_mailbox f WHERE f.organisation_id = m.organisation_id AND f.mailbox_id = m.id)
ON CONFLICT DO NOTHING;

-- name: due
-- Up to $3 mailboxes of a primary whose turn it is, the longest waiting first.
SELECT f.mailbox_id, f.accepts_loss, a.written AS address
FROM follow_mailbox f
JOIN mailbox m ON m.organisation_id = f.organisation_id AND m.id = f.mailbox_id AND m.status = 'active'
JOIN domain d ON d.organisation_id = m.organisation_id AND d.id = m.domain_id AND d.primary_id = $2
JOIN address a ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.id AND a.is_default
WHERE f.organisation_id = $1 AND f.state <> 'paused' AND f.due_at <= now()
ORDER BY f.due_at LIMIT $3;

-- name: done
UPDATE follow_mailbox SET state = $3, reason = $4, due_at = now() + $5::float8 * interval '1 second',
       followed_at = CASE WHEN $3 = 'following' THEN now() ELSE followed_at END,
       accepts_loss = accepts_loss AND $3 <> 'following'
WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: resume
UPDATE follow_mailbox SET state = 'new', reason = '', due_at = now(), accepts_loss = true
WHERE organisation_id = $1 AND mailbox_id = $2 AND state = 'paused';

-- name: list
SELECT a.written AS address, f.state, f.reason, f.followed_at, f.due_at,
       (SELECT count(*) FROM follow_copy c
        WHERE c.organisation_id = f.organisation_id AND c.mailbox_id = f.mailbox_id) AS messages
FROM follow_mailbox f
JOIN address a ON a.organisation_id = f.organisation_id AND a.mailbox_id = f.mailbox_id AND a.is_default
WHERE f.organisation_id = $1 AND ($2::text IS NULL OR f.state = $2)
ORDER BY a.key LIMIT $3;

-- name: folders
SELECT place, validity, uid_next, messages, modseq FROM follow_folder WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: set_folder
INSERT INTO follow_folder (organisation_id, mailbox_id, place, validity, uid_next, messages, modseq)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (organisation_id, mailbox_id, place) DO UPDATE
SET validity = excluded.validity, uid_next = excluded.uid_next, messages = excluded.messages, modseq = excluded.modseq;

-- name: forget_folders
DELETE FROM follow_folder WHERE organisation_id = $1 AND mailbox_id = $2 AND place = ANY($3::text[]);

-- name: forget_place
-- Its UIDs mean nothing any more.
DELETE FROM follow_copy WHERE organisation_id = $1 AND mailbox_id = $2 AND place = $3;

-- name: insert_copies
INSERT INTO follow_copy (organisation_id, mailbox_id, place, uid, message_id, folder_id, keywords)
SELECT $1, $2, $3, c.uid, c.message_id, $4, c.keywords
FROM unnest($5::bigint[], $6::bigint[], $7::text[]) AS c(uid, message_id, keywords)
ON CONFLICT (organisation_id, mailbox_id, place, uid) DO UPDATE
SET message_id = excluded.message_id, folder_id = excluded.folder_id, keywords = excluded.keywords;

-- name: gone
-- Messages that stood in a folder and do not any more ($4: those that do).
SELECT uid, message_id FROM follow_copy
WHERE organisation_id = $1 AND mailbox_id = $2 AND place = $3 AND NOT (uid = ANY($4::bigint[]));

-- name: flagged
-- Messages of a folder that have other keywords now.
SELECT c.uid, c.message_id, n.keywords
FROM unnest($4::bigint[], $5::text[]) AS n(uid, keywords)
JOIN follow_copy c ON c.organisation_id = $1 AND c.mailbox_id = $2 AND c.place = $3 AND c.uid = n.uid
WHERE c.keywords <> n.keywords;

-- name: copies
SELECT place, uid, message_id, folder_id FROM follow_copy
WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = ANY($3::bigint[]);

-- name: number
SELECT count(*) FROM follow_copy WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: delete_copies
DELETE FROM follow_copy c USING unnest($3::text[], $4::bigint[]) AS g(place, uid)
WHERE c.organisation_id = $1 AND c.mailbox_id = $2 AND c.place = g.place AND c.uid = g.uid;

-- name: set_keywords
UPDATE follow_copy c SET keywords = n.keywords
FROM unnest($3::text[], $4::bigint[], $5::text[]) AS n(place, uid, keywords)
WHERE c.organisation_id = $1 AND c.mailbox_id = $2 AND c.place = n.place AND c.uid = n.uid;
