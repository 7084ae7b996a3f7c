-- What people are told about their mail server.

-- name: of_mailbox
SELECT o.display_name AS organisation, p.trust_state, p.state_since,
       ARRAY(SELECT d.name FROM domain d WHERE d.organisation_id = o.id ORDER BY d.name LIMIT 500) AS domains
FROM organisation o LEFT JOIN primary_server p ON p.organisation_id = o.id AND p.id = $2
WHERE o.id = $1;
