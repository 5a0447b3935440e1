-- What the makers of phones say of the phones' keys.

ALTER TABLE mobile_devices ADD COLUMN attestation jsonb NOT NULL DEFAULT '[]'; -- what was found at the enrolment

-- Certificates of makers whose keys are trusted no more, as of the list's last reading.
CREATE TABLE mobile_attestation_revoked (
    serial text PRIMARY KEY,                      -- hexadecimal, in small letters, without leading zeros
    reason text NOT NULL
);
CREATE TABLE mobile_attestation_status (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    loaded timestamptz NOT NULL
);

UPDATE stages SET settings = '{"attestation": "none", "attestation_min_patch": "", "attestation_android_apps": [], "attestation_apple_apps": []}' || settings
    WHERE kind = 'authenticatormobilestage';

---- create above / drop below ----

DROP TABLE mobile_attestation_status, mobile_attestation_revoked;
ALTER TABLE mobile_devices DROP COLUMN attestation;
