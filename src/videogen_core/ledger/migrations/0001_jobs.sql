CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    money TEXT NOT NULL,
    artifact TEXT NOT NULL,
    offer TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    unfinished INTEGER NOT NULL,
    held_micro INTEGER NOT NULL,
    cost_micro INTEGER,
    idempotency_key TEXT UNIQUE,
    fingerprint TEXT NOT NULL,
    lease_owner TEXT,
    lease_until REAL NOT NULL DEFAULT 0,
    doc BLOB NOT NULL
) STRICT;
CREATE INDEX jobs_by_time ON jobs (created_at DESC);
CREATE INDEX jobs_unfinished ON jobs (created_at) WHERE unfinished = 1;
CREATE TABLE tags (
    job_id TEXT NOT NULL REFERENCES jobs (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
    job_id TEXT NOT NULL REFERENCES jobs (id),
    number INTEGER NOT NULL,
    offer TEXT NOT NULL,
    provider TEXT NOT NULL,
    status TEXT NOT NULL,
    provider_job_id TEXT,
    started_at REAL NOT NULL,
    finished_at REAL,
    provider_failed INTEGER NOT NULL,
    cost_micro INTEGER,
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_by_provider_job ON attempts (provider, provider_job_id);
CREATE INDEX attempts_by_end ON attempts (finished_at);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    at REAL NOT NULL,
    doc BLOB NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events (job_id, seq);
