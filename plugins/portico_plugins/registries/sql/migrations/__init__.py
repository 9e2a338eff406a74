"""The revisions of the schema, for Alembic. Each does what is left of it to do: MariaDB may stop half way."""
