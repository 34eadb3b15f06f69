"""Child processes: they start, they are watched, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flow_pipelines.cli.processes import (
    Children,
    ServiceFailed,
    ended_by_signals,
    free_port,
    listens,
    signals_deferred,
)
from flow_pipelines.clock import SystemClock

STUBBORN_WITH_A_CHILD = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(worker.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path, SystemClock(), stop_seconds=0.3) as running:
        yield running


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while not true():
        assert clock.monotonic() < deadline
        clock.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_child_that_will_not_go_is_killed_with_everything_it_started(
    children: Children,
) -> None:
    child = children.start("stubborn", [sys.executable, "-c", STUBBORN_WITH_A_CHILD], os.environ)
    eventually(child.log.read_text)
    worker = int(child.log.read_text())
    assert is_alive(worker)

    children.stop_all()

    assert not is_alive(child.process.pid)
    eventually(lambda: not is_alive(worker))


def test_workers_of_a_child_that_died_are_stopped_too(children: Children) -> None:
    child = children.start("stubborn", [sys.executable, "-c", STUBBORN_WITH_A_CHILD], os.environ)
    eventually(child.log.read_text)
    worker = int(child.log.read_text())
    child.process.kill()
    child.process.wait()

    children.stop_all()

    eventually(lambda: not is_alive(worker))


def test_a_child_that_ended_by_itself_is_reported_with_the_end_of_its_log(
    children: Children,
) -> None:
    broken = "import sys; print('no such table'); sys.exit(3)"
    child = children.start("ledger", [sys.executable, "-c", broken], os.environ)
    child.process.wait()

    with pytest.raises(ServiceFailed, match=r"ledger ended with exit code 3(.|\n)*no such table"):
        children.check()


def test_a_child_does_not_inherit_an_ignored_ctrl_c(children: Children) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ended_by_signals():
            code = "import signal; print(signal.getsignal(signal.SIGINT).__name__, flush=True)"
            child = children.start("any", [sys.executable, "-c", code], os.environ)
            child.process.wait()
    finally:
        signal.signal(signal.SIGINT, before)

    assert child.log.read_text().strip() == "default_int_handler"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_ending_signal_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_signal_during_clean_up_waits_for_its_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), ended_by_signals():  # noqa: PT012 - order is the point
        with signals_deferred():
            signal.raise_signal(signal.SIGTERM)
            done.append("cleaned up")
        done.append("never reached")
    assert done == ["cleaned up"]


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert listens(port)
        other = free_port(port)
        assert other != port
        assert not listens(other)
    assert free_port(other) == other
