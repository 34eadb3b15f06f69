"""A place where nights die: one stand-in in a process of its own, and children that are forked.

The process that forks never opens a ledger or a connection, so its children inherit none.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd  # noqa: F401 - imported once here, or by every child again
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet  # noqa: F401 - all three likewise
from PIL import Image

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import open_ledger
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines.storage.s3_client import make_client
from flow_pipelines_tests.faults.crash.harness import TEMPLATE, CrashHarness
from flow_pipelines_tests.faults.crash.shared_clock import SharedClock
from flow_pipelines_tests.scratch import memory_folder

CHILD_SECONDS = 180
"""Far more than a child takes; one that is silent for so long hangs."""
TUNING = Tuning(slots=2, median_seconds=4.0, max_picture_side=32)

Child = Callable[[Callable[[str], None]], Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A child that is no more."""

    status: int
    """Of its exit; negative: the signal that ended it."""
    instants: tuple[str, ...]
    result: Mapping[str, Any] | None
    problem: str


def fork(child: Child) -> Ended:
    """Run `child` in a process of its own; wait, but not for ever, until it has ended."""
    reader, until = os.pipe()
    with tempfile.TemporaryFile() as told:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _be_child(child, told.fileno())
        os.close(until)
        _await_end(reader, pid)
        _, status = os.waitpid(pid, 0)
        told.seek(0)
        lines = [json.loads(line) for line in told]
    return Ended(
        status=os.waitstatus_to_exitcode(status),
        instants=tuple(line["instant"] for line in lines if "instant" in line),
        result=next((line["result"] for line in lines if "result" in line), None),
        problem="".join(line["problem"] for line in lines if "problem" in line),
    )


def _be_child(child: Child, writer: int) -> None:
    def tell(**line: Any) -> None:
        os.write(writer, json.dumps(line).encode() + b"\n")

    try:
        tell(result=child(lambda name: tell(instant=name)))
    except BaseException:  # noqa: BLE001 - a child must never go on as a second parent
        tell(problem=traceback.format_exc())
        os._exit(1)
    os._exit(0)


def _await_end(reader: int, pid: int) -> None:
    """Wait until the child's end of the pipe is closed; it writes to a file, waking nobody."""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], CHILD_SECONDS)
            if ready:
                return
            os.kill(pid, signal.SIGKILL)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Return an empty folder, in memory where that is possible, for this process's files too."""
    with tempfile.TemporaryDirectory(prefix="flow-crash-", dir=memory_folder()) as name:
        folder = Path(name)
        (folder / "spool").mkdir()
        tempfile.tempdir = str(folder / "spool")
        try:
            yield folder
        finally:
            tempfile.tempdir = None


@contextmanager
def open_harness(provider: str) -> Iterator[CrashHarness]:
    """Start a stand-in that remembers nothing; end it afterwards."""
    clock = SharedClock()
    with scratch_folder() as folder, running_sandbox(clock, folder / "buckets", TUNING) as told:
        os.environ.update(told["environment"])
        Image.init()
        harness = CrashHarness(
            provider=provider,
            clock=clock,
            folder=folder,
            url=told["url"],
            environment=told["environment"],
            bucket_folder=folder / "buckets" / told["environment"]["FLOW_PIPELINES_BUCKET"],
            s3=make_client(),
        )
        _make_template(harness)
        yield harness


def _make_template(harness: CrashHarness) -> None:
    def migrate(_tell: Callable[[str], None]) -> None:
        open_ledger(f"sqlite:///{harness.folder / TEMPLATE}", harness.clock).close()

    ended = fork(migrate)
    if ended.status:
        raise RuntimeError(ended.problem)


@contextmanager
def running_sandbox(
    clock: Clock,
    buckets: Path,
    tuning: Tuning,
    keys: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Iterator[Mapping[str, Any]]:
    """Run a stand-in in a process of its own; give its URL and the variables that lead to it.

    `keys` are the accounts of each provider, where it has others than its only one.
    """
    told, tell = os.pipe()
    until, stop = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.close(stop)
        settings = SandboxSettings(
            port=0, bucket_port=0, bucket_folder=buckets, keys=keys, tuning=tuning
        )
        _serve(clock, settings, tell, until)
    os.close(tell)
    os.close(until)
    try:
        with os.fdopen(told, "rb") as pipe:
            yield json.loads(pipe.readline())
    finally:
        os.close(stop)
        os.waitpid(pid, 0)


def _serve(clock: Clock, settings: SandboxSettings, tell: int, until: int) -> None:
    """Be a sandbox until the parent closes its end, or dies."""
    try:
        with Sandbox(settings, now=lambda: clock.now().timestamp()) as running:
            known = {"url": running.url, "environment": running.environment()}
            os.write(tell, json.dumps(known).encode() + b"\n")
            os.close(tell)
            os.read(until, 1)
    except BaseException:  # noqa: BLE001 - as in _be_child
        traceback.print_exc(file=sys.stderr)
        os._exit(1)
    os._exit(0)
