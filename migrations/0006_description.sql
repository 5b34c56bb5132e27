-- What people say about an environment: another name than it was ordered with, tags, a note.
-- The name programs in its servers were told: the first one, once it has another.
alter table environment add column ordered_name text;
alter table environment add column note text not null default '';

create table environment_tag (
    environment_id text not null references environment (id),
    team_id text not null references team (id),
    tag text not null,
    primary key (environment_id, tag)
);
create index environment_tag_team on environment_tag (team_id, tag, environment_id);

-- JSON agent::api::Phase as last reported, and when it was first reported.
alter table server add column phase text;
alter table server add column phase_at bigint;

-- With the name in it: a search over all of a team's names reads no rows but those it finds.
drop index environment_live;
create index environment_live on environment (team_id, id, name) where deleted_at is null;
