"""The ledger: what was planned, bought, seen and stored. See `contract` for its promises."""

from __future__ import annotations

from flow_pipelines.ledger.connect import open_ledger, schema_facts, upgrade
from flow_pipelines.ledger.pace import SqlPaceStore
from flow_pipelines.ledger.run_ledger import RunLedger
from flow_pipelines.ledger.upgrading import SchemaFacts

__all__ = [
    "RunLedger",
    "SchemaFacts",
    "SqlPaceStore",
    "open_ledger",
    "schema_facts",
    "upgrade",
]
