-- How a browser gets to an app behind a port, on that app's own host: a single-use ticket made on the portal's host is
-- swapped for a cookie on the app's. Both lead to one app and end with the session they were made from.
create table app_access (
    -- SHA-256 of the ticket or the cookie.
    secret_hash text primary key,
    -- ticket | cookie
    kind text not null,
    -- The session's secret_hash; the session may be gone.
    session_hash text not null,
    -- The app's host name, first label.
    label text not null,
    environment_id text not null,
    -- Name of the server.
    server text not null,
    port bigint not null,
    expires_at bigint not null
);
create index app_access_expires on app_access (expires_at);
