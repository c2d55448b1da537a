-- What applications look users up by. A user of theirs alone has neither name nor uid.
ALTER TABLE account ADD COLUMN created INTEGER;
ALTER TABLE account ADD COLUMN email TEXT;
ALTER TABLE account ADD COLUMN phone TEXT;
ALTER TABLE account ADD COLUMN awaits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN active_totp TEXT;
ALTER TABLE account ADD COLUMN pending_totp TEXT;

UPDATE account SET
  created = json_extract(record, '$.created'),
  active_totp = json_extract(record, '$.active.id'),
  pending_totp = json_extract(record, '$.pending.id')
WHERE json_valid(record);

CREATE UNIQUE INDEX account_email ON account (email) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX account_phone ON account (phone) WHERE phone IS NOT NULL;
CREATE INDEX account_created ON account (created, id);
CREATE INDEX account_active_totp ON account (active_totp) WHERE active_totp IS NOT NULL;
CREATE INDEX account_pending_totp ON account (pending_totp) WHERE pending_totp IS NOT NULL;

-- Sessions of applications. token is a hash; record is JSON, and vouched for by the key.
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  version INTEGER NOT NULL,
  token TEXT NOT NULL UNIQUE,
  expires INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;

CREATE INDEX session_account ON session (account);
CREATE INDEX session_expires ON session (expires);

-- Credentials of applications, one row for each secret; vouched for by the key.
CREATE TABLE client (
  secret_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;

CREATE INDEX client_name ON client (name);

-- Keys that sign tokens, sealed; and the key that tokens are derived with.
CREATE TABLE signing_key (
  id TEXT PRIMARY KEY,
  created INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;
