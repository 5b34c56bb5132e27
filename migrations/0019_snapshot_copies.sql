-- Copies of snapshots at other provisioners, for as long as their snapshots are.
create table snapshot_copy (
    snapshot_id text not null references snapshot (id),
    -- That has the copy, or is to have it.
    provisioner text not null,
    -- wanted | copying | complete | failed | removing
    state text not null,
    requested_at bigint not null,
    -- What is being done with it, and how far that is, in words; null: nothing.
    doing text,
    failure text,
    failures bigint not null,
    retry_at bigint not null,
    completed_at bigint,
    primary key (snapshot_id, provisioner)
);
create index snapshot_copy_open on snapshot_copy (provisioner, retry_at) where state <> 'complete';
