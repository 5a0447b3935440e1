-- How often a phone may ring, who asked, and what "it was not me" set off.

ALTER TABLE mobile_transactions
    ADD COLUMN ring         bigint,                          -- the place of its last ring among the user's; NULL: it counts for no budget
    ADD COLUMN rings        smallint NOT NULL DEFAULT 1,     -- pushes that it sent
    ADD COLUMN rung         timestamptz,                     -- when the last of several was sent
    ADD COLUMN browser      text NOT NULL DEFAULT '',        -- the known browser that asked (authenticators/browser); '' is none
    ADD COLUMN session      uuid,                            -- the browser session that asked
    ADD COLUMN warned       boolean NOT NULL DEFAULT false,  -- the user was told of the burst that it belongs to
    ADD COLUMN reported     boolean NOT NULL DEFAULT false,  -- answered by "it was not me", with effects beyond the event
    ADD COLUMN same_network boolean;                         -- the phone answered from the browser's network; NULL: not known

UPDATE mobile_transactions t SET ring = n.ring
    FROM (SELECT tx_id, row_number() OVER (PARTITION BY user_id ORDER BY created, tx_id) AS ring FROM mobile_transactions) n WHERE n.tx_id = t.tx_id;
UPDATE mobile_transactions SET source = network(set_masklen(source::inet, 64))::text WHERE source LIKE '%:%' AND source NOT LIKE '%/%';

-- Whoever wants a phone to ring takes the user's next place, so that of two at once, on any node, one counts the other.
CREATE UNIQUE INDEX mobile_transactions_ring_key ON mobile_transactions (user_id, ring DESC);
DROP INDEX mobile_transactions_user_idx;

-- What is in force about a user after "it was not me".
CREATE TABLE mobile_blocks (
    user_id    integer PRIMARY KEY CONSTRAINT mobile_blocks_user_fkey REFERENCES users ON DELETE CASCADE,
    until      timestamptz,             -- no phone of the user is asked before; NULL: they are
    everywhere boolean NOT NULL,        -- not even for a known browser: it was one that asked
    locked     boolean NOT NULL,        -- the account was made inactive, by this and nobody else
    device     uuid NOT NULL,           -- that reported
    name       text NOT NULL,           -- the device's
    tx_id      uuid NOT NULL,
    created    timestamptz NOT NULL
);

---- create above / drop below ----

DROP TABLE mobile_blocks;
CREATE INDEX mobile_transactions_user_idx ON mobile_transactions (user_id, created DESC);
ALTER TABLE mobile_transactions DROP COLUMN ring, DROP COLUMN rings, DROP COLUMN rung, DROP COLUMN browser, DROP COLUMN session, DROP COLUMN warned,
    DROP COLUMN reported, DROP COLUMN same_network;
