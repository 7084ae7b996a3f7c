-- Address books and contact cards of a mailbox; the organisation's directory as cards.

-- name: books
SELECT id, name, description, sort_order, is_default, subscribed FROM address_book
WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY sort_order, id;

-- name: save_book
INSERT INTO address_book (organisation_id, mailbox_id, id, name, description, sort_order, is_default, subscribed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (organisation_id, mailbox_id, id) DO UPDATE SET
    name = excluded.name, description = excluded.description, sort_order = excluded.sort_order,
    is_default = excluded.is_default, subscribed = excluded.subscribed;

-- name: delete_book
DELETE FROM address_book WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3;

-- name: cards
SELECT id, book_ids, card, created_at, updated_at FROM contact_card
WHERE organisation_id = $1 AND mailbox_id = $2 AND ($3::bigint[] IS NULL OR id = ANY($3)) ORDER BY id LIMIT $4;

-- name: count_cards
SELECT count(*) FROM contact_card WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: card_of_uid
SELECT id FROM contact_card WHERE organisation_id = $1 AND mailbox_id = $2 AND uid = $3;

-- name: save_card
INSERT INTO contact_card (organisation_id, mailbox_id, id, uid, book_ids, card, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (organisation_id, mailbox_id, id) DO UPDATE SET
    book_ids = excluded.book_ids, card = excluded.card, updated_at = excluded.updated_at;

-- name: delete_card
DELETE FROM contact_card WHERE organisation_id = $1 AND mailbox_id = $2 AND id = $3;

-- name: directory_people
-- $2: only these; $3: a pattern that the name or an address is like.
SELECT m.id, m.name, m.kind, m.created_at,
       array(SELECT a.written FROM address a WHERE a.organisation_id = m.organisation_id AND a.mailbox_id = m.id
             ORDER BY a.is_default DESC, a.key) AS addresses
FROM mailbox m
WHERE m.organisation_id = $1 AND m.status = 'active' AND ($2::bigint[] IS NULL OR m.id = ANY($2))
  AND ($3::text IS NULL OR m.name ILIKE $3 OR EXISTS (
      SELECT FROM address a WHERE a.organisation_id = m.organisation_id AND a.mailbox_id = m.id AND a.key LIKE lower($3)))
ORDER BY m.id LIMIT $4;

-- name: directory_groups
-- Those that mail can be sent to.
SELECT g.id, g.name, array_agg(a.written ORDER BY a.key) AS addresses
FROM mail_group g JOIN address a ON a.organisation_id = g.organisation_id AND a.group_id = g.id
WHERE g.organisation_id = $1 AND ($2::bigint[] IS NULL OR g.id = ANY($2))
  AND ($3::text IS NULL OR g.name ILIKE $3 OR a.key LIKE lower($3))
GROUP BY g.id, g.name ORDER BY g.id LIMIT $4;

-- name: directory_mark
-- Changes whenever one of the cards does.
SELECT md5(string_agg(line, chr(10) ORDER BY line)) FROM (
    SELECT m.id || ' ' || m.status || ' ' || m.kind || ' ' || m.name AS line FROM mailbox m WHERE m.organisation_id = $1
    UNION ALL
    SELECT g.id || ' ' || g.name FROM mail_group g WHERE g.organisation_id = $1
    UNION ALL
    SELECT coalesce(a.mailbox_id, a.group_id) || ' ' || a.written || ' ' || a.is_default FROM address a
    WHERE a.organisation_id = $1
) lines;
