-- A change of what was ordered: the environment becomes this as soon as its servers are down.
create table environment_change (
    environment_id text primary key references environment (id),
    template_version_id text not null references template_version (id),
    -- As the columns of these names in environment.
    parameters text not null,
    sealed_secrets text,
    topology text not null,
    -- Keeps what the volumes held before; null: they held nothing.
    present_snapshot_id text references snapshot (id)
);
