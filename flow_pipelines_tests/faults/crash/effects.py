"""What leaves a process: each such effect is counted, and one of them may be the last.

A process is nothing but its effects to everybody else, so it matters only between which two of
them it dies. Every port is watched here from outside; whatever a port's contract offers counts as
an effect unless it is listed as a read.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, event

from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.database import WRITES
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Download,
    PaceStore,
    Purpose,
    Resend,
    Transport,
)
from flow_pipelines.storage.contract import ImageStore

KILLED = 86
"""Exit status of a process that was killed on purpose."""

LEDGER_READS = frozenset(
    {
        "account_stop",
        "archive_rows",
        "batch_locations",
        "check_run",
        "close",
        "closed_lines",
        "closed_night",
        "closed_submission",
        "cost_lines",
        "count_found",
        "count_to_send",
        "now",
        "skew",
        "counts_by_state",
        "daily_budgets",
        "detached_outputs",
        "each_submission",
        "each_with_outputs",
        "in_flight",
        "intents",
        "known_runs",
        "last_ticks",
        "late_runs",
        "lease",
        "leases",
        "next_due_at",
        "night",
        "night_records",
        "nights_before",
        "nights_besides",
        "nights_of",
        "nights_to_do",
        "outputs",
        "outputs_of",
        "pages_with_outputs",
        "partition_times",
        "paused",
        "places",
        "prompt_rows",
        "provider_file",
        "regenerations",
        "reserved_usd",
        "run_times",
        "search",
        "search_all",
        "second_runs",
        "settlements",
        "silent_runs",
        "spend",
        "spent_between",
        "stored_with",
        "submission",
        "submission_pages",
        "submissions",
        "tallies",
        "tallies_of",
        "unresolved",
        "unsettled_second_runs",
        "why_open",
        "workflow",
        "workload",
    }
)
STORE_READS = frozenset(
    {
        "at",
        "check",
        "get",
        "head",
        "inspect",
        "key",
        "list_folders",
        "list_keys",
        "list_objects",
        "presigned_url",
        "server_time",
        "uri",
    }
)
TRANSPORT_READS = frozenset({"take_turn"})
"""A turn is taken in the pace store, which is watched itself."""


_S3_WRITES = ("PutObject", "CompleteMultipartUpload", "CopyObject", "DeleteObject")


def methods(port: type) -> frozenset[str]:
    """Return the methods of a port's contract."""
    found = inspect.getmembers(port, inspect.isfunction)
    return frozenset(name for name, _ in found if not name.startswith("_"))


LEDGER_WRITES = methods(RunLedger) - LEDGER_READS
STORE_WRITES = methods(ImageStore) - STORE_READS
PACE_READS = frozenset({"held_until"})
PACE_WRITES = methods(PaceStore) - PACE_READS
TRANSPORT_WRITES = methods(Transport) - TRANSPORT_READS


class Effects:
    """Counts the instants around a process's effects, and ends it where it has to die."""

    def __init__(self, death: int | None, tell: Callable[[str], None]) -> None:
        """`death` is the instant, counted from 1, at which it ends without any cleaning up.

        `tell` gets each instant that is reached: `before <effect>` or `after <effect>`.
        """
        self._death, self._tell, self._reached = death, tell, 0
        self._depth = 0

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        self._reach(f"before {name}")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._reach(f"after {name}")

    def expect(self, what: str) -> None:
        """Refuse to go on when something is about to change outside that no effect announced."""
        if not self._depth:
            raise AssertionError(f"{what} outside every effect: a kill point is missing")

    def _reach(self, instant: str) -> None:
        self._tell(instant)
        self._reached += 1
        if self._reached == self._death:
            os._exit(KILLED)


def guard(effects: Effects, ledger: RunLedger, s3: Any) -> None:
    """Let nothing write to the ledger's database or the bucket but what is counted."""

    @event.listens_for(ledger._database.engine, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES):
            effects.expect("a transaction that writes")

    for operation in _S3_WRITES:
        s3.meta.events.register(
            f"before-call.s3.{operation}", lambda **_: effects.expect("a write to the bucket")
        )


class Watched:
    """A port whose writing methods are effects; everything else is the port's own."""

    def __init__(self, port: Any, name: str, writes: frozenset[str], effects: Effects) -> None:
        self._port, self._name, self._writes, self._effects = port, name, writes, effects

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._port, attribute)
        if attribute not in self._writes:
            return found

        @functools.wraps(found)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self._effects.effect(f"{self._name}.{attribute}"):
                return found(*arguments, **named)

        return watched


class WatchedTransport:
    """A transport whose requests are effects, named by what they may do."""

    def __init__(self, transport: Transport, effects: Effects) -> None:
        self._transport, self._effects = transport, effects

    def take_turn(self, purpose: Purpose) -> None:
        self._transport.take_turn(purpose)

    def send(self, request: ApiRequest) -> ApiAnswer:
        verb = "send" if request.resend is Resend.SAFE else "buy"
        with self._effects.effect(f"transport.{verb} {request.operation}"):
            return self._transport.send(request)

    @contextmanager
    def open(self, request: ApiRequest, *, max_bytes: int) -> Iterator[Download]:
        opened: AbstractContextManager[Download] = self._transport.open(
            request, max_bytes=max_bytes
        )
        with self._effects.effect(f"transport.open {request.operation}"):
            download = opened.__enter__()
        try:
            yield download
        finally:
            opened.__exit__(None, None, None)
