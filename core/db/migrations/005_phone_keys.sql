-- Phones that sign. A phone has a key for possession and may have one that the operating system releases only after it has
-- checked the person; only their public parts are here.

CREATE TABLE mobile_keys (
    thumbprint text PRIMARY KEY,                  -- RFC 7638, SHA-256, base64url
    device     uuid NOT NULL REFERENCES mobile_devices ON DELETE CASCADE,
    use        text NOT NULL CHECK (use IN ('possession', 'user_verification')),
    jwk        jsonb NOT NULL,
    created    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mobile_keys_device_use_key UNIQUE (device, use)
);

-- Proofs of requests that were accepted, until they are too old to be accepted again: none counts twice, on any node.
CREATE TABLE mobile_proofs (
    proof_hash bytea PRIMARY KEY,                 -- SHA-256 of the key's thumbprint and the proof's jti
    expires    timestamptz NOT NULL
);
CREATE INDEX mobile_proofs_expires_idx ON mobile_proofs (expires);

-- The key by which phones know the server: it signs what they show.
CREATE TABLE mobile_server_keys (
    thumbprint     text PRIMARY KEY,
    private_sealed bytea NOT NULL,                -- PKCS #8
    created        timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE mobile_devices ADD COLUMN signs boolean NOT NULL DEFAULT false; -- it has keys, so that its token alone is not enough
ALTER TABLE mobile_transactions ADD COLUMN signed text NOT NULL DEFAULT 'bearer'
    CHECK (signed IN ('bearer', 'possession', 'user_verification')); -- what the answer was authenticated by

UPDATE stages SET settings = settings || '{"accepted_answers": "bearer"}'
    WHERE kind = 'authenticatormobilestage' AND NOT settings ? 'accepted_answers';

---- create above / drop below ----

ALTER TABLE mobile_transactions DROP COLUMN signed;
ALTER TABLE mobile_devices DROP COLUMN signs;
DROP TABLE mobile_server_keys, mobile_proofs, mobile_keys;
