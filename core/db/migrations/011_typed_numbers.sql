-- Numbers that are typed. A prompt takes some wrong answers before it is over, and where the phone shows a code, it is accepted
-- when the phone has approved and the browser has sent the code, in either order.

ALTER TABLE mobile_transactions
    ADD COLUMN attempts_left smallint NOT NULL DEFAULT 1 CHECK (attempts_left >= 0), -- wrong answers that are left; the last one ends the prompt
    ADD COLUMN carried boolean NOT NULL DEFAULT true,   -- what the browser has to send is there; true where that is nothing
    ADD COLUMN approved boolean NOT NULL DEFAULT false; -- the phone has approved

UPDATE stages SET settings = '{"answer_mode": "item_matching", "typed_attempts": 3, "required_assurance": "any"}'::jsonb || settings
    WHERE kind = 'authenticatormobilestage';

---- create above / drop below ----

ALTER TABLE mobile_transactions DROP COLUMN attempts_left, DROP COLUMN carried, DROP COLUMN approved;
