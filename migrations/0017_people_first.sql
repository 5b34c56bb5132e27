-- Whether a schedule, and no person, wants what is wanted now: what people wait for goes before it.
alter table environment add column by_schedule bigint not null default 0;

drop index environment_due;
create index environment_due on environment (by_schedule, due_at, id) where due_at is not null;
