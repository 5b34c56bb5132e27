-- Whether the person does not want to wait for services to end by themselves; BIGINT 0/1. Any other wish takes it back.
alter table environment add column forced bigint not null default 0;
