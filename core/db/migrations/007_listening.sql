-- Where a phone is held on a long poll or a socket, so that one node is woken, and not all. A lease: a node that died is
-- forgotten.
ALTER TABLE mobile_devices
    ADD COLUMN listening_node uuid,
    ADD COLUMN listening_until timestamptz;

-- A phone that loses its device, its token or its user is let go at once, wherever it is held. The message has the form of
-- core/bus, its topic is that of the package mobile.
CREATE FUNCTION wake_mobile_device(node uuid, device uuid) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('countersign_bus_' || replace(node::text, '-', ''), json_build_array('mobile', device)::text);
$$;

CREATE FUNCTION wake_for_mobile_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wake_mobile_device(OLD.listening_node, OLD.uuid);
    RETURN NULL;
END $$;
CREATE TRIGGER mobile_devices_wake AFTER DELETE ON mobile_devices
    FOR EACH ROW WHEN (OLD.listening_node IS NOT NULL) EXECUTE FUNCTION wake_for_mobile_device();

CREATE FUNCTION wake_for_mobile_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wake_mobile_device(listening_node, uuid) FROM mobile_devices WHERE uuid = OLD.device AND listening_node IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER mobile_tokens_wake AFTER DELETE ON mobile_tokens
    FOR EACH ROW WHEN (OLD.purpose = 'device') EXECUTE FUNCTION wake_for_mobile_token();

CREATE FUNCTION wake_for_mobile_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wake_mobile_device(listening_node, uuid) FROM mobile_devices WHERE user_id = OLD.id AND listening_node IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER users_wake_mobile AFTER UPDATE OF is_active ON users
    FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active) EXECUTE FUNCTION wake_for_mobile_user();

---- create above / drop below ----

DROP TRIGGER users_wake_mobile ON users;
DROP TRIGGER mobile_tokens_wake ON mobile_tokens;
DROP TRIGGER mobile_devices_wake ON mobile_devices;
DROP FUNCTION wake_for_mobile_user, wake_for_mobile_token, wake_for_mobile_device, wake_mobile_device;
ALTER TABLE mobile_devices DROP COLUMN listening_node, DROP COLUMN listening_until;
