-- Lessons of what is spam, and the models that are made from them.

-- name: say
-- A person's word on a message; a later one takes its place. Saying the same again changes nothing.
INSERT INTO lesson (organisation_id, mailbox_id, message_id, verdict, said_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organisation_id, mailbox_id, message_id) DO UPDATE SET verdict = excluded.verdict, said_at = excluded.said_at
WHERE lesson.verdict <> excluded.verdict;

-- name: teach
-- A message from a file, read already.
INSERT INTO lesson (organisation_id, mailbox_id, message_id, verdict, said_at, learned, version, features)
VALUES ($1, 0, $2, $3, $4, $3, $5, $6)
ON CONFLICT (organisation_id, mailbox_id, message_id) DO UPDATE SET
    verdict = excluded.verdict, said_at = excluded.said_at, learned = excluded.learned, version = excluded.version,
    features = excluded.features
WHERE lesson.learned <> excluded.learned OR lesson.version IS DISTINCT FROM excluded.version
RETURNING message_id;

-- name: new_lessons
-- With what is needed to read the message; no blob where it is gone.
SELECT l.organisation_id, l.mailbox_id, l.message_id, l.verdict, l.version, m.blob_id, m.direction
FROM lesson l LEFT JOIN message m ON m.organisation_id = l.organisation_id AND m.id = l.message_id
WHERE l.learned <> l.verdict ORDER BY l.said_at LIMIT $1;

-- name: learned
-- Only if the word is still the same; features are kept where $7 is none.
UPDATE lesson SET learned = $4, version = coalesce($6, version), features = coalesce($7::integer[], features)
WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = $3 AND verdict = $5;

-- name: drop_lesson
DELETE FROM lesson WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = $3;

-- name: trim_lessons
-- Of one teacher's lessons the newest $3 of each class are kept; the others are forgotten.
-- An array, so that they are looked for once whatever the planner thinks of a table it has not seen yet.
DELETE FROM lesson WHERE organisation_id = $1 AND mailbox_id = $2 AND message_id = ANY (ARRAY(
    SELECT message_id FROM (
        SELECT message_id, row_number() OVER (PARTITION BY verdict ORDER BY said_at DESC, message_id DESC) AS place
        FROM lesson WHERE organisation_id = $1 AND mailbox_id = $2) AS ranked
    WHERE place > $3));

-- name: read_again
-- What people said, where it was read by an older version: the messages are there still.
UPDATE lesson SET learned = 'none' WHERE mailbox_id <> 0 AND learned <> 'none' AND version <> $1;

-- name: spoil
INSERT INTO classifier (organisation_id, stale) VALUES ($1, true)
ON CONFLICT (organisation_id) DO UPDATE SET stale = true WHERE NOT classifier.stale;

-- name: stale
-- The prior first: all others are made over it.
SELECT organisation_id FROM classifier WHERE stale AND (made_at IS NULL OR made_at < $1) ORDER BY organisation_id;

-- name: lock_model
SELECT generation FROM classifier WHERE organisation_id = $1 FOR UPDATE;

-- name: people
SELECT count(*) FROM mailbox WHERE organisation_id = $1 AND status = 'active';

-- name: amounts
-- Lessons of each class in thousandths: those of one person together weigh $3 messages at most.
WITH weighed AS (
    SELECT learned, CASE WHEN mailbox_id = 0 THEN 1000
                         ELSE least(1000, greatest(1, $3::bigint * 1000 / count(*) OVER (PARTITION BY mailbox_id))) END AS weight
    FROM lesson WHERE organisation_id = $1 AND learned <> 'none' AND version = $2
)
SELECT coalesce(sum(weight) FILTER (WHERE learned = 'spam'), 0)::bigint AS spam,
       coalesce(sum(weight) FILTER (WHERE learned = 'ham'), 0)::bigint AS ham, count(*) AS lessons
FROM weighed;

-- name: features
-- What at least two messages have, and, unless an administrator taught it, at least $4 (1 or 2) people.
WITH weighed AS (
    SELECT mailbox_id, learned, features,
           CASE WHEN mailbox_id = 0 THEN 1000
                ELSE least(1000, greatest(1, $3::bigint * 1000 / count(*) OVER (PARTITION BY mailbox_id))) END AS weight
    FROM lesson WHERE organisation_id = $1 AND learned <> 'none' AND version = $2
)
SELECT feature, coalesce(sum(weight) FILTER (WHERE learned = 'spam'), 0)::bigint AS spam,
       coalesce(sum(weight) FILTER (WHERE learned = 'ham'), 0)::bigint AS ham
FROM weighed, unnest(features) AS feature
GROUP BY feature
HAVING count(*) >= 2 AND (min(mailbox_id) = 0 OR $4 < 2 OR min(mailbox_id) <> max(mailbox_id))
ORDER BY count(*) DESC, feature LIMIT $5;

-- name: save_model
UPDATE classifier SET generation = generation + 1, stale = false, made_at = $2, version = $3, spam = $4, ham = $5,
       weights = $6
WHERE organisation_id = $1;

-- name: spoil_others
-- They are made over the prior.
UPDATE classifier SET stale = true WHERE organisation_id <> 0 AND NOT stale;

-- name: generations
SELECT organisation_id, generation FROM classifier WHERE generation > 0;

-- name: model
SELECT generation, version, spam, ham, weights FROM classifier WHERE organisation_id = $1 AND generation > 0;

-- name: state
-- What is known, for people: of the prior, or of one organisation.
SELECT c.made_at, c.stale, c.spam, c.ham, octet_length(c.weights) AS octets,
       (SELECT count(*) FROM lesson l WHERE l.organisation_id = $1 AND l.learned = 'spam') AS spam_lessons,
       (SELECT count(*) FROM lesson l WHERE l.organisation_id = $1 AND l.learned = 'ham') AS ham_lessons,
       (SELECT count(DISTINCT mailbox_id) FROM lesson l
        WHERE l.organisation_id = $1 AND l.learned <> 'none' AND l.mailbox_id <> 0) AS people,
       (SELECT count(*) FROM lesson l WHERE l.organisation_id = $1 AND l.learned <> l.verdict) AS waiting
FROM (SELECT $1::bigint AS id) wanted LEFT JOIN classifier c ON c.organisation_id = wanted.id;

-- name: forget
-- Of an organisation (0: the prior): all lessons, those of one teacher ($2), or of certain messages ($3).
DELETE FROM lesson WHERE organisation_id = $1 AND ($2::bigint IS NULL OR mailbox_id = $2)
    AND ($3::bigint[] IS NULL OR message_id = ANY($3));

-- name: mailboxes_to_read
SELECT m.organisation_id, m.id, m.modseq, coalesce(r.modseq, 0) AS seen
FROM mailbox m LEFT JOIN lesson_read r ON r.organisation_id = m.organisation_id AND r.mailbox_id = m.id
WHERE m.modseq > coalesce(r.modseq, 0) LIMIT $1;

-- name: deeds
-- Flags and moves in mailboxes ($1, $2) between two states of each ($3, $4), in order. What was taken over from elsewhere
-- counts only where $6 says so; what filters do ($7) is nobody's word.
SELECT c.organisation_id, c.mailbox_id, c.modseq, c.kind, c.message_id, c.detail
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w(organisation_id, mailbox_id, since, until)
JOIN change c ON c.organisation_id = w.organisation_id AND c.mailbox_id = w.mailbox_id
             AND c.modseq > w.since AND c.modseq <= w.until
WHERE c.kind <> 'received' AND c.kind IN ('keywords', 'moved') AND c.message_id IS NOT NULL
  AND (NOT c.followed OR $6) AND c.actor <> $7
ORDER BY c.organisation_id, c.mailbox_id, c.modseq LIMIT $5;

-- name: read_until
INSERT INTO lesson_read (organisation_id, mailbox_id, modseq)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
ON CONFLICT (organisation_id, mailbox_id) DO UPDATE SET modseq = excluded.modseq
WHERE lesson_read.modseq < excluded.modseq;

-- name: notify
SELECT pg_notify('everpost_classifier', $1);
