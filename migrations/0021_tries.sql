-- How often an effect was asked for since somebody last wanted something of its environment: that is what is enough at some point.
-- `attempts` counts all its calls, so that none has another's number.
alter table effect add column tries bigint not null default 0;
update effect set tries = attempts;
