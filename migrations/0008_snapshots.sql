-- Snapshots: one moment of all volumes of an environment each. They outlive its servers and volumes.
create table snapshot (
    id text primary key,
    environment_id text not null references environment (id),
    -- demand | park | delete | restore
    reason text not null,
    -- What a person calls it; empty when nobody did.
    label text not null,
    -- Who asked; null when a schedule did.
    actor text,
    -- wanted | reading | complete | failed | damaged
    state text not null,
    -- With failed and damaged, in words.
    failure text,
    -- JSON list of provisioners::SnapshotVolume: what is to be in it.
    volumes text not null,
    -- JSON list of provisioners::SnapshotContent, once it was taken.
    contents text,
    -- How it was taken, in words.
    method text,
    requested_at bigint not null,
    -- The moment it shows.
    taken_at bigint,
    completed_at bigint,
    -- When it was last read as a whole and found to be what was taken.
    verified_at bigint,
    -- How long the servers stood still for it; null when none ran.
    frozen_ms bigint,
    pinned bigint not null,
    -- It goes by itself then, unless it is pinned; null: it stays.
    expires_at bigint,
    -- Only then may the engine remove it.
    removal_requested_at bigint,
    removed_at bigint
);
create index snapshot_environment on snapshot (environment_id, id);
-- What the engine still has to do something about.
create index snapshot_open on snapshot (environment_id)
    where removed_at is null and (state in ('wanted', 'reading') or removal_requested_at is not null);

create index snapshot_expiring on snapshot (expires_at) where expires_at is not null and removal_requested_at is null;

-- The snapshot whose data the environment is being given, and the one that keeps what it has now; null: none.
alter table environment add column restoring_snapshot_id text;
alter table environment add column present_snapshot_id text;
-- The one taken before its volumes were deleted.
alter table environment add column final_snapshot_id text;

-- A volume that is replaced stays until what it held is safe, beside the one that takes its place.
create table volume_of_now (
    id text primary key,
    environment_id text not null references environment (id),
    name text not null,
    size_bytes bigint not null,
    -- current | incoming (begins with what a snapshot held, not in use yet) | outgoing (was replaced) | gone
    role text not null,
    -- What it begins with; null: nothing.
    source_environment_id text,
    source_snapshot_id text,
    source_volume_id text,
    -- With outgoing: the snapshot that has to be complete before it is deleted; null: it was never used.
    kept_in_snapshot_id text,
    created_at bigint not null,
    -- When it was first seen to exist. A volume that was seen is never made again, empty.
    observed_at bigint,
    -- Asked for by an explicit delete or restore; only then may the engine remove it.
    delete_requested_at bigint,
    deleted_at bigint
);
insert into volume_of_now (id, environment_id, name, size_bytes, role, created_at, observed_at, delete_requested_at, deleted_at)
    select id, environment_id, name, size_bytes, 'current', created_at, observed_at, delete_requested_at, deleted_at from volume;
drop table volume;
alter table volume_of_now rename to volume;
create unique index volume_name on volume (environment_id, name, role) where role in ('current', 'incoming');
create index volume_environment on volume (environment_id);
