"""A SQLite ledger of one's own."""

from __future__ import annotations

from flow_pipelines_tests.databases import sqlite_url

__all__ = ["sqlite_url"]
