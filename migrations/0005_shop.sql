-- The order form asks with every look: what this person ordered last of a template, and how many environments they have.
create index environment_owner_template on environment (owner_id, template_version_id, id);
create index environment_owner_living on environment (owner_id, id) where deleted_at is null;
