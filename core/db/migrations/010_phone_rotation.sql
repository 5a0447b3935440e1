-- Phones that change their keys: new ones wait beside the old until the phone first uses them.

ALTER TABLE mobile_keys ADD COLUMN pending_until timestamptz; -- brought by rotate_keys, not in force; NULL: in force
ALTER TABLE mobile_keys DROP CONSTRAINT mobile_keys_device_use_key;
CREATE UNIQUE INDEX mobile_keys_device_use_key ON mobile_keys (device, use, (pending_until IS NULL));

ALTER TABLE mobile_devices ADD COLUMN changed timestamptz; -- when its keys or its push address last changed by its own word

---- create above / drop below ----

ALTER TABLE mobile_devices DROP COLUMN changed;
DROP INDEX mobile_keys_device_use_key;
DELETE FROM mobile_keys WHERE pending_until IS NOT NULL;
ALTER TABLE mobile_keys DROP COLUMN pending_until;
ALTER TABLE mobile_keys ADD CONSTRAINT mobile_keys_device_use_key UNIQUE (device, use);
