-- The snapshot that takes the volumes' place while the environment is parked by snapshot: nothing has used the volumes since it was
-- asked for. Null: the volumes stay.
alter table environment add column parked_snapshot_id text references snapshot (id);
