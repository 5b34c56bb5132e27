-- Restore drills: the newest snapshot of an environment is brought up in a place that nobody can enter, to see that it can be.

-- Such a place is an environment of this team, of which nobody is a member.
insert into team (id, name) values ('drills', 'restore drills');
insert into person (id, team_id, name, password_hash, role, disabled_at, created_at)
    values ('drills', 'drills', 'restore drill', '', 'user', 0, 0);

create table drill (
    environment_id text primary key references environment (id),
    -- When the next one is due; null: the environment is deleted.
    due_at bigint,
    -- Who asked for the next one, or for the one under way; null: it is done every week.
    actor text,
    -- What is under way: its place, the snapshot, since when; null: nothing is.
    place_id text references environment (id),
    snapshot_id text,
    began_at bigint,
    -- 1: what comes of it is not known yet. Afterwards its place is on its way out.
    open bigint not null,
    -- What came of the last one; null: there was none.
    ended_at bigint,
    ended_snapshot_id text,
    -- data | ready: how far it, or else the last one, was to come.
    reach text,
    -- Why it did not come so far; null: it did.
    failure text
);
create index drill_due on drill (due_at) where due_at is not null and place_id is null;
create index drill_under_way on drill (place_id) where place_id is not null;

insert into drill (environment_id, due_at, open)
    select id, case when deleted_at is null then created_at + 604800000 end, 0 from environment;
