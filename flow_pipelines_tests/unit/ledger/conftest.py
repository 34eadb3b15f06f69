"""A SQLite ledger of one's own, and a PostgreSQL server."""

from __future__ import annotations

from flow_pipelines_tests.databases import postgres_server, sqlite_url

__all__ = ["postgres_server", "sqlite_url"]
