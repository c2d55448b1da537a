-- What applications remove addresses and numbers by. Few users have them, so their ids are no columns of their own.
CREATE INDEX account_email_id ON account (CASE WHEN json_valid(record) THEN json_extract(record, '$.profile.email.id') END)
WHERE email IS NOT NULL;

CREATE INDEX account_phone_id ON account (CASE WHEN json_valid(record) THEN json_extract(record, '$.profile.phone.id') END)
WHERE phone IS NOT NULL;
