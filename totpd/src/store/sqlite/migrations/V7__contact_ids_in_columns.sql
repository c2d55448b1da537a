-- Users of applications mostly have an address, and each login of theirs parsed its record for the indexes of V5.
DROP INDEX account_email_id;
DROP INDEX account_phone_id;

ALTER TABLE account ADD COLUMN email_id TEXT;
ALTER TABLE account ADD COLUMN phone_id TEXT;

UPDATE account SET
  email_id = json_extract(record, '$.profile.email.id'),
  phone_id = json_extract(record, '$.profile.phone.id')
WHERE (email IS NOT NULL OR phone IS NOT NULL) AND json_valid(record);

CREATE INDEX account_email_id ON account (email_id) WHERE email_id IS NOT NULL;
CREATE INDEX account_phone_id ON account (phone_id) WHERE phone_id IS NOT NULL;
