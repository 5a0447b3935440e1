-- Requests of applications that a person approves on the phone and that are no logins. Each is a prompt like that of a login.

ALTER TABLE mobile_transactions DROP CONSTRAINT mobile_transactions_status_check;
ALTER TABLE mobile_transactions ADD CONSTRAINT mobile_transactions_status_check
    CHECK (status IN ('wait', 'accept', 'deny', 'wrong', 'superseded', 'expired', 'cancelled'));
ALTER TABLE mobile_transactions
    ADD COLUMN approval        jsonb,             -- what is shown and signed; NULL: a login
    ADD COLUMN creator         integer CONSTRAINT mobile_transactions_creator_fkey REFERENCES users ON DELETE CASCADE,
    ADD COLUMN reference       text NOT NULL DEFAULT '',  -- the application's own name for it
    ADD COLUMN idempotency_key text,
    ADD COLUMN request_hash    bytea;             -- SHA-256 of the request that made it
CREATE UNIQUE INDEX mobile_transactions_idempotency_key ON mobile_transactions (creator, idempotency_key) WHERE idempotency_key IS NOT NULL;

---- create above / drop below ----

DROP INDEX mobile_transactions_idempotency_key;
DELETE FROM mobile_transactions WHERE approval IS NOT NULL;
ALTER TABLE mobile_transactions DROP COLUMN approval, DROP COLUMN creator, DROP COLUMN reference, DROP COLUMN idempotency_key, DROP COLUMN request_hash;
ALTER TABLE mobile_transactions DROP CONSTRAINT mobile_transactions_status_check;
ALTER TABLE mobile_transactions ADD CONSTRAINT mobile_transactions_status_check
    CHECK (status IN ('wait', 'accept', 'deny', 'wrong', 'superseded', 'expired'));
