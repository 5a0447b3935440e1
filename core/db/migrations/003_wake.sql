-- A prompt that is deleted while a browser waits for it, with its phone or its user, wakes the node that holds the browser.
-- The message has the form of core/bus, its topic is that of the package mobile.

CREATE FUNCTION wake_for_mobile_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('countersign_bus_' || replace(OLD.node::text, '-', ''), json_build_array('mobile', OLD.tx_id)::text);
    RETURN NULL;
END $$;

CREATE TRIGGER mobile_transactions_wake AFTER DELETE ON mobile_transactions
    FOR EACH ROW WHEN (OLD.status = 'wait') EXECUTE FUNCTION wake_for_mobile_transaction();

---- create above / drop below ----

DROP TRIGGER mobile_transactions_wake ON mobile_transactions;
DROP FUNCTION wake_for_mobile_transaction;
