-- Where an application is told how its approval ended, and that a phone reported one. Whatever ends an approval, the outbox
-- gets its row in the same transaction, and it becomes a background job within moments (mobile/webhook.go).

ALTER TABLE mobile_transactions
    ADD COLUMN webhook  text NOT NULL DEFAULT '',
    ADD COLUMN disowned boolean NOT NULL DEFAULT false;  -- the phone signed that its user asked for nothing; "reported" counts those with effects
CREATE INDEX mobile_transactions_approval_idx ON mobile_transactions (created DESC, tx_id) WHERE approval IS NOT NULL;

CREATE TABLE mobile_webhook_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx_id    uuid NOT NULL CONSTRAINT mobile_webhook_outbox_tx_fkey REFERENCES mobile_transactions ON DELETE CASCADE,
    due      timestamptz                                 -- when it expires, unless it ends before; NULL: it has ended
);
CREATE INDEX mobile_webhook_outbox_tx_idx ON mobile_webhook_outbox (tx_id);

CREATE FUNCTION queue_mobile_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mobile_webhook_outbox (tx_id, due) VALUES (NEW.tx_id, CASE WHEN NEW.status = 'wait' THEN NEW.expires END);
    PERFORM pg_notify('countersign_webhook', '');
    RETURN NULL;
END $$;

CREATE TRIGGER mobile_transactions_webhook_opened AFTER INSERT ON mobile_transactions FOR EACH ROW
    WHEN (NEW.webhook <> '') EXECUTE FUNCTION queue_mobile_webhook();
CREATE TRIGGER mobile_transactions_webhook_ended AFTER UPDATE OF status ON mobile_transactions FOR EACH ROW
    WHEN (NEW.webhook <> '' AND OLD.status = 'wait' AND NEW.status <> 'wait') EXECUTE FUNCTION queue_mobile_webhook();

---- create above / drop below ----

DROP TRIGGER mobile_transactions_webhook_opened ON mobile_transactions;
DROP TRIGGER mobile_transactions_webhook_ended ON mobile_transactions;
DROP FUNCTION queue_mobile_webhook;
DROP TABLE mobile_webhook_outbox;
DROP INDEX mobile_transactions_approval_idx;
ALTER TABLE mobile_transactions DROP COLUMN webhook, DROP COLUMN disowned;
