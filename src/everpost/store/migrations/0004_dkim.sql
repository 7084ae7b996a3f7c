-- Keys that sign what our domains send (RFC 6376). Made first, published in the DNS, then put to use; retired ones stay
-- listed for as long as mail that they signed may be under way.

CREATE TABLE dkim_key (
    organisation_id bigint NOT NULL,
    domain_id       bigint NOT NULL,
    selector        text NOT NULL,
    algorithm       text NOT NULL,              -- auth.dkim_key.Algorithm
    private_key     bytea NOT NULL,             -- PKCS #8, under the organisation's key
    record          text NOT NULL,              -- the TXT record
    created_at      timestamptz NOT NULL DEFAULT now(),
    active_from     timestamptz,                -- none: not in use yet
    retired_at      timestamptz,
    PRIMARY KEY (organisation_id, domain_id, selector),
    FOREIGN KEY (organisation_id, domain_id) REFERENCES domain (organisation_id, id) ON DELETE CASCADE
);
