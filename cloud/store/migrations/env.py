"""Alembic's entry: runs the migrations in the transaction that the caller holds."""

from alembic import context

from cloud.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can roll back schema changes too, once the driver leaves transactions alone.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
