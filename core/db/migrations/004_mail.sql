-- Mails that are to be sent. A row is written in the transaction of the deed that it tells of, and becomes a background job
-- within moments (core/mail).

CREATE TABLE mail_outbox (
    mail_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),  -- the Message-ID's first half
    position  bigint GENERATED ALWAYS AS IDENTITY,
    user_id   integer NOT NULL CONSTRAINT mail_outbox_user_fkey REFERENCES users ON DELETE CASCADE,
    address   text NOT NULL,                               -- as it was then: who takes an account over changes it first
    kind      text NOT NULL,
    facts     jsonb NOT NULL,                              -- core/mail.Facts; never secrets
    created   timestamptz NOT NULL
);
CREATE INDEX mail_outbox_position_idx ON mail_outbox (position);
CREATE INDEX mail_outbox_user_idx ON mail_outbox (user_id);

CREATE FUNCTION wake_mail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('countersign_mail', '');
    RETURN NULL;
END $$;

CREATE TRIGGER mail_outbox_wake AFTER INSERT ON mail_outbox FOR EACH STATEMENT EXECUTE FUNCTION wake_mail();

-- How many mails an address was owed about a user in the hour from since.
CREATE TABLE mail_quotas (
    user_id integer NOT NULL CONSTRAINT mail_quotas_user_fkey REFERENCES users ON DELETE CASCADE,
    address text NOT NULL,
    since   timestamptz NOT NULL,
    owed    integer NOT NULL,
    PRIMARY KEY (user_id, address, since)
);
CREATE INDEX mail_quotas_since_idx ON mail_quotas (since);

---- create above / drop below ----

DROP TABLE mail_quotas, mail_outbox;
DROP FUNCTION wake_mail;
