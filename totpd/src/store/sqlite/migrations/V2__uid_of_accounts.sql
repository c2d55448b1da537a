-- Whose uid an account is, so that a second name of an enrolled user is seen for what it is.
ALTER TABLE account ADD COLUMN uid INTEGER;

UPDATE account SET uid = json_extract(record, '$.uid') WHERE json_valid(record);

CREATE INDEX account_uid ON account (uid);
