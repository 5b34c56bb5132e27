-- What provisioners remember of an environment's machines, so that they need not believe what a cloud shows them. Neither the
-- environment nor the page is looked into here; pages outlive the environment for as long as the cloud may still show it.
create table ledger_page (
    provisioner text not null,
    environment_id text not null,
    page text not null,
    -- Grows with every change: who changes a page says which version was read.
    version bigint not null,
    body text not null,
    primary key (provisioner, environment_id, page)
);
