-- JSON: when snapshots of it are taken by themselves, said by its owner; null: as its template says.
alter table environment add column snapshot_rule text;
