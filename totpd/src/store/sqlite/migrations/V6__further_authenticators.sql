-- The ids of a user's second and third authenticator. Most users have none, and then no index has a row for them.
ALTER TABLE account ADD COLUMN second_totp TEXT;
ALTER TABLE account ADD COLUMN third_totp TEXT;

CREATE INDEX account_second_totp ON account (second_totp) WHERE second_totp IS NOT NULL;
CREATE INDEX account_third_totp ON account (third_totp) WHERE third_totp IS NOT NULL;
