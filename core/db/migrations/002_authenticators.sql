-- The other authenticators. Seeds, codes and numbers that must be used again are sealed with the server key (…_sealed);
-- what is only compared is stored as SHA-256 keyed with it (…_hash).

CREATE TABLE totp_devices (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    integer NOT NULL CONSTRAINT totp_devices_user_fkey REFERENCES users ON DELETE CASCADE,
    name       text NOT NULL,
    confirmed  boolean NOT NULL DEFAULT false,
    key_sealed bytea NOT NULL,
    digits     integer NOT NULL DEFAULT 6 CHECK (digits IN (6, 8)),
    last_step  bigint NOT NULL DEFAULT -1,     -- the time step that was used last: none up to it is taken again
    drift      integer NOT NULL DEFAULT 0,
    failures   integer NOT NULL DEFAULT 0,     -- consecutive ones, for the throttle
    failed_at  timestamptz,
    last_used  timestamptz,
    created    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX totp_devices_user_idx ON totp_devices (user_id);

CREATE TABLE static_devices (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id   integer NOT NULL CONSTRAINT static_devices_user_fkey REFERENCES users ON DELETE CASCADE,
    name      text NOT NULL,
    confirmed boolean NOT NULL DEFAULT false,
    failures  integer NOT NULL DEFAULT 0,
    failed_at timestamptz,
    last_used timestamptz,
    created   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX static_devices_user_idx ON static_devices (user_id);

CREATE TABLE static_codes (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device    integer NOT NULL REFERENCES static_devices ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    UNIQUE (device, code_hash)
);

CREATE TABLE sms_devices (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      integer NOT NULL CONSTRAINT sms_devices_user_fkey REFERENCES users ON DELETE CASCADE,
    stage        uuid NOT NULL CONSTRAINT sms_devices_stage_fkey REFERENCES stages ON DELETE CASCADE,
    name         text NOT NULL,
    confirmed    boolean NOT NULL DEFAULT false,
    phone_hash   bytea NOT NULL,               -- finds a number that is taken
    phone_sealed bytea,                        -- NULL: verified only, never sent to again
    last_used    timestamptz,
    created      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sms_devices_stage_phone_hash_key UNIQUE (stage, phone_hash)
);
CREATE INDEX sms_devices_user_idx ON sms_devices (user_id);

-- One code on its way to one number; it is spent by use, by failures and by time.
CREATE TABLE sms_codes (
    code_uuid  uuid PRIMARY KEY,
    phone_hash bytea NOT NULL,
    user_id    integer NOT NULL REFERENCES users ON DELETE CASCADE,
    source     text NOT NULL DEFAULT '',
    code_hash  bytea NOT NULL,
    failures   integer NOT NULL DEFAULT 0,
    created    timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL,
    used       timestamptz
);
CREATE INDEX sms_codes_phone_idx ON sms_codes (phone_hash, created DESC);
CREATE INDEX sms_codes_user_idx ON sms_codes (user_id, created DESC);
CREATE INDEX sms_codes_source_idx ON sms_codes (source, created DESC);

CREATE TABLE duo_devices (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     integer NOT NULL CONSTRAINT duo_devices_user_fkey REFERENCES users ON DELETE CASCADE,
    stage       uuid NOT NULL CONSTRAINT duo_devices_stage_fkey REFERENCES stages ON DELETE CASCADE,
    name        text NOT NULL,
    confirmed   boolean NOT NULL DEFAULT false,
    duo_user_id text NOT NULL,
    last_used   timestamptz,
    created     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT duo_devices_stage_duo_user_id_key UNIQUE (stage, duo_user_id)
);
CREATE INDEX duo_devices_user_idx ON duo_devices (user_id);

CREATE TABLE webauthn_device_types (
    aaguid      uuid PRIMARY KEY,
    description text NOT NULL,
    icon        text NOT NULL DEFAULT '',
    revoked     boolean NOT NULL DEFAULT false
);

CREATE TABLE webauthn_devices (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       integer NOT NULL CONSTRAINT webauthn_devices_user_fkey REFERENCES users ON DELETE CASCADE,
    name          text NOT NULL,
    confirmed     boolean NOT NULL DEFAULT false,
    credential_id bytea NOT NULL CONSTRAINT webauthn_devices_credential_id_key UNIQUE,
    credential    jsonb NOT NULL,              -- public key, flags and counter, as the library keeps them
    rp_id         text NOT NULL,
    aaguid        uuid NOT NULL,
    device_type   uuid CONSTRAINT webauthn_devices_device_type_fkey REFERENCES webauthn_device_types ON DELETE SET NULL,
    last_used     timestamptz,
    created       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webauthn_devices_user_idx ON webauthn_devices (user_id);

---- create above / drop below ----

DROP TABLE webauthn_devices, webauthn_device_types, duo_devices, sms_codes, sms_devices, static_codes, static_devices, totp_devices;
