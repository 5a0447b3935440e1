-- How far a prompt came on its way to the phone and back, for the page that waits and for administrators.
ALTER TABLE mobile_transactions
    ADD COLUMN accepted  timestamptz,                    -- the push service took the push
    ADD COLUMN fetched   timestamptz,                    -- the phone was given the prompt
    ADD COLUMN displayed timestamptz,                    -- the phone says that it shows it
    ADD COLUMN released  timestamptz,                    -- the login went on
    ADD COLUMN key       text,                           -- the thumbprint of the key that signed the answer
    ADD COLUMN follows   boolean NOT NULL DEFAULT false; -- the page wants to hear of it

---- create above / drop below ----

ALTER TABLE mobile_transactions DROP COLUMN accepted, DROP COLUMN fetched, DROP COLUMN displayed, DROP COLUMN released, DROP COLUMN key, DROP COLUMN follows;
