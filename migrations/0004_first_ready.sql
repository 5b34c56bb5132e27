-- How long an order took and whether it ever became ready: what past orders tell about their template.
alter table environment add column first_ready_at bigint;
update environment set first_ready_at =
    (select min(at) from timeline_event where environment_id = environment.id and kind = 'ready');
-- Holds all that is asked of the many; the rows themselves are read of the newest only.
create index environment_template on environment (team_id, template_version_id, id, created_at, first_ready_at);
