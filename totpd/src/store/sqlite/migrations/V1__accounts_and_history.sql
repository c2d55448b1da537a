-- What joins this file to its key and to the configuration: store_id, key_id, key_check.
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One user. record is JSON, its secrets sealed; version is what a change has to name.
CREATE TABLE account (
  id TEXT NOT NULL UNIQUE,
  name TEXT UNIQUE,
  version INTEGER NOT NULL,
  pending_until INTEGER,
  record TEXT NOT NULL
) STRICT;

CREATE INDEX account_pending ON account (pending_until) WHERE pending_until IS NOT NULL;

-- One event for each decision, written in the transaction of what it decided.
CREATE TABLE history (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  name TEXT,
  event TEXT NOT NULL
) STRICT;

CREATE INDEX history_name ON history (name, seq);
