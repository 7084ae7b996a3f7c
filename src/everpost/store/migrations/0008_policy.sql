-- The rules of an organisation: each change is a new version of all of them.
CREATE TABLE policy (
    organisation_id bigint      NOT NULL REFERENCES organisation,
    version         integer     NOT NULL,
    document        bytea       NOT NULL,       -- guard.policy.model.PolicyDocument, JSON
    actor           text        NOT NULL,
    reason          text        NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, version)
);
