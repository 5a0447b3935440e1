-- The keys by which push services know the server: one a channel, the same on all nodes.

CREATE TABLE push_keys (
    channel        text PRIMARY KEY,
    private_sealed bytea NOT NULL,                -- PKCS #8
    created        timestamptz NOT NULL DEFAULT now()
);

---- create above / drop below ----

DROP TABLE push_keys;
