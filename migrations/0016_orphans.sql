-- Single things at a provisioner that carry this installation's tag and that nothing remembered names, as they were last seen.
create table orphan (
    provisioner text not null,
    -- As the place itself calls it.
    id text not null,
    -- JSON of provisioners::Orphan.
    body text not null,
    first_seen_at bigint not null,
    -- When its removal was last asked for: for a while it may be shown still.
    removed_at bigint,
    primary key (provisioner, id)
);

-- When each provisioner is looked through for them next. Who moves that on has the look: of several portals one does it.
create table orphan_look (
    provisioner text primary key,
    next_at bigint not null,
    -- When it was last done.
    looked_at bigint,
    -- Why the last one could not be done, in words.
    trouble text
);
