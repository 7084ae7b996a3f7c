-- What people say is spam or is not, and what the guard's classifier has made of it.

CREATE TABLE lesson (                           -- one person's last word on one message
    organisation_id bigint NOT NULL,            -- 0: the prior that the installation's organisations share
    mailbox_id      bigint NOT NULL,            -- 0: an administrator, from files
    message_id      bigint NOT NULL,            -- of files: 63 bits of the content's digest
    verdict         text NOT NULL CHECK (verdict IN ('spam', 'ham', 'none')),  -- none: took it back
    said_at         timestamptz NOT NULL,
    learned         text NOT NULL DEFAULT 'none' CHECK (learned IN ('spam', 'ham', 'none')),  -- what counts now
    version         integer,                    -- of the features; none: not read yet
    features        integer[],                  -- guard.learn.features: numbers, as signed
    PRIMARY KEY (organisation_id, mailbox_id, message_id)
);
CREATE INDEX lesson_new ON lesson (said_at) WHERE learned <> verdict;

CREATE TABLE lesson_read (                      -- how far the change log of a mailbox was read for lessons
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    modseq          bigint NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id)
);

CREATE TABLE classifier (                       -- the model of an organisation (0: the prior), made from its lessons
    organisation_id bigint PRIMARY KEY,
    generation      bigint NOT NULL DEFAULT 0,  -- rises each time it is made anew
    stale           boolean NOT NULL,           -- lessons or the prior changed since
    made_at         timestamptz,
    version         integer NOT NULL DEFAULT 0, -- of the features
    spam            bigint NOT NULL DEFAULT 0,  -- lessons, in thousandths of a message
    ham             bigint NOT NULL DEFAULT 0,
    weights         bytea NOT NULL DEFAULT ''   -- guard.learn.model.Table, under zstd
);
CREATE INDEX classifier_stale ON classifier (organisation_id) WHERE stale;
