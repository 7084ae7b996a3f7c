-- How much people and primaries send, so that a stolen account is noticed before the world has heard of it.

CREATE TABLE sending_count (
    organisation_id bigint      NOT NULL,
    sender          text        NOT NULL,       -- guard.sending.model: "mailbox 12", "address a@b", "primary 3"
    hour            timestamptz NOT NULL,       -- its beginning
    messages        integer     NOT NULL,
    recipients      integer     NOT NULL,       -- outside the organisation
    strangers       integer     NOT NULL,       -- of those, never written to before
    PRIMARY KEY (organisation_id, sender, hour)
) WITH (fillfactor = 70);
CREATE INDEX sending_count_hour ON sending_count (hour);

CREATE TABLE correspondent (                    -- whom somebody has written to; no more than the limits a day
    organisation_id bigint NOT NULL,
    sender          text   NOT NULL,
    recipient       bytea  NOT NULL,            -- the first 8 octets of SHA-256 of Address.key
    seen            date   NOT NULL,            -- to the month
    PRIMARY KEY (organisation_id, sender, recipient)
);
CREATE INDEX correspondent_seen ON correspondent (seen);

CREATE TABLE sending_told (                     -- when administrators heard of somebody's limit last
    organisation_id bigint      NOT NULL,
    sender          text        NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, sender)
);

ALTER TABLE organisation ADD COLUMN disclaimer text NOT NULL DEFAULT '';     -- at the end of its mail to the world

INSERT INTO correspondent (organisation_id, sender, recipient, seen)
SELECT DISTINCT m.organisation_id, 'mailbox ' || a.mailbox_id,
       substring(sha256(convert_to(lower(d.recipient), 'UTF8')) FOR 8), current_date
FROM message m
JOIN address a ON a.organisation_id = m.organisation_id AND a.key = lower(m.reverse_path)
JOIN delivery d ON d.organisation_id = m.organisation_id AND d.message_id = m.id
WHERE m.direction = 'outbound' AND d.kind = 'internet' AND a.mailbox_id IS NOT NULL;
