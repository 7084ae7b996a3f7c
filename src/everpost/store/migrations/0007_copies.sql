-- Delivery copies may differ from the original in more than what they leave out: links are replaced, banners put in.

ALTER TABLE message ADD COLUMN edits bytea;     -- mail.edits, JSON

UPDATE message SET edits = convert_to((
    SELECT json_agg(json_build_array(cuts[n], cuts[n + 1], '') ORDER BY n)
    FROM generate_series(1, array_length(cuts, 1), 2) n)::text, 'UTF8')
WHERE cuts IS NOT NULL;

ALTER TABLE message DROP COLUMN cuts;

ALTER TABLE organisation
    ADD COLUMN links    text NOT NULL DEFAULT 'keep'        -- directory.model.LinkRewriting
        CHECK (links IN ('keep', 'unsigned', 'all')),
    ADD COLUMN banner   text NOT NULL DEFAULT 'none'        -- directory.model.Banner
        CHECK (banner IN ('none', 'suspicious', 'external')),
    ADD COLUMN language text NOT NULL DEFAULT 'en';         -- of what is written to its people

-- Which links of which message have been opened by the address that stands for them on delivery copies.
CREATE TABLE click (
    organisation_id bigint      NOT NULL REFERENCES organisation(id),
    message_id      bigint      NOT NULL,
    url_digest      bytea       NOT NULL,       -- SHA-256 of the address
    url             text        NOT NULL,
    blocked         boolean     NOT NULL,       -- what came of it last
    times           integer     NOT NULL DEFAULT 1,
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, message_id, url_digest)
);
