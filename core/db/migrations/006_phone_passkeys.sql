-- A phone that is a web page has no key that signs after a fingerprint; it has a passkey, which asserts what the possession key signs.

ALTER TABLE mobile_keys
    ADD COLUMN passkey_rp      text,                        -- the relying party that it was made for; NULL: no passkey
    ADD COLUMN passkey_counter bigint NOT NULL DEFAULT 0,   -- of its last signature
    ADD CONSTRAINT mobile_keys_passkey_check CHECK (passkey_rp IS NULL OR use = 'user_verification');

---- create above / drop below ----

ALTER TABLE mobile_keys DROP COLUMN passkey_rp, DROP COLUMN passkey_counter;
