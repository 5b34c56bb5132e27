-- The whole of what Bookend knows, the same text for SQLite and PostgreSQL.
-- Ids are UUIDv7 text, times Unix milliseconds, truth values BIGINT 0/1, sizes bytes.

create table installation (
    key text primary key,
    value text not null
);

create table team (
    id text primary key,
    name text not null unique
);

create table person (
    id text primary key,
    team_id text not null references team (id),
    -- Sign-in name, lower case.
    name text not null unique,
    -- argon2id PHC string.
    password_hash text not null,
    -- user | administrator
    role text not null,
    disabled_at bigint,
    created_at bigint not null
);

-- Sessions, API tokens and links are found by the SHA-256 of their secret; the secret is nowhere.
create table session (
    secret_hash text primary key,
    person_id text not null references person (id),
    created_at bigint not null,
    last_seen_at bigint not null,
    expires_at bigint not null
);
create index session_person on session (person_id);

create table api_token (
    id text primary key,
    person_id text not null references person (id),
    name text not null,
    secret_hash text not null unique,
    created_at bigint not null,
    last_used_at bigint,
    expires_at bigint
);
create index api_token_person on api_token (person_id);

create table setup_link (
    secret_hash text primary key,
    created_at bigint not null,
    expires_at bigint not null,
    used_at bigint
);

-- Failed sign-ins, for the rate limit; pruned as it is read.
create table sign_in_failure (
    id text primary key,
    -- Normalised name or address: what is limited.
    subject text not null,
    at bigint not null
);
create index sign_in_failure_subject on sign_in_failure (subject, at);

create table template (
    id text primary key,
    team_id text not null references team (id),
    name text not null,
    -- The version on offer; null while no file of it was ever good.
    offered_version_id text,
    -- The newest file's error, when it is broken.
    broken text,
    -- The file is gone: no longer offered, versions stay for the environments made from them.
    withdrawn_at bigint,
    created_at bigint not null,
    unique (team_id, name)
);

create table template_version (
    id text primary key,
    template_id text not null references template (id),
    version text not null,
    -- SHA-256 of the source, hex.
    digest text not null,
    -- The YAML as loaded.
    source text not null,
    created_at bigint not null,
    unique (template_id, digest)
);

create table environment (
    id text primary key,
    team_id text not null references team (id),
    owner_id text not null references person (id),
    name text not null,
    template_version_id text not null references template_version (id),
    provisioner text not null,
    -- JSON: parameter name -> value; secrets are absent here.
    parameters text not null,
    -- JSON: parameter name -> value, sealed with the installation key; null when there is no secret.
    sealed_secrets text,
    -- JSON Topology, compiled from the template version and the parameters when it was ordered.
    topology text not null,

    -- What the person wants: running | parked | deleted.
    desired text not null,
    -- Grows with each change of desire, so that a stale change is seen.
    generation bigint not null,
    desired_at bigint not null,

    -- What came of it, for lists; written by the engine together with the facts it is derived from.
    state text not null,
    waiting_for text,
    -- JSON Failure; null when there is none.
    failure text,
    ready_at bigint,
    -- Whether the private network was there when last looked.
    network_observed bigint not null,
    servers_ready bigint not null,
    servers_total bigint not null,
    created_at bigint not null,
    deleted_at bigint,
    -- Next scheduled action, for the scheduler and for people.
    next_event_at bigint,
    next_event_action text,

    -- The engine's claim: due when due_at <= now; held until lease_until by lease_owner; fence grows with every claim.
    due_at bigint,
    lease_owner text,
    lease_until bigint not null,
    fence bigint not null,
    -- Grows with each reason to look at it; what came in while it was claimed makes it due again.
    hints bigint not null
);
create unique index environment_name on environment (team_id, name) where deleted_at is null;
create index environment_due on environment (due_at, id) where due_at is not null;
create index environment_team on environment (team_id, id);
create index environment_live on environment (team_id, id) where deleted_at is null;
create index environment_owner on environment (owner_id, id);
create index environment_next_event on environment (next_event_at) where next_event_at is not null;

create table server (
    id text primary key,
    environment_id text not null references environment (id),
    name text not null,
    -- IPv4 in the private network.
    address text not null,
    -- The incarnation that should be there; grows with resume, restart and repair.
    generation bigint not null,
    -- Starts that failed since it was last healthy, and when the next may be tried.
    attempts bigint not null,
    retry_at bigint not null,
    -- The generation whose agent has enrolled, and the SHA-256 of its session key, hex.
    enrolled_generation bigint not null,
    agent_key_hash text,
    -- Since when no agent is connected; null while one is.
    disconnected_at bigint,
    -- JSON agent::api::Status as last reported, and the generation it is about.
    status text,
    status_generation bigint not null,
    -- JSON list of provisioners::ObservedServer as last observed, older generations included.
    observed text,
    healthy_at bigint,
    unique (environment_id, name)
);

create table volume (
    id text primary key,
    environment_id text not null references environment (id),
    name text not null,
    size_bytes bigint not null,
    created_at bigint not null,
    -- When it was first seen to exist. A volume that was seen is never made again, empty.
    observed_at bigint,
    -- Asked for by an explicit delete of its environment; only then may the engine remove it.
    delete_requested_at bigint,
    deleted_at bigint,
    unique (environment_id, name)
);

-- One recorded intention to change the outside world. Committed before the call; the exact request is kept.
create table effect (
    token text primary key,
    environment_id text not null references environment (id),
    -- The server or volume it is about; null for the network.
    subject_id text,
    -- Of the server; of the network, the sum of its servers' generations.
    generation bigint not null,
    -- The step's name, for people and for the index.
    step text not null,
    -- JSON provisioners::Step.
    request text not null,
    -- recorded | accepted | retryable | rejected | unknown
    outcome text not null,
    message text,
    -- How often it was asked, and when it may be asked again.
    attempts bigint not null,
    retry_at bigint not null,
    recorded_at bigint not null,
    finished_at bigint,
    fence bigint not null
);
-- Never two servers for one (server, generation).
create unique index effect_one_start on effect (subject_id, generation) where step = 'start_server';
create index effect_environment on effect (environment_id, recorded_at);

create table timeline_event (
    id text primary key,
    environment_id text not null references environment (id),
    at bigint not null,
    kind text not null,
    message text not null,
    server text,
    actor text
);
create index timeline_event_environment on timeline_event (environment_id, id);

create table audit_event (
    id text primary key,
    team_id text,
    at bigint not null,
    actor text not null,
    action text not null,
    target text not null,
    -- JSON, never a secret.
    detail text not null
);

-- A repeated order of the same person with the same key answers with the same environment.
create table order_request (
    person_id text not null references person (id),
    request_id text not null,
    environment_id text not null references environment (id),
    -- SHA-256 of the order: the same key with another order is refused.
    digest text not null,
    created_at bigint not null,
    primary key (person_id, request_id)
);

-- Log lines as the agents sent them: a chunk holds lines seq_first..seq_last as newline-delimited JSON.
create table log_chunk (
    server_id text not null references server (id),
    generation bigint not null,
    seq_first bigint not null,
    seq_last bigint not null,
    at bigint not null,
    bytes bigint not null,
    lines text not null,
    primary key (server_id, generation, seq_first)
);
