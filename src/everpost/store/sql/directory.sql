-- Who is who.

-- name: find_domain
SELECT organisation_id, id, primary_id, catch_all_id, journal_local FROM domain WHERE name = $1;

-- name: find_addresses
-- Many at once: addresses, and their forms without the detail after "+".
SELECT a.key, a.organisation_id, a.mailbox_id, a.group_id, m.status
FROM address a LEFT JOIN mailbox m ON m.organisation_id = a.organisation_id AND m.id = a.mailbox_id
WHERE a.key = ANY($1::text[]);

-- name: mailbox_place
SELECT m.organisation_id, m.id, m.domain_id, d.primary_id, m.status, a.written AS default_address
FROM mailbox m
JOIN domain d ON d.organisation_id = m.organisation_id AND d.id = m.domain_id
LEFT JOIN address a ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.id AND a.is_default
WHERE m.organisation_id = $1 AND m.id = ANY($2::bigint[]);

-- name: groups_of_mailboxes
-- Every group a mailbox is in, directly or through other groups.
WITH RECURSIVE up(mailbox_id, group_id) AS (
    SELECT mailbox_id, group_id FROM group_member
    WHERE organisation_id = $1 AND mailbox_id = ANY($2::bigint[])
    UNION
    SELECT up.mailbox_id, g.group_id
    FROM up JOIN group_member g ON g.organisation_id = $1 AND g.member_group_id = up.group_id
)
SELECT mailbox_id, array_agg(group_id) AS group_ids FROM up GROUP BY mailbox_id;

-- name: members_of_group
-- A group's mailboxes and outside addresses, nested groups expanded; UNION ends every loop.
WITH RECURSIVE down(group_id) AS (
    SELECT $2::bigint
    UNION
    SELECT m.member_group_id
    FROM down JOIN group_member m ON m.organisation_id = $1 AND m.group_id = down.group_id
    WHERE m.member_group_id IS NOT NULL
)
SELECT DISTINCT m.mailbox_id, m.outside_address
FROM down JOIN group_member m ON m.organisation_id = $1 AND m.group_id = down.group_id
WHERE m.member_group_id IS NULL;

-- name: insert_organisation
INSERT INTO organisation (id, name, display_name, wrapped_key, signing_key, signing_public)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: organisations
SELECT id, name, display_name, signing_public FROM organisation ORDER BY name;

-- name: organisation_by_name
SELECT id, name, display_name, signing_public FROM organisation WHERE name = $1;

-- name: settings
SELECT forwarding, links, banner, language, disclaimer FROM organisation WHERE id = $1;

-- name: set_copy_policy
UPDATE organisation SET links = $2, banner = $3, language = $4 WHERE id = $1;

-- name: set_disclaimer
UPDATE organisation SET disclaimer = $2 WHERE id = $1;

-- name: set_forwarding
UPDATE organisation SET forwarding = $2 WHERE id = $1;

-- name: insert_domain
INSERT INTO domain (organisation_id, id, name, primary_id, journal_local) VALUES ($1, $2, $3, $4, $5);

-- name: domains
SELECT d.id, d.name, d.primary_id, p.name AS primary_name, d.catch_all_id, d.journal_local,
       (SELECT count(*) FROM mailbox m WHERE m.organisation_id = d.organisation_id AND m.domain_id = d.id) AS mailboxes
FROM domain d LEFT JOIN primary_server p ON p.organisation_id = d.organisation_id AND p.id = d.primary_id
WHERE d.organisation_id = $1 ORDER BY d.name;

-- name: update_domain
UPDATE domain SET primary_id = $3, catch_all_id = $4, journal_local = $5 WHERE organisation_id = $1 AND id = $2;

-- name: insert_mailbox
INSERT INTO mailbox (organisation_id, id, domain_id, name, kind, source, external_id, alternate)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: insert_address
INSERT INTO address (organisation_id, key, written, mailbox_id, group_id, is_default) VALUES ($1, $2, $3, $4, $5, $6);

-- name: set_default_address
UPDATE address SET is_default = (key = $3) WHERE organisation_id = $1 AND mailbox_id = $2;

-- name: mailboxes
SELECT m.id, m.name, m.kind, m.status, m.source, m.external_id, m.alternate, m.domain_id, m.created_at,
       a.written AS address
FROM mailbox m LEFT JOIN address a
  ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.id AND a.is_default
WHERE m.organisation_id = $1
  AND ($2::text IS NULL OR m.name ILIKE '%' || $2 || '%' OR a.key LIKE '%' || lower($2) || '%')
ORDER BY a.key LIMIT $3;

-- name: addresses_of_mailbox
SELECT key, written, is_default FROM address WHERE organisation_id = $1 AND mailbox_id = $2
ORDER BY is_default DESC, key;

-- name: update_mailbox
UPDATE mailbox SET name = coalesce($3, name), status = coalesce($4, status), alternate = coalesce($5, alternate)
WHERE organisation_id = $1 AND id = $2;

-- name: insert_group
INSERT INTO mail_group (organisation_id, id, name, source, external_id) VALUES ($1, $2, $3, $4, $5);

-- name: groups
SELECT g.id, g.name, g.source, g.external_id,
       array(SELECT a.written FROM address a WHERE a.organisation_id = g.organisation_id AND a.group_id = g.id) AS addresses,
       (SELECT count(*) FROM group_member m WHERE m.organisation_id = g.organisation_id AND m.group_id = g.id) AS members
FROM mail_group g WHERE g.organisation_id = $1 ORDER BY g.name;

-- name: group_by_name
SELECT id, name, source FROM mail_group WHERE organisation_id = $1 AND name = $2;

-- name: group_members
SELECT m.mailbox_id, m.member_group_id, m.outside_address, a.written AS address, g.name AS group_name
FROM group_member m
LEFT JOIN address a ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.mailbox_id AND a.is_default
LEFT JOIN mail_group g ON g.organisation_id = m.organisation_id AND g.id = m.member_group_id
WHERE m.organisation_id = $1 AND m.group_id = $2;

-- name: insert_member
INSERT INTO group_member (organisation_id, group_id, mailbox_id, member_group_id, outside_address)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- name: delete_member
DELETE FROM group_member WHERE organisation_id = $1 AND group_id = $2
  AND mailbox_id IS NOT DISTINCT FROM $3 AND member_group_id IS NOT DISTINCT FROM $4
  AND outside_address IS NOT DISTINCT FROM $5;

-- name: delete_group
DELETE FROM mail_group WHERE organisation_id = $1 AND id = $2;

-- name: insert_primary
INSERT INTO primary_server
    (organisation_id, id, name, settings, secrets, smarthost_networks, relay_login, relay_secret)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: update_primary
UPDATE primary_server SET settings = $3, secrets = $4, smarthost_networks = $5, relay_login = $6, relay_secret = $7
WHERE organisation_id = $1 AND id = $2;

-- name: primaries
SELECT organisation_id, id, name, settings, secrets, smarthost_networks, relay_login,
       trust_state, state_since, state_cause, state_actor, state_reason
FROM primary_server WHERE $1::bigint IS NULL OR organisation_id = $1 ORDER BY organisation_id, name;

-- name: relays
SELECT organisation_id, id, name, smarthost_networks, relay_login, relay_secret FROM primary_server;

-- name: insert_system_folders
INSERT INTO folder (organisation_id, mailbox_id, id, name, role, sort_order)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::int[]);

-- name: lock_primary_settings
SELECT name, settings, secrets, smarthost_networks, relay_login, relay_secret FROM primary_server
WHERE organisation_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: overlapping_networks
-- Networks of other primaries that contain, equal or lie in the given ones.
SELECT p.organisation_id, n AS network FROM primary_server p, unnest(p.smarthost_networks) n
WHERE n && ANY($3::cidr[]) AND NOT (p.organisation_id = $1 AND p.id = $2);

-- name: domain_in_organisation
SELECT d.id, d.primary_id, d.catch_all_id, d.journal_local FROM domain d WHERE d.organisation_id = $1 AND d.name = $2;

-- name: insert_sourced_address
INSERT INTO address (organisation_id, key, written, mailbox_id, group_id, is_default, source)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: address_owner
SELECT mailbox_id, group_id, is_default, source FROM address WHERE organisation_id = $1 AND key = $2;

-- name: mailbox_by_id
SELECT m.id, m.name, m.kind, m.status, m.source, m.external_id, m.alternate, m.domain_id, a.written AS address
FROM mailbox m LEFT JOIN address a
  ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.id AND a.is_default
WHERE m.organisation_id = $1 AND m.id = $2;

-- name: set_mailbox_domain
UPDATE mailbox SET domain_id = $3 WHERE organisation_id = $1 AND id = $2;

-- name: set_mailbox_source
UPDATE mailbox SET source = $3, external_id = $4 WHERE organisation_id = $1 AND id = $2;

-- name: set_mailbox_alternate
UPDATE mailbox SET alternate = $3 WHERE organisation_id = $1 AND id = $2;

-- name: rename_group
UPDATE mail_group SET name = $3 WHERE organisation_id = $1 AND id = $2;

-- name: state_mailboxes
-- Everything a synchronisation compares with.
SELECT m.id, m.name, m.kind, m.status, m.source, m.external_id, m.alternate,
       array(SELECT a.key FROM address a WHERE a.organisation_id = m.organisation_id AND a.mailbox_id = m.id
             AND a.is_default) AS default_keys,
       array(SELECT a.key || ' ' || a.source FROM address a
             WHERE a.organisation_id = m.organisation_id AND a.mailbox_id = m.id) AS keys
FROM mailbox m WHERE m.organisation_id = $1 ORDER BY m.id;

-- name: state_groups
SELECT g.id, g.name, g.source, g.external_id,
       array(SELECT a.key || ' ' || a.source FROM address a
             WHERE a.organisation_id = g.organisation_id AND a.group_id = g.id) AS keys
FROM mail_group g WHERE g.organisation_id = $1 ORDER BY g.id;

-- name: state_members
SELECT m.group_id, a.key AS mailbox_key, g.name AS group_name, m.outside_address
FROM group_member m
LEFT JOIN address a ON a.organisation_id = m.organisation_id AND a.mailbox_id = m.mailbox_id AND a.is_default
LEFT JOIN mail_group g ON g.organisation_id = m.organisation_id AND g.id = m.member_group_id
WHERE m.organisation_id = $1;

-- name: domain_names
SELECT name FROM domain WHERE organisation_id = $1;

-- name: delete_any_address
DELETE FROM address WHERE organisation_id = $1 AND key = $2 AND (group_id IS NOT NULL OR NOT is_default);

-- name: one_group
SELECT g.id, g.name, g.source, g.external_id,
       array(SELECT a.written FROM address a WHERE a.organisation_id = g.organisation_id AND a.group_id = g.id) AS addresses,
       (SELECT count(*) FROM group_member m WHERE m.organisation_id = g.organisation_id AND m.group_id = g.id) AS members
FROM mail_group g WHERE g.organisation_id = $1 AND (g.id = $2::bigint OR g.name = $3::text);

-- name: group_switches
SELECT 1 FROM activation
WHERE organisation_id = $1 AND scope_kind = 'group' AND scope_id = $2 AND ended_at IS NULL
UNION ALL
SELECT 1 FROM access_switch WHERE organisation_id = $1 AND scope_kind = 'group' AND scope_id = $2
LIMIT 1;

-- name: delete_memberships_of_group
DELETE FROM group_member WHERE organisation_id = $1 AND member_group_id = $2;

-- name: organisation_of_domain
SELECT o.id, o.name, o.display_name, o.signing_public
FROM domain d JOIN organisation o ON o.id = d.organisation_id
WHERE d.name = $1;

-- name: save_delegate
INSERT INTO delegate (organisation_id, mailbox_id, delegate_id, rights) VALUES ($1, $2, $3, $4)
ON CONFLICT (organisation_id, mailbox_id, delegate_id) DO UPDATE SET rights = excluded.rights;

-- name: delete_delegate
DELETE FROM delegate WHERE organisation_id = $1 AND mailbox_id = $2 AND delegate_id = $3 RETURNING rights;

-- name: delegates
-- Of one mailbox, or of all.
SELECT o.written AS mailbox, a.written AS address, m.name, d.rights
FROM delegate d
JOIN address o ON o.organisation_id = d.organisation_id AND o.mailbox_id = d.mailbox_id AND o.is_default
JOIN mailbox m ON m.organisation_id = d.organisation_id AND m.id = d.delegate_id
JOIN address a ON a.organisation_id = d.organisation_id AND a.mailbox_id = d.delegate_id AND a.is_default
WHERE d.organisation_id = $1 AND ($2::bigint IS NULL OR d.mailbox_id = $2) ORDER BY o.key, a.key LIMIT $3;

-- name: count_delegations
-- Of a mailbox to others, and of others to it.
SELECT count(*) FILTER (WHERE mailbox_id = $2) AS given, count(*) FILTER (WHERE delegate_id = $3) AS taken
FROM delegate WHERE organisation_id = $1 AND (mailbox_id = $2 OR delegate_id = $3);

-- name: shared_with
SELECT d.mailbox_id, d.rights, m.name
FROM delegate d JOIN mailbox m ON m.organisation_id = d.organisation_id AND m.id = d.mailbox_id
WHERE d.organisation_id = $1 AND d.delegate_id = $2 AND m.status = 'active' ORDER BY d.mailbox_id;

-- ------------------------------------------------------------------ DKIM keys

-- name: insert_dkim_key
INSERT INTO dkim_key (organisation_id, domain_id, selector, algorithm, private_key, record)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: dkim_keys
-- $2: only of this domain.
SELECT d.name AS domain, k.domain_id, k.selector, k.algorithm, k.private_key, k.record, k.created_at, k.active_from,
       k.retired_at
FROM dkim_key k JOIN domain d ON d.organisation_id = k.organisation_id AND d.id = k.domain_id
WHERE k.organisation_id = $1 AND ($2::text IS NULL OR d.name = $2)
ORDER BY d.name, k.created_at, k.selector;

-- name: activate_dkim_key
UPDATE dkim_key SET active_from = now(), retired_at = NULL
WHERE organisation_id = $1 AND domain_id = $2 AND selector = $3 RETURNING algorithm;

-- name: retire_other_dkim_keys
UPDATE dkim_key SET retired_at = now()
WHERE organisation_id = $1 AND domain_id = $2 AND algorithm = $4 AND selector <> $3 AND active_from IS NOT NULL
  AND retired_at IS NULL RETURNING selector;

-- name: retire_dkim_key
UPDATE dkim_key SET retired_at = now()
WHERE organisation_id = $1 AND domain_id = $2 AND selector = $3 AND retired_at IS NULL AND active_from IS NOT NULL
RETURNING selector;
