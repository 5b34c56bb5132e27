-- The portable repositories that portals of this database use, by the id in a repository's own configuration.
create table repository (
    id text primary key,
    -- As it was named last.
    location text not null,
    -- Whoever works on it: one portal at a time, and one thing at a time.
    lease_owner text,
    lease_until bigint not null,
    fence bigint not null,
    -- Why it could not be used last; null: it could.
    trouble text,
    trouble_since bigint,
    failures bigint not null,
    retry_at bigint not null,
    -- When what is in it was last compared with what is written here, and what there was.
    looked_at bigint,
    snapshots bigint,
    stored_bytes bigint,
    -- Something was forgotten since it was last pruned.
    prune_wanted bigint not null
);

-- Copies of snapshots in a repository.
create table snapshot_export (
    repository_id text not null references repository (id),
    snapshot_id text not null references snapshot (id),
    -- wanted | exporting | exported | failed | forgotten
    state text not null,
    -- Who asked for it; null: the portal's policy.
    actor text,
    requested_at bigint not null,
    failure text,
    failures bigint not null,
    retry_at bigint not null,
    began_at bigint,
    bytes_done bigint not null,
    bytes_total bigint not null,
    exported_at bigint,
    -- What the repository calls it.
    name text,
    -- New in the repository, as stored; null: not known, because the portal was killed in that moment.
    bytes_added bigint,
    primary key (repository_id, snapshot_id)
);
create index snapshot_export_open on snapshot_export (repository_id, retry_at) where state in ('wanted', 'exporting', 'failed');
create index snapshot_export_of on snapshot_export (snapshot_id);

-- Snapshots that come from a repository, each for an environment that is made of it, and is deleted until then.
create table snapshot_import (
    environment_id text primary key references environment (id),
    -- What it is to be called here.
    snapshot_id text not null,
    repository_id text not null references repository (id),
    name text not null,
    actor text not null,
    -- JSON list of volume id, name and manifest.
    volumes text not null,
    label text not null,
    taken_at bigint not null,
    -- wanted | importing | imported | failed
    state text not null,
    requested_at bigint not null,
    failure text,
    failures bigint not null,
    retry_at bigint not null,
    began_at bigint,
    bytes_done bigint not null,
    bytes_total bigint not null
);
create index snapshot_import_open on snapshot_import (repository_id, retry_at) where state in ('wanted', 'importing');
