-- The settings of stages that say what a report on a phone sets off, and what an approval from another network means.

UPDATE stages SET settings = '{"report_actions": ["event", "end_session", "mail"], "report_block_push": "hours=1"}' || settings
    WHERE kind = 'authenticatormobilestage';
UPDATE stages SET settings = '{"on_network_mismatch": "event"}' || settings WHERE kind = 'authenticatorvalidatestage';

---- create above / drop below ----

UPDATE stages SET settings = settings - 'report_actions' - 'report_block_push' WHERE kind = 'authenticatormobilestage';
UPDATE stages SET settings = settings - 'on_network_mismatch' WHERE kind = 'authenticatorvalidatestage';
