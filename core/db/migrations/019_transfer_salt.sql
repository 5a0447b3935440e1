-- What the old phone makes the new one's fingerprint of: as at every enrolment, of the one-time token and the salt.

ALTER TABLE mobile_transfers
    ADD COLUMN token_hash text,                   -- of the token that the new phone enrolled with, SHA-256, base64url; NULL until it has
    ADD COLUMN salt       text;                   -- that it was given; NULL until then

-- A new phone that arrived before shows other digits: it is offered anew. Its unconfirmed device goes by the trigger.
DELETE FROM mobile_transfers t USING mobile_devices d WHERE d.uuid = t.new_device AND t.approved IS NULL AND d.signs;

---- create above / drop below ----

DELETE FROM mobile_transfers t USING mobile_devices d WHERE d.uuid = t.new_device AND t.approved IS NULL AND d.signs;
ALTER TABLE mobile_transfers DROP COLUMN token_hash, DROP COLUMN salt;
