-- Lists of a team's environments in every order people can ask for, narrowed without reading the rows themselves: quick
-- also when a team has 100,000 of them.
drop index environment_team;
drop index environment_live;
create index environment_living on environment (team_id, id, name, state, template_version_id) where deleted_at is null;
create index environment_gone on environment (team_id, id) where deleted_at is not null;
-- The same expressions stand in store/listing.rs.
create index environment_by_state on environment
    (team_id, (case state when 'failed' then 4 when 'ready' then 2 when 'parked' then 1 when 'deleted' then 0 else 3 end), id, name, state)
    where deleted_at is null;
create index environment_by_next_event on environment
    (team_id, (coalesce(next_event_at, 9223372036854775807)), id, name, state) where deleted_at is null;

-- What happened lately, over all environments of a team.
alter table timeline_event add column team_id text;
update timeline_event set team_id = (select team_id from environment where environment.id = timeline_event.environment_id);
create index timeline_event_team on timeline_event (team_id, id);

-- Where a session was begun, as far as it is known: the address, and browser and system in two or three words.
alter table session add column address text;
alter table session add column browser text;

-- IANA name of the time zone a person wants exact times in; null: the browser's.
alter table person add column time_zone text;

-- What has not come to pass yet, for operators.
create index effect_in_flight on effect (recorded_at) where outcome in ('recorded', 'retryable', 'unknown');
