"""Alembic's environment of the ledger's schema; `connect.open_ledger` runs it."""
