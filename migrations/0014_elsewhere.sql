-- Servers that are elsewhere.
-- Where it is in the private network, as its provisioner found it; null: where it was planned to be.
alter table server add column actual_address text;
-- When it was last asked for; null: when it was recorded.
alter table effect add column asked_at bigint;
