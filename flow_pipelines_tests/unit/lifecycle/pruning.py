"""Buy and prune a night, and die while doing so, for the tests of pruning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from flow_pipelines.lifecycle import (
    collect_night,
    wait_for_night,
)
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.lifecycle.prune import Pruned, prune
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

CITIES = ("Rome", "Oslo", "Lima")
DAY = timedelta(days=1).total_seconds()


def collect(harness: LifecycleHarness) -> None:
    wait_for_night(harness.ports, harness.night, owner="images", wait_seconds=60)
    collect_night(harness.night, harness.ports, owner="images")


def buy(harness: LifecycleHarness) -> None:
    """Buy and store a night of three rows, and let ten days pass."""
    harness.plan(*CITIES)
    harness.submit()
    collect(harness)
    harness.clock.advance(10 * DAY)


def prune_all(harness: LifecycleHarness, ports: Any = None, **how: Any) -> list[Pruned]:
    ports = ports or harness.ports
    return list(prune(ports, before=harness.clock.now(), owner="pruner", **how))


def tables(harness: LifecycleHarness) -> dict[str, bytes | None]:
    folder = harness.store.key(*harness.night)
    names = ("runs.parquet", "manifest.parquet")
    return {name: harness.store.get(f"{folder}/{name}") for name in names}


def closed(harness: LifecycleHarness) -> bool:
    record = harness.ledger.night(harness.night)
    return record is not None and record.closed_at is not None


@dataclass
class Dying:
    """A bucket, or a ledger, at whose n-th write the process dies, before or after it."""

    port: Any
    names: frozenset[str]
    left: int
    after: bool

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if name not in self.names:
            return found

        def watched(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if not self.left and not self.after:
                raise _Killed
            done = found(*arguments, **named)
            if not self.left:
                raise _Killed
            return done

        return watched


class _Killed(BaseException):
    pass


@contextmanager
def killed() -> Iterator[None]:
    with pytest.raises(_Killed):
        yield


_STORE = frozenset({"put_new", "create_json", "put", "get"})
_LEDGER = frozenset({"archive_rows", "close_night"})


def dying(harness: LifecycleHarness, port: str, nth: int, *, after: bool) -> Ports:
    ports = harness.ports
    if port == "store":
        return replace(ports, store=Dying(ports.store, _STORE, nth, after))
    ledger: Any = Dying(ports.ledger, _LEDGER, nth, after)
    return replace(ports, ledger=ledger)
