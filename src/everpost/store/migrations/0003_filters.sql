-- People's filters: what shall become of mail that comes while the standby is the master of their mailbox.

ALTER TABLE organisation ADD COLUMN forwarding text NOT NULL DEFAULT 'inside'   -- directory.model.Forwarding
    CHECK (forwarding IN ('none', 'inside', 'anywhere'));

-- State in which the filters were changed last; 0 where none is on. Intake learns it with the lock it takes anyway.
ALTER TABLE mailbox ADD COLUMN filters_modseq bigint NOT NULL DEFAULT 0;

CREATE TABLE filter (
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              bigint NOT NULL,
    sort_order      bigint NOT NULL,
    name            text NOT NULL,
    enabled         boolean NOT NULL,
    match           text NOT NULL,              -- standby.filters.Match
    conditions      jsonb NOT NULL,             -- standby.filters.Condition
    folder_id       bigint,                     -- may be gone meanwhile
    keywords        text[] NOT NULL,
    forward_to      text,
    stop            boolean NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, id)
);

CREATE TABLE forward (                          -- a message that a filter passes on: owed, then what became of it
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    message_id      bigint NOT NULL,
    address         text NOT NULL,
    filter_id       bigint NOT NULL,
    at              timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    done_at         timestamptz,
    outcome         text,                       -- standby.forwards.Outcome
    forwarded_id    bigint,                     -- the message that went to the queue
    PRIMARY KEY (organisation_id, mailbox_id, message_id, address)
);
CREATE INDEX forward_due ON forward (next_attempt_at) WHERE done_at IS NULL;
CREATE INDEX forward_done ON forward (organisation_id, mailbox_id, done_at) WHERE done_at IS NOT NULL;
