"""Callbacks: posted to the client when a run gets somewhere, tried again when that fails."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from flow_pipelines.sandbox.faults import Action, Fault

_TIMEOUT_SECONDS = 10.0
_LONGEST_NAP_SECONDS = 0.2
_SHORTEST_NAP_SECONDS = 0.005
_REMEMBERED = 1000
_MAX_PENDING = 10_000


Writer = Callable[[], tuple[bytes, Mapping[str, str]]]
Signer = Callable[[bytes], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One callback to be made."""

    url: str
    due: Callable[[], float]
    """Unix seconds; asked again and again, for a run's end may move."""
    write: Writer
    """Returns body and headers, once, when the letter is due."""
    pauses: Sequence[float] = ()
    """Seconds before the second, third … attempt, by the sandbox's clock."""
    sign: Signer | None = None
    """Returns more headers for a body, anew for every attempt: signatures age."""
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt at a callback."""

    url: str
    attempt: int
    status: int
    """0: there was no answer."""


@dataclass(kw_only=True)
class _Parcel:
    letter: Letter
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 0
    retry_at: float = 0.0

    def due(self) -> float:
        if self.attempt:
            return self.retry_at
        fault = self.letter.fault
        late = fault.seconds if fault and fault.action is Action.SLOW_CALLBACK else 0.0
        return self.letter.due() + late


class Courier:
    """Posts letters in the background, from the first one on. Safe to share."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pending: list[_Parcel] = []
        self._deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def take(self, letter: Letter) -> None:
        """Accept a letter; over the limit of waiting letters it is lost, as is one with a fault."""
        if letter.fault is not None and letter.fault.action is Action.LOST_CALLBACK:
            return
        with self._changed:
            if len(self._pending) < _MAX_PENDING:
                self._pending.append(_Parcel(letter=letter))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="courier")
                self._thread.start()
            self._changed.notify()

    def deliveries(self) -> list[Delivery]:
        """Return the attempts so far, oldest first."""
        with self._changed:
            return list(self._deliveries)

    def reset(self) -> None:
        """Throw away what is waiting, and the memory of what went out."""
        with self._changed:
            self._pending.clear()
            self._deliveries.clear()

    def close(self) -> None:
        """Stop for good."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        with ThreadPoolExecutor(4, thread_name_prefix="courier") as pool:
            while True:
                with self._changed:
                    self._changed.wait(self._nap())
                    if self._closed:
                        return
                    now = self._now()
                    ready: list[_Parcel] = []
                    waiting: list[_Parcel] = []
                    for parcel in self._pending:
                        (ready if parcel.due() <= now else waiting).append(parcel)
                    self._pending = waiting
                for parcel in ready:
                    pool.submit(self._post, parcel)

    def _nap(self) -> float | None:
        if not self._pending:
            return None
        wait = min(parcel.due() for parcel in self._pending) - self._now()
        return min(max(wait, _SHORTEST_NAP_SECONDS), _LONGEST_NAP_SECONDS)

    def _post(self, parcel: _Parcel) -> None:
        if not parcel.attempt:
            parcel.body, parcel.headers = parcel.letter.write()
        parcel.attempt += 1
        fault = parcel.letter.fault
        if fault is not None and fault.action is Action.DUPLICATE_CALLBACK:
            _send(parcel)
        status = _send(parcel)
        with self._changed:
            url = parcel.letter.url
            self._deliveries.append(Delivery(url=url, attempt=parcel.attempt, status=status))
            if not 200 <= status < 300 and parcel.attempt <= len(parcel.letter.pauses):  # noqa: PLR2004 - HTTP's own class of answers
                parcel.retry_at = self._now() + parcel.letter.pauses[parcel.attempt - 1]
                self._pending.append(parcel)
                self._changed.notify()


def _send(parcel: _Parcel) -> int:
    sign = parcel.letter.sign
    signed = sign(parcel.body) if sign is not None else {}
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                parcel.letter.url,
                data=parcel.body,
                headers={**parcel.headers, **signed},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
            return answer.status_code
    except requests.RequestException:
        return 0
