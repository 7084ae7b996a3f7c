-- How people like the webmail, the same on each of their devices.
CREATE TABLE preference (
    organisation_id bigint NOT NULL,
    mailbox_id      bigint NOT NULL,
    document        jsonb  NOT NULL,            -- standby.preferences.Preferences
    PRIMARY KEY (organisation_id, mailbox_id)
);
