-- Every table leads with the organisation, so that it can be partitioned or distributed by it.
-- Identifiers are allocated in blocks by the workers (store/ids.py); texts are UTF-8 without NUL.

CREATE SEQUENCE id_block;                       -- each value reserves 1024 identifiers
CREATE SEQUENCE worker_run;                     -- names one life of one worker process

-- ------------------------------------------------------------------ organisations and their people

CREATE TABLE organisation (
    id              bigint PRIMARY KEY,
    name            text NOT NULL UNIQUE,       -- short, lower case, used on the command line
    display_name    text NOT NULL,
    wrapped_key     bytea NOT NULL,             -- the organisation's key, under the master key
    signing_key     bytea NOT NULL,             -- Ed25519 private key, under the organisation's key
    signing_public  bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE primary_server (
    organisation_id bigint NOT NULL REFERENCES organisation,
    id              bigint NOT NULL,
    name            text NOT NULL,
    settings        jsonb NOT NULL,             -- connectors and detection, without secrets
    secrets         bytea NOT NULL,             -- sealed with the organisation's key
    smarthost_networks cidr[] NOT NULL DEFAULT '{}',  -- who may relay as this primary, without credentials
    relay_login     text UNIQUE,                -- or with these, by AUTH
    relay_secret    text,                       -- Argon2id
    trust_state     text NOT NULL DEFAULT 'trusted'
                    CHECK (trust_state IN ('trusted', 'down', 'suspect', 'compromised', 'recovering')),
    state_since     timestamptz NOT NULL DEFAULT now(),
    state_cause     text NOT NULL DEFAULT 'created',
    state_actor     text NOT NULL DEFAULT 'everpost',
    state_reason    text NOT NULL DEFAULT '',
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, name)
);

CREATE TABLE domain (
    organisation_id bigint NOT NULL REFERENCES organisation,
    id              bigint NOT NULL,
    name            text NOT NULL UNIQUE,       -- lower case, A-labels; a domain belongs to one organisation
    primary_id      bigint,                     -- none: the standby is the only home of its mailboxes
    catch_all_id    bigint,                     -- mailbox
    journal_local   text,                       -- local part that takes the primary's journal reports
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, primary_id) REFERENCES primary_server
);

CREATE TABLE mailbox (
    organisation_id bigint NOT NULL REFERENCES organisation,
    id              bigint NOT NULL,
    domain_id       bigint NOT NULL,
    name            text NOT NULL,              -- of the person or the shared box
    kind            text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'shared')),
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    source          text NOT NULL DEFAULT 'manual',   -- manual, csv or ldap: who may change it
    external_id     text,                       -- stable name at the source
    alternate       text,                       -- an address elsewhere, for notices on the day
    modseq          bigint NOT NULL DEFAULT 0,  -- of the change log; its row lock orders the log
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, source, external_id),
    FOREIGN KEY (organisation_id, domain_id) REFERENCES domain
) WITH (fillfactor = 70);

CREATE TABLE mail_group (
    organisation_id bigint NOT NULL REFERENCES organisation,
    id              bigint NOT NULL,
    name            text NOT NULL,
    source          text NOT NULL DEFAULT 'manual',
    external_id     text,
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, name),
    UNIQUE (organisation_id, source, external_id)
);

CREATE TABLE group_member (
    organisation_id bigint NOT NULL,
    group_id        bigint NOT NULL,
    mailbox_id      bigint,
    member_group_id bigint,
    outside_address text,
    CHECK (num_nonnulls(mailbox_id, member_group_id, outside_address) = 1),
    UNIQUE NULLS NOT DISTINCT (organisation_id, group_id, mailbox_id, member_group_id, outside_address),
    FOREIGN KEY (organisation_id, group_id) REFERENCES mail_group ON DELETE CASCADE
);
CREATE INDEX group_member_mailbox ON group_member (organisation_id, mailbox_id) WHERE mailbox_id IS NOT NULL;
CREATE INDEX group_member_group ON group_member (organisation_id, member_group_id) WHERE member_group_id IS NOT NULL;

CREATE TABLE address (
    organisation_id bigint NOT NULL,
    key             text NOT NULL UNIQUE,       -- Address.key
    written         text NOT NULL,
    mailbox_id      bigint,
    group_id        bigint,
    is_default      boolean NOT NULL DEFAULT false,
    source          text NOT NULL DEFAULT 'manual',   -- a synchronisation takes away only what it brought
    CHECK (num_nonnulls(mailbox_id, group_id) = 1),
    FOREIGN KEY (organisation_id, mailbox_id) REFERENCES mailbox,
    FOREIGN KEY (organisation_id, group_id) REFERENCES mail_group ON DELETE CASCADE
);
CREATE INDEX address_mailbox ON address (organisation_id, mailbox_id);
CREATE INDEX address_group ON address (organisation_id, group_id) WHERE group_id IS NOT NULL;

CREATE TABLE delegate (                         -- who else may use a mailbox
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    delegate_id     bigint NOT NULL,            -- mailbox of the person who may
    rights          text NOT NULL CHECK (rights IN ('read', 'write', 'send')),  -- each holds the ones before it
    PRIMARY KEY (organisation_id, mailbox_id, delegate_id),
    CHECK (mailbox_id <> delegate_id),
    FOREIGN KEY (organisation_id, mailbox_id) REFERENCES mailbox,
    FOREIGN KEY (organisation_id, delegate_id) REFERENCES mailbox
);
CREATE INDEX delegate_person ON delegate (organisation_id, delegate_id);

CREATE TABLE credential (
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('password', 'token')),
    label           text NOT NULL DEFAULT '',
    secret          text NOT NULL,              -- Argon2id of a password, SHA-256 of a token
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, mailbox_id) REFERENCES mailbox
);
CREATE INDEX credential_mailbox ON credential (organisation_id, mailbox_id);
CREATE UNIQUE INDEX credential_token ON credential (secret) WHERE kind = 'token';

CREATE TABLE web_session (                      -- a browser that is logged in
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    secret          text NOT NULL UNIQUE,       -- SHA-256 of what the cookie holds
    client          text NOT NULL,              -- address and program, for its owner to recognise
    created_at      timestamptz NOT NULL DEFAULT now(),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, mailbox_id) REFERENCES mailbox
);
CREATE INDEX web_session_mailbox ON web_session (organisation_id, mailbox_id);

CREATE TABLE administrator (                    -- who may use the console; knows nothing of mailboxes
    organisation_id bigint NOT NULL,            -- 0 for the whole installation
    id              bigint NOT NULL,
    name            text NOT NULL UNIQUE,       -- lower case, without @
    secret          text NOT NULL,              -- Argon2id
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, id)
);

CREATE TABLE administrator_session (            -- a browser that is logged in
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    administrator_id bigint NOT NULL,
    secret          text NOT NULL UNIQUE,       -- SHA-256 of what the cookie holds
    client          text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, administrator_id) REFERENCES administrator ON DELETE CASCADE
);

CREATE TABLE administrator_token (              -- for programs
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    administrator_id bigint NOT NULL,
    secret          text NOT NULL UNIQUE,       -- SHA-256
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, administrator_id) REFERENCES administrator ON DELETE CASCADE
);

-- ------------------------------------------------------------------ messages and bytes

CREATE TABLE blob (
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    wrapped_key     bytea NOT NULL,             -- destroyed to erase the blob
    size            bigint NOT NULL,            -- octets before sealing
    chunks          integer NOT NULL,           -- 1: `data` holds it; more: blob_chunk does
    data            bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    uploaded_by     bigint,                     -- mailbox that uploaded it; none for mail
    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX blob_upload ON blob (organisation_id, uploaded_by) WHERE uploaded_by IS NOT NULL;
ALTER TABLE blob ALTER data SET STORAGE EXTERNAL;        -- already compressed and encrypted
ALTER TABLE blob SET (toast_tuple_target = 2048);

CREATE TABLE blob_chunk (
    organisation_id bigint NOT NULL,
    blob_id         bigint NOT NULL,
    number          integer NOT NULL,
    data            bytea NOT NULL,
    PRIMARY KEY (organisation_id, blob_id, number)
);
ALTER TABLE blob_chunk ALTER data SET STORAGE EXTERNAL;

CREATE TABLE message (
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    blob_id         bigint NOT NULL,
    direction       text NOT NULL,              -- mail.message.Direction
    source          text NOT NULL,              -- intake.submission.Source
    received_at     timestamptz NOT NULL,
    reverse_path    text,                       -- none: the null reverse-path
    body            text NOT NULL,              -- BODY= of the envelope
    smtputf8        boolean NOT NULL,
    ret             text,
    envid           text,
    size            bigint NOT NULL,
    digest          bytea NOT NULL,             -- SHA-256 of the original bytes
    content_digest  bytea NOT NULL,             -- mail.digest.content_digest: survives transport
    message_id      text,                       -- header field, without brackets
    subject         text NOT NULL,
    thread_id       bigint NOT NULL,
    summary         bytea NOT NULL,             -- what lists show (standby.summary)
    structure       bytea NOT NULL,             -- MIME offsets (mail.mime)
    client          text NOT NULL,              -- who handed it over: address, name, login
    trace           text NOT NULL,              -- the fields that delivery copies carry on top
    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX message_nameless ON message (organisation_id, content_digest) WHERE message_id IS NULL;
CREATE INDEX message_received ON message (organisation_id, received_at);   -- mail flow; what came when

CREATE TABLE message_ref (                      -- Message-IDs seen or cited → conversation
    organisation_id bigint NOT NULL,
    ref             bigint NOT NULL,            -- 64-bit hash of the Message-ID
    thread_id       bigint NOT NULL,
    PRIMARY KEY (organisation_id, ref)
);

-- ------------------------------------------------------------------ queue

CREATE TABLE delivery (                         -- one obligation towards one recipient
    organisation_id bigint NOT NULL,
    message_id      bigint NOT NULL,
    number          integer NOT NULL,
    recipient       text NOT NULL,              -- RCPT TO that is sent
    accepted_as     text NOT NULL,              -- RCPT TO that was accepted
    notify          smallint,
    orcpt           text,
    mailbox_id      bigint,
    kind            text NOT NULL,              -- queue.model.Kind
    primary_id      bigint,
    lane            text NOT NULL,              -- destination that shares connections and limits
    status          text NOT NULL,              -- queue.model.Status
    hold_reason     text,                       -- queue.model.HoldReason
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,       -- written before dialling
    expires_at      timestamptz,                -- none: waits as long as it takes
    leased_by       bigint,                     -- worker run; left behind by a crash: in doubt
    in_doubt        boolean NOT NULL DEFAULT false,
    report_due      text,                       -- a report the sender has not been sent yet: queue.model.Report
    delay_told      boolean NOT NULL DEFAULT false,
    last_remote     text,
    last_reply      text,
    done_at         timestamptz,
    PRIMARY KEY (organisation_id, message_id, number)
);
CREATE INDEX delivery_due ON delivery (lane, next_attempt_at) WHERE status = 'queued';
CREATE INDEX delivery_held ON delivery (organisation_id, mailbox_id, message_id) WHERE status = 'held';
CREATE INDEX delivery_open ON delivery (expires_at) WHERE status = 'queued' AND kind = 'internet';

CREATE INDEX delivery_done ON delivery (organisation_id, done_at) WHERE status = 'delivered';   -- mail flow
CREATE INDEX delivery_report_due ON delivery (organisation_id, message_id) WHERE report_due IS NOT NULL;

CREATE TABLE attempt (                          -- every attempt that did not end in success
    organisation_id bigint NOT NULL,
    message_id      bigint NOT NULL,
    number          integer NOT NULL,
    attempt         integer NOT NULL,
    at              timestamptz NOT NULL,
    remote          text NOT NULL,
    outcome         text NOT NULL,
    reply           text NOT NULL,
    PRIMARY KEY (organisation_id, message_id, number, attempt)
);

CREATE TABLE suspension (                       -- a lane, or all of an organisation's lanes, stopped by a person
    organisation_id bigint NOT NULL,
    lane            text NOT NULL,              -- '' for all
    reason          text NOT NULL,
    actor           text NOT NULL,
    since           timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    PRIMARY KEY (organisation_id, lane)
);

CREATE TABLE lane_binding (                     -- a destination sent elsewhere by a person ("rebind")
    organisation_id bigint NOT NULL,
    lane            text NOT NULL,
    host            text NOT NULL,
    port            integer NOT NULL,
    actor           text NOT NULL,
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, lane)
);

-- ------------------------------------------------------------------ standby mailboxes

CREATE TABLE folder (
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              bigint NOT NULL,
    parent_id       bigint,
    name            text NOT NULL,
    role            text,                       -- RFC 8621 §2: inbox, sent, drafts, archive, junk, trash
    sort_order      integer NOT NULL DEFAULT 10,
    subscribed      boolean NOT NULL DEFAULT true,
    modseq          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation_id, mailbox_id, id),
    UNIQUE NULLS NOT DISTINCT (organisation_id, mailbox_id, parent_id, name)
);
CREATE UNIQUE INDEX folder_role ON folder (organisation_id, mailbox_id, role) WHERE role IS NOT NULL;

CREATE TABLE entry (                            -- one message in one mailbox
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    message_id      bigint NOT NULL,
    received_at     timestamptz NOT NULL,
    thread_id       bigint NOT NULL,
    folder_ids      bigint[] NOT NULL,
    keywords        text[] NOT NULL DEFAULT '{}',
    origin          text NOT NULL,              -- standby.model.Origin
    modseq          bigint NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, message_id)
);
CREATE INDEX entry_thread ON entry (organisation_id, mailbox_id, thread_id);

CREATE TABLE placement (                        -- entries of a folder, newest first; follows entry.folder_ids
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    folder_id       bigint NOT NULL,
    received_at     timestamptz NOT NULL,
    message_id      bigint NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, folder_id, received_at, message_id)
);

CREATE TABLE change (                           -- append-only
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    modseq          bigint NOT NULL,
    at              timestamptz NOT NULL,
    kind            text NOT NULL,              -- standby.model.ChangeKind
    message_id      bigint,
    folder_id       bigint,
    detail          jsonb,
    actor           text NOT NULL,
    followed        boolean NOT NULL DEFAULT false,  -- taken over from elsewhere, nobody's deed here: never replayed
    PRIMARY KEY (organisation_id, mailbox_id, modseq)
);
CREATE INDEX change_by_person ON change (organisation_id, mailbox_id, modseq) WHERE kind <> 'received';

CREATE TABLE submission (                       -- what a person sends from the standby (JMAP EmailSubmission)
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              bigint NOT NULL,
    email_id        bigint NOT NULL,            -- entry it was made from
    thread_id       bigint NOT NULL,
    message_id      bigint,                     -- that went to the queue; none while it waits, or was cancelled
    identity        text NOT NULL,
    envelope        jsonb,                      -- as given; none: from the message
    send_at         timestamptz NOT NULL,
    undo_status     text NOT NULL CHECK (undo_status IN ('pending', 'final', 'canceled')),
    failure         text,                       -- why it could not be sent when it was time
    actor           text NOT NULL,              -- who told so: the owner, or a delegate
    PRIMARY KEY (organisation_id, mailbox_id, id)
);
CREATE INDEX submission_due ON submission (send_at) WHERE undo_status = 'pending';

CREATE TABLE folder_counts (                    -- counts of a mailbox's folders as of a state; brought forward by the log
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    modseq          bigint NOT NULL,
    counts          jsonb NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id)
);

CREATE TABLE identity (                         -- what a person set for one of their addresses, or made besides
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              text NOT NULL,
    email           text NOT NULL,
    name            text NOT NULL,
    reply_to        jsonb,
    bcc             jsonb,
    text_signature  text NOT NULL,
    html_signature  text NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, id)
);

CREATE TABLE vacation (                         -- RFC 8621 §8
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    enabled         boolean NOT NULL,
    from_date       timestamptz,
    to_date         timestamptz,
    subject         text,
    text_body       text,
    html_body       text,
    answered_modseq bigint NOT NULL DEFAULT 0,  -- mail up to here was looked at
    PRIMARY KEY (organisation_id, mailbox_id)
);

CREATE TABLE vacation_told (                    -- who was answered, so that nobody is every day
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    address         text NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, address)
);

CREATE TABLE address_book (                     -- RFC 9610 §2; number 1 is there even without a row
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              bigint NOT NULL,
    name            text NOT NULL,
    description     text,
    sort_order      integer NOT NULL,
    is_default      boolean NOT NULL,
    subscribed      boolean NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, id)
);

CREATE TABLE contact_card (                     -- RFC 9610 §3
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    id              bigint NOT NULL,
    uid             text NOT NULL,
    book_ids        bigint[] NOT NULL,
    card            jsonb NOT NULL,             -- JSContact (RFC 9553)
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id, id),
    UNIQUE (organisation_id, mailbox_id, uid)
);

CREATE TABLE history_mark (                     -- how far a source of history was read, for each of its folders
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    source          text NOT NULL,              -- intake.history names it
    place           text NOT NULL,              -- folder at the source
    validity        text NOT NULL,              -- UIDVALIDITY, or what an mbox begins with: other, and all is read again
    position        bigint NOT NULL,            -- UID, or offset in octets
    PRIMARY KEY (organisation_id, mailbox_id, source, place)
);

CREATE TABLE history_item (                     -- files that were brought in, where a source has one for each message
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    source          text NOT NULL,
    place           text NOT NULL,
    item            bigint NOT NULL,            -- 64-bit hash of the file's lasting name
    PRIMARY KEY (organisation_id, mailbox_id, source, place, item)
);

CREATE TABLE follow_mailbox (                   -- a mailbox whose standby follows its primary; intake.follow
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    state           text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'following', 'failed', 'paused')),
    reason          text NOT NULL DEFAULT '',
    followed_at     timestamptz,                -- the end of the last round that came to its end
    accepts_loss    boolean NOT NULL DEFAULT false, -- an administrator has looked: the next round may take away much
    PRIMARY KEY (organisation_id, mailbox_id)
);
CREATE INDEX follow_mailbox_due ON follow_mailbox (due_at) WHERE state <> 'paused';

CREATE TABLE follow_folder (                    -- a folder of the primary as the last round saw it
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    place           text NOT NULL,
    validity        text NOT NULL,              -- UIDVALIDITY
    uid_next        bigint NOT NULL,
    messages        bigint NOT NULL,
    modseq          bigint NOT NULL,            -- HIGHESTMODSEQ (RFC 7162); 0 where the server has none
    PRIMARY KEY (organisation_id, mailbox_id, place)
);

CREATE TABLE follow_copy (                      -- a message where the primary has it
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    place           text NOT NULL,
    uid             bigint NOT NULL,
    message_id      bigint NOT NULL,            -- the entry
    folder_id       bigint NOT NULL,
    keywords        text NOT NULL,              -- as they were there, sorted, with blanks between
    PRIMARY KEY (organisation_id, mailbox_id, place, uid)
);
CREATE INDEX follow_copy_entry ON follow_copy (organisation_id, mailbox_id, message_id);

-- ------------------------------------------------------------------ search: a derivative that can be rebuilt

CREATE TABLE message_text (                     -- standby.text.Indexed
    organisation_id bigint NOT NULL,
    message_id      bigint NOT NULL,
    words           tsvector NOT NULL,
    header          text NOT NULL,
    from_key        text COLLATE "C" NOT NULL,
    to_key          text COLLATE "C" NOT NULL,
    subject_key     text COLLATE "C" NOT NULL,
    sent_at         timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, message_id)
);
CREATE INDEX message_text_words ON message_text USING gin (words);

CREATE TABLE mailbox_text (                     -- how far a mailbox's change log has been indexed
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    modseq          bigint NOT NULL,
    PRIMARY KEY (organisation_id, mailbox_id)
);

-- ------------------------------------------------------------------ continuity

CREATE TABLE generation (                       -- counts changes that routing and directory caches must notice
    name            text PRIMARY KEY,
    value           bigint NOT NULL
);
INSERT INTO generation VALUES ('continuity', 1), ('directory', 1);

-- Waits for a switch that is being thrown, keeps others away until the caller's transaction ends, and says which
-- generation counts. A function, because what follows the lock must see what it waited for.
CREATE FUNCTION share_generations() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1163284301);
    RETURN (SELECT value FROM generation WHERE name = 'continuity');
END $$;

CREATE TABLE activation (                       -- the `route` switch of a scope, thrown to the standby
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    scope_kind      text NOT NULL CHECK (scope_kind IN ('organisation', 'primary', 'domain', 'group', 'mailbox')),
    scope_id        bigint NOT NULL,
    opens_access    boolean NOT NULL,
    cause           text NOT NULL,
    reason          text NOT NULL,
    actor           text NOT NULL,
    starts_at       timestamptz NOT NULL,       -- in the future: scheduled
    started_at      timestamptz,                -- when it took effect
    ends_at         timestamptz,                -- scheduled end: failback starts by itself
    ended_at        timestamptz,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX activation_open ON activation (organisation_id, scope_kind, scope_id)
    WHERE ended_at IS NULL AND started_at IS NOT NULL;

CREATE TABLE access_switch (                    -- the `access` switch of a scope
    organisation_id bigint NOT NULL,
    scope_kind      text NOT NULL,
    scope_id        bigint NOT NULL,
    open            boolean NOT NULL,
    actor           text NOT NULL,
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, scope_kind, scope_id)
);

CREATE TABLE probe_result (                     -- the latest of each primary, and its run of equal results
    organisation_id bigint NOT NULL,
    primary_id      bigint NOT NULL,
    at              timestamptz NOT NULL,
    ok              boolean NOT NULL,
    stage           text NOT NULL,
    detail          text NOT NULL,
    run_length      integer NOT NULL,
    run_since       timestamptz NOT NULL,
    latency_ms      real NOT NULL,
    PRIMARY KEY (organisation_id, primary_id)
);

CREATE TABLE failback (
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    activation_id   bigint NOT NULL,
    state           text NOT NULL,              -- continuity.failback.model.RunState
    reason          text NOT NULL DEFAULT '',   -- why it was paused or stopped
    wave_size       integer NOT NULL,
    actor           text NOT NULL,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    report          jsonb,
    report_signature bytea,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, activation_id) REFERENCES activation
);
CREATE UNIQUE INDEX failback_running ON failback (organisation_id, activation_id) WHERE finished_at IS NULL;

CREATE TABLE failback_mailbox (
    organisation_id bigint NOT NULL,
    failback_id     bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    primary_id      bigint NOT NULL,
    wave            integer NOT NULL,
    state           text NOT NULL,              -- continuity.failback.model.MailboxState
    problem         text NOT NULL DEFAULT '',
    replayed_modseq bigint NOT NULL DEFAULT 0,  -- change log replayed up to here
    figures         jsonb,                      -- what the reconciliation counted
    returned_at     timestamptz,                -- from here on the primary is the master again
    PRIMARY KEY (organisation_id, failback_id, mailbox_id)
);
CREATE INDEX failback_mailbox_returned ON failback_mailbox (organisation_id, mailbox_id);

CREATE TABLE replay_item (                      -- the ledger of a failback: what was done about each message
    organisation_id bigint NOT NULL,
    failback_id     bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    message_id      bigint NOT NULL,
    kind            text NOT NULL,              -- continuity.failback.model.ItemKind
    state           text NOT NULL,              -- continuity.failback.model.ItemState
    detail          jsonb NOT NULL DEFAULT '{}',  -- what is to be done
    evidence        text NOT NULL DEFAULT '',
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, failback_id, mailbox_id, message_id, kind)
);

CREATE TABLE drill (
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    scope_kind      text NOT NULL,
    scope_id        bigint NOT NULL,
    actor           text NOT NULL,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    outcome         text,
    figures         jsonb,
    PRIMARY KEY (organisation_id, id)
);

-- ------------------------------------------------------------------ telling people, proving things

CREATE TABLE contact (                          -- where alerts go: channels that do not depend on the primary
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('mail', 'webhook')),
    target          text NOT NULL,
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, kind, target)
);

CREATE TABLE alert (
    organisation_id bigint NOT NULL,
    id              bigint NOT NULL,
    kind            text NOT NULL,              -- continuity.alerts.AlertKind
    subject         text NOT NULL,
    text            text NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    people_kind     text,                       -- scope whose people are told too, at their alternate addresses
    people_id       bigint,
    people_told_at  timestamptz,
    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX alert_people_due ON alert (organisation_id, id) WHERE people_kind IS NOT NULL AND people_told_at IS NULL;

CREATE TABLE alert_call (                       -- telling one contact of one alert
    organisation_id bigint NOT NULL,
    alert_id        bigint NOT NULL,
    contact_id      bigint NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    done_at         timestamptz,
    last_result     text,
    PRIMARY KEY (organisation_id, alert_id, contact_id)
);
CREATE INDEX alert_call_due ON alert_call (next_attempt_at) WHERE done_at IS NULL;

CREATE TABLE audit_event (
    organisation_id bigint NOT NULL,            -- 0 for the installation itself
    id              bigint NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    actor           text NOT NULL,
    action          text NOT NULL,
    subject         text NOT NULL,
    detail          jsonb NOT NULL,
    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX audit_event_subject ON audit_event (organisation_id, subject)    -- what was done to one thing
    WHERE action <> 'intake.accept';
CREATE TABLE audit_unlinked (                   -- committed with its event; the chainer takes it away
    organisation_id bigint NOT NULL,
    event_id        bigint NOT NULL,
    PRIMARY KEY (organisation_id, event_id)
);
CREATE TABLE audit_link (                       -- the chain: hash over the previous link and the event
    organisation_id bigint NOT NULL,
    sequence        bigint NOT NULL,
    event_id        bigint NOT NULL,
    hash            bytea NOT NULL,
    PRIMARY KEY (organisation_id, sequence),
    UNIQUE (organisation_id, event_id)
);

CREATE TABLE worker (
    run             bigint PRIMARY KEY,
    host            text NOT NULL,
    pid             integer NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    generation      bigint NOT NULL DEFAULT 0   -- the continuity generation it acts upon
);
