"""Figures of the ledger as Prometheus reads them; docs/OPERATING.md has the table.

Labels are providers, accounts, batches and code locations only: keys of partitions, prompts and
what providers say have no bound.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import click
from prometheus_client import (
    CollectorRegistry,
    generate_latest,
    start_http_server,
    write_to_textfile,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flow_pipelines.cli.processes import ended_by_signals
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model.errors import ConfigurationError

BATCHES = 100
"""Batches that have series of their own, the first by name; the others are summed up as OTHER."""
OTHER = "other"

_ACCOUNT = ("provider", "account")
_BATCH = (*_ACCOUNT, "batch")
_DAY = timedelta(days=1)
Labels = tuple[str, ...]
Values = dict[Labels, float]
Money = dict[Labels, Decimal]


class LedgerCollector(Collector):
    """Reads the ledger anew for every scrape, for one at a time."""

    def __init__(self, ledger: RunLedger) -> None:
        """Read nothing yet."""
        self._ledger, self._one_at_a_time = ledger, threading.Lock()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return every figure. Raises: LedgerError."""
        with self._one_at_a_time:
            now = self._ledger.now()
            return [*_runs(self._ledger, now), *_money(self._ledger, now), _ticks(self._ledger)]


def text(ledger: RunLedger) -> str:
    """Return all figures in Prometheus' text format."""
    return generate_latest(_registry(ledger)).decode()


def write(ledger: RunLedger, file: Path) -> None:
    """Write them to a file, which is replaced in one step: for node_exporter's textfile collector.

    Raises: ConfigurationError.
    """
    try:
        write_to_textfile(str(file), _registry(ledger))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error}") from error


def serve(ledger: RunLedger, address: str) -> None:
    """Serve them by HTTP at `host:port` until SIGINT or SIGTERM. Raises: ConfigurationError."""
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), _registry(ledger))
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"nothing can listen at {address!r}: {error}") from error
    click.echo(f"serving /metrics at {host} port {server.server_port}", err=True)
    with suppress(KeyboardInterrupt), ended_by_signals():
        thread.join()
    server.shutdown()
    server.server_close()


def _registry(ledger: RunLedger) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger))
    return registry


def _runs(ledger: RunLedger, now: datetime) -> Iterator[GaugeMetricFamily]:
    lines = ledger.outstanding()
    batches = _batches(one.batch for one in lines)
    counted, due, oldest = Values(), Values(), Values()
    for one in lines:
        labels = (one.provider, one.resource, batches[one.batch])
        for state, count in (("in_flight", one.in_flight), ("unresolved", one.unresolved)):
            counted[(*labels, state)] = counted.get((*labels, state), 0) + count
        due[labels] = due.get(labels, 0) + one.due
        late = (now - one.due_at).total_seconds() if one.due_at else 0
        oldest[labels] = max(oldest.get(labels, 0), late)
    yield _family("submissions", "Provider runs by state.", (*_BATCH, "state"), counted)
    yield _family("submissions_due", "Those in flight that are to be polled now.", _BATCH, due)
    about = "For how long the first of the runs due has been waiting for its poll."
    yield _family("oldest_due_seconds", about, _BATCH, oldest)


def _money(ledger: RunLedger, now: datetime) -> Iterator[GaugeMetricFamily]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    lines = ledger.spent_between(today, today + _DAY)
    batches = _batches(one.batch for one in lines)
    spent, limits, left = Money(), Money(), Money()
    for one in lines:
        labels = (one.provider, one.resource, batches[one.batch])
        spent[labels] = spent.get(labels, Decimal(0)) + one.spent_usd
    for provider, account, limit in ledger.daily_budgets():
        limits[provider, account] = limit
        left[provider, account] = limit - ledger.reserved_usd(account, now)
    about = "Costs, or estimates until a cost is known, of what was sent since 00:00 UTC."
    yield _family("spent_today_usd", about, _BATCH, spent)
    yield _family("daily_budget_usd", "Limit of a UTC day, where there is one.", _ACCOUNT, limits)
    yield _family("budget_left_usd", "What is left of it today.", _ACCOUNT, left)


def _ticks(ledger: RunLedger) -> GaugeMetricFamily:
    ticks: Values = {tick[:2]: tick.at.timestamp() for tick in ledger.last_ticks()}
    about = "When a provider's sensor last came to the end of a tick."
    return _family("last_tick_timestamp_seconds", about, ("provider", "location"), ticks)


def _batches(names: Iterable[str]) -> Mapping[str, str]:
    """Return the label of each batch."""
    known = sorted(set(names))
    return {name: name if place < BATCHES else OTHER for place, name in enumerate(known)}


def _family(
    name: str, about: str, labels: Sequence[str], values: Mapping[Labels, float | Decimal]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"flow_pipelines_{name}", about, labels=labels)
    for series, value in sorted(values.items()):
        family.add_metric(series, float(value))
    return family
