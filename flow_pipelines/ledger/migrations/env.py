"""Runs migrations on the connection, and in the transaction, that `connect` opened and locked."""

from __future__ import annotations

from alembic import context

from flow_pipelines.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
