"""Alembic's entry point: runs on the connection that the store hands over."""

from alembic import context

from pt4al_backend.state.schema import Base

connection = context.config.attributes["connection"]
# batch mode: SQLite cannot alter a column, Alembic then copies the table
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
