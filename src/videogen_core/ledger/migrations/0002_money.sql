-- Leases belong to a worker, which one heartbeat keeps alive with all that it holds; each new holder gets a new fence.
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    alive_until REAL NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN lease_worker TEXT;
ALTER TABLE jobs ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET lease_owner = NULL;
DROP INDEX jobs_unfinished;
CREATE INDEX jobs_unfinished ON jobs (created_at) WHERE unfinished = 1;

-- The cache key of a job while it is being made, so that the same clip is made once.
ALTER TABLE jobs ADD COLUMN flight TEXT;
CREATE UNIQUE INDEX jobs_in_flight ON jobs (flight) WHERE flight IS NOT NULL;

-- What an attempt holds or has cost, in millionths of a dollar.
ALTER TABLE attempts ADD COLUMN client_ref TEXT;
ALTER TABLE attempts ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN money TEXT NOT NULL DEFAULT 'none';
ALTER TABLE attempts ADD COLUMN booked_micro INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN cost_origin TEXT;
UPDATE attempts SET
    booked_micro = COALESCE(cost_micro, 0),
    money = CASE WHEN finished_at IS NULL THEN 'held' WHEN cost_micro = 0 AND status <> 'succeeded' THEN 'released'
        ELSE 'settled' END;
UPDATE attempts SET booked_micro = (SELECT held_micro FROM jobs WHERE jobs.id = attempts.job_id)
WHERE finished_at IS NULL;
CREATE UNIQUE INDEX attempts_by_ref ON attempts (client_ref);
CREATE INDEX attempts_by_start ON attempts (started_at);

-- One job of a vendor belongs to one attempt of ours, whoever else thinks to have found it.
UPDATE attempts SET account = job_id WHERE EXISTS (
    SELECT 1 FROM attempts AS other WHERE other.provider = attempts.provider
        AND other.provider_job_id = attempts.provider_job_id AND other.job_id <> attempts.job_id);
DROP INDEX attempts_by_provider_job;
CREATE UNIQUE INDEX attempts_by_provider_job ON attempts (provider, account, provider_job_id)
    WHERE provider_job_id IS NOT NULL;

-- More ids that came for one create; each may be a job that is paid for, and is nobody else's.
CREATE TABLE orphans (
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    provider_job_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (provider, account, provider_job_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE budgets (
    name TEXT PRIMARY KEY,
    limit_micro INTEGER NOT NULL,
    blocked TEXT NOT NULL DEFAULT '',
    doc BLOB NOT NULL
) STRICT;

-- A budget in one period. The counters are sums over holds, kept so that one conditional update can refuse.
CREATE TABLE periods (
    budget TEXT NOT NULL,
    starts REAL NOT NULL,
    held_micro INTEGER NOT NULL DEFAULT 0,
    settled_micro INTEGER NOT NULL DEFAULT 0,
    warned REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (budget, starts)
) STRICT, WITHOUT ROWID;

-- What one attempt takes from one budget: held, then settled or released, once.
CREATE TABLE holds (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    budget TEXT NOT NULL,
    starts REAL NOT NULL,
    money TEXT NOT NULL,
    amount_micro INTEGER NOT NULL,
    PRIMARY KEY (job_id, number, budget)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_by_budget ON holds (budget, starts);

-- Webhook deliveries that have been taken in, and by which call.
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    call TEXT NOT NULL,
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_time ON deliveries (seen_at);
