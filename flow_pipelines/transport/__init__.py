"""The only I/O toward providers: connections, turns, retries, verdicts, downloads."""

from __future__ import annotations

from flow_pipelines.retries import RetryBudget, Timeouts
from flow_pipelines.transport.account import AccountReport, check_account
from flow_pipelines.transport.addresses import ListedAddresses
from flow_pipelines.transport.http_transport import HttpTransport
from flow_pipelines.transport.pacing import MemoryPaceStore
from flow_pipelines.transport.sealing import LinkSeal

__all__ = [
    "AccountReport",
    "HttpTransport",
    "LinkSeal",
    "ListedAddresses",
    "MemoryPaceStore",
    "RetryBudget",
    "Timeouts",
    "check_account",
]
