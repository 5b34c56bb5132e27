-- When the next snapshot is due by the template's rule; null: there is none.
alter table environment add column next_snapshot_at bigint;
create index environment_next_snapshot on environment (next_snapshot_at) where next_snapshot_at is not null;
