"""How long a download may take, on a clock that only the bytes move."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from flow_pipelines.model.errors import TransferError
from flow_pipelines.transport.connection import Attempt, _PatientReader
from flow_pipelines.transport.downloads import SLOWEST_BYTES_PER_SECOND, HttpDownload
from flow_pipelines.transport.http import Exchange
from flow_pipelines_tests.fakes import ManualClock

MAX_BYTES = 512 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
IDLE_SECONDS = 60.0


class Trickle(io.RawIOBase):
    """A socket on which so many bytes come every second, up to a length."""

    def __init__(self, clock: ManualClock, bytes_per_second: int, length: int) -> None:
        super().__init__()
        self._clock, self._pace, self._left = clock, bytes_per_second, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = min(self._pace, self._left, len(buffer))
        buffer[:count] = bytes(count)
        self._left -= count
        self._clock.advance(count / self._pace)
        return count


@dataclass
class Answer:
    """As much of a response as an exchange looks at."""

    reader: io.BufferedReader
    headers: dict[str, str] = field(default_factory=dict)
    status_code: int = 200

    @property
    def raw(self) -> Answer:
        return self

    def read(self, size: int, *, decode_content: bool) -> bytes:
        assert decode_content
        return self.reader.read(size)


@pytest.fixture
def wire() -> Iterator[socket.socket]:
    with socket.socket() as wire:
        yield wire


def download(
    clock: ManualClock, wire: socket.socket, pace: int, length: int, *, announced: bool
) -> HttpDownload:
    attempt = Attempt(
        clock=clock,
        idle_seconds=IDLE_SECONDS,
        remaining_seconds=IDLE_SECONDS,
        public_only=False,
        sent=True,
    )
    reader = io.BufferedReader(_PatientReader(Trickle(clock, pace, length), wire, attempt))
    headers = {"content-length": str(length)} if announced else {}
    exchange = Exchange(Answer(reader, headers), attempt, lambda: None)  # type: ignore[arg-type]
    return HttpDownload(exchange, MAX_BYTES)


def fetch(download: HttpDownload) -> int:
    received = 0
    while chunk := download.read(CHUNK_BYTES):
        received += len(chunk)
    return received


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("pace", [1, 1000, SLOWEST_BYTES_PER_SECOND // 4])
def test_a_trickle_ends_within_minutes_whatever_it_promises(
    wire: socket.socket, pace: int, announced: bool
) -> None:
    clock = ManualClock()

    with pytest.raises(TransferError, match="timed out"):
        fetch(download(clock, wire, pace, MAX_BYTES, announced=announced))

    assert clock.monotonic() < 300


@pytest.mark.parametrize("announced", [True, False])
def test_a_long_transfer_at_a_fair_pace_is_whole(wire: socket.socket, announced: bool) -> None:
    clock, length = ManualClock(), 64 * 1024 * 1024

    received = fetch(
        download(clock, wire, SLOWEST_BYTES_PER_SECOND + 1, length, announced=announced)
    )

    assert received == length
    assert clock.monotonic() > 900


def test_no_transfer_takes_longer_than_the_largest_output_at_the_slowest_pace(
    wire: socket.socket,
) -> None:
    clock = ManualClock()
    slow = download(clock, wire, SLOWEST_BYTES_PER_SECOND, MAX_BYTES, announced=False)

    fetch(slow)

    assert clock.monotonic() <= IDLE_SECONDS + MAX_BYTES / SLOWEST_BYTES_PER_SECOND
