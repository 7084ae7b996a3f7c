-- The quarantine as people meet it: who may let mail go, who is told of it when, what people ask for, whom they will
-- hear from.

ALTER TABLE organisation
    ADD COLUMN self_release  text[] NOT NULL DEFAULT '{suspicious,spam}',  -- guard.model.Judgement that people may let go
    ADD COLUMN digest        text NOT NULL DEFAULT 'daily' CHECK (digest IN ('off', 'daily', 'hourly')),
    ADD COLUMN digest_hour   smallint NOT NULL DEFAULT 8 CHECK (digest_hour BETWEEN 0 AND 23),
    ADD COLUMN time_zone     text NOT NULL DEFAULT 'UTC',   -- IANA name
    ADD COLUMN digest_due_at timestamptz;                   -- none: not planned yet

ALTER TABLE mailbox ADD COLUMN language text;   -- what its person reads the webmail in

CREATE INDEX delivery_quarantined ON delivery (organisation_id, message_id)
    WHERE status = 'held' AND hold_reason = 'quarantined';

CREATE TABLE sender_rule (                      -- whom a person will hear from, and whom not
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              bigint NOT NULL,
    sender          text NOT NULL,              -- address or domain, lower case
    action          text NOT NULL CHECK (action IN ('allow', 'deny')),
    at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, mailbox_id, id),
    UNIQUE (organisation_id, mailbox_id, sender)
);

CREATE TABLE quarantine_word (                  -- what a person said of a message that is kept from them
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    message_id      bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('release', 'not-junk')),
    at              timestamptz NOT NULL DEFAULT now(),
    actor           text NOT NULL,
    comment         text NOT NULL,
    answer          text CHECK (answer IN ('released', 'refused', 'expired')),
    answered_at     timestamptz,
    answered_by     text,
    answer_reason   text,
    told_at         timestamptz,                -- the person heard of the answer, or gave it themselves
    PRIMARY KEY (organisation_id, mailbox_id, message_id, kind)
);
CREATE INDEX quarantine_word_open ON quarantine_word (organisation_id, message_id) WHERE answer IS NULL;
CREATE INDEX quarantine_word_untold ON quarantine_word (answered_at)
    WHERE kind = 'release' AND answer IS NOT NULL AND told_at IS NULL;

CREATE TABLE quarantine_told (                  -- messages that a digest told a mailbox of
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    message_id      bigint NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, message_id)
);
CREATE INDEX quarantine_told_at ON quarantine_told (at);

CREATE TABLE quarantine_digest (                -- the last digest of a mailbox: one for each time that one was due
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id)
);
