-- What a phone's enrolment knows while it is under way; the row goes when the phone is confirmed.

CREATE TABLE mobile_enrollments (
    device       uuid PRIMARY KEY REFERENCES mobile_devices ON DELETE CASCADE,
    code_hash    bytea NOT NULL CONSTRAINT mobile_enrollments_code_key UNIQUE, -- keyed hash of the code that stands for the QR payload
    expires      timestamptz NOT NULL,            -- of the code, and of the token that it is exchanged for
    redeemed     timestamptz,                     -- when a phone exchanged it
    contested    timestamptz,                     -- when it came a second time
    fingerprint  text,                            -- what the page shows once a phone with keys has called in, as digits alone
    browser_node uuid,                            -- the node whose request waits for news, for the page
    phone_node   uuid                             -- and for the phone
);

-- Codes that were tried, by network: who guesses is slowed down.
CREATE TABLE mobile_code_tries (
    source text PRIMARY KEY,
    tries  integer NOT NULL,                      -- that were wrong, or are still being looked at
    since  timestamptz NOT NULL                   -- the first of them
);

-- The token of a phone that has called in and is not confirmed yet is good for little: see mobile/doc.go.
ALTER TABLE mobile_tokens DROP CONSTRAINT mobile_tokens_purpose_check,
    ADD CONSTRAINT mobile_tokens_purpose_check CHECK (purpose IN ('enrollment', 'unconfirmed', 'device'));

---- create above / drop below ----

DELETE FROM mobile_tokens WHERE purpose = 'unconfirmed';
ALTER TABLE mobile_tokens DROP CONSTRAINT mobile_tokens_purpose_check,
    ADD CONSTRAINT mobile_tokens_purpose_check CHECK (purpose IN ('enrollment', 'device'));
DROP TABLE mobile_code_tries, mobile_enrollments;
