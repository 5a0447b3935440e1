-- A person's way to a new phone: the old one invites it and approves it.

CREATE TABLE mobile_transfers (
    new_device uuid PRIMARY KEY REFERENCES mobile_devices ON DELETE CASCADE,
    old_device uuid NOT NULL CONSTRAINT mobile_transfers_old_key UNIQUE REFERENCES mobile_devices ON DELETE CASCADE,
    expires    timestamptz NOT NULL,              -- when it is given up, unless it is approved
    node       uuid,                              -- whose request of the old phone waits for the new one
    approved   timestamptz,
    ends       timestamptz                        -- when the old phone is removed; NULL until it is approved
);

-- What nobody can approve any more is gone, whoever removed the old phone.
CREATE FUNCTION drop_phone_of_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM mobile_devices WHERE uuid = OLD.new_device AND NOT confirmed;
    RETURN NULL;
END $$;

CREATE TRIGGER mobile_transfers_drop AFTER DELETE ON mobile_transfers
    FOR EACH ROW WHEN (OLD.approved IS NULL) EXECUTE FUNCTION drop_phone_of_transfer();

ALTER TABLE mobile_devices ADD COLUMN replaces uuid; -- the phone that is removed once this one has approved a login

-- The token of a phone that has called in and is not confirmed yet is good for asking how it stands.
ALTER TABLE mobile_tokens DROP CONSTRAINT mobile_tokens_purpose_check,
    ADD CONSTRAINT mobile_tokens_purpose_check CHECK (purpose IN ('enrollment', 'unconfirmed', 'device'));

UPDATE stages SET settings = '{"transfer_overlap": "days=1", "cooldown": "hours=0"}' || settings WHERE kind = 'authenticatormobilestage';

---- create above / drop below ----

DELETE FROM mobile_transfers;
DELETE FROM mobile_tokens WHERE purpose = 'unconfirmed';
ALTER TABLE mobile_tokens DROP CONSTRAINT mobile_tokens_purpose_check,
    ADD CONSTRAINT mobile_tokens_purpose_check CHECK (purpose IN ('enrollment', 'device'));
ALTER TABLE mobile_devices DROP COLUMN replaces;
DROP TABLE mobile_transfers;
DROP FUNCTION drop_phone_of_transfer;
