-- Whether a phone's maker has proved that hardware holds a key, and whether it was such a key that signed an answer.

ALTER TABLE mobile_keys ADD COLUMN hardware boolean NOT NULL DEFAULT false;
ALTER TABLE mobile_transactions ADD COLUMN hardware_key boolean NOT NULL DEFAULT false;

UPDATE mobile_keys k SET hardware = true FROM mobile_devices d, jsonb_array_elements(d.attestation) f
    WHERE d.uuid = k.device AND k.pending_until IS NULL AND f->>'format' = 'android-key' AND f->>'key' = k.use AND NOT f ? 'problem'
        AND f->>'security_level' IN ('tee', 'strongbox') AND f->>'boot_state' = 'verified' AND f->'device_locked' = 'true';

---- create above / drop below ----

ALTER TABLE mobile_transactions DROP COLUMN hardware_key;
ALTER TABLE mobile_keys DROP COLUMN hardware;
