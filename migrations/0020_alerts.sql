-- What nobody owns that operators were told of where they are; for as long as it may be found again.
create table alerted_orphan (
    -- As its place calls it, whichever provisioner finds it.
    id text primary key,
    alerted_at bigint not null
);

-- One row: who moves its time on has the next message to send. Of several portals one does.
create table alert (
    id bigint primary key,
    next_at bigint not null,
    -- In a row, until a message arrives.
    failures bigint not null
);
insert into alert (id, next_at, failures) values (1, 0, 0);
