"""The ports that rooms above fill in: sending, downloading, and turns under a rate limit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from flow_pipelines.provider.calls import ApiAnswer, ApiRequest


class Purpose(StrEnum):
    """Who asks for a turn under a provider's rate limit."""

    SUBMIT = "submit"
    """A purchase for a night of its own: tonight's."""
    BACKFILL = "backfill"
    """A purchase for a night that is one of many being filled up; it gives way to tonight's."""
    POLL = "poll"
    """Everything else: polls, retrievals, uploads."""


class Download(Protocol):
    """An output's bytes as they arrive."""

    media_type: str | None
    """From `Content-Type`, without parameters."""
    size_bytes: int | None
    """From `Content-Length`, where there is one and no content encoding."""
    file_name: str | None
    """From `Content-Disposition`; never a path."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` more bytes; empty at the end. Raises: TransferError."""


class Transport(Protocol):
    """All I/O toward one account of one provider. Safe to share between threads."""

    def send(self, request: ApiRequest) -> ApiAnswer:
        """Send a request and give its answer.

        `Resend.SAFE` requests take their turn under the rate limit by themselves and are repeated
        within the retry budget. All others are sent exactly once, at once: their turn is taken
        with `take_turn` before their intent is written.

        Raises: ProviderError, in the class that says what may be done next.
        """

    def take_turn(self, purpose: Purpose) -> None:
        """Wait for the next free place under the account's rate limit.

        Raises: NoTurn, when the wait would exceed this transport's patience; no turn is used.
        AccountHeld, with the time in its words, where a 429 asked for so long a wait: at once.
        """

    def open(self, request: ApiRequest, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an answer. Raises: ProviderError, OutputRefused (address, size), TransferError."""


class Seal(Protocol):
    """Hides links to one account's outputs from whoever has not its key."""

    def seal(self, submission_key: str, output_id: str, url: str) -> str:
        """Return the link so that it opens for this output only."""

    def open(self, submission_key: str, output_id: str, sealed: str) -> str | None:
        """Return the link, or None: sealed with another key or for another output, or changed."""


@dataclass(frozen=True, kw_only=True)
class TurnRequest:
    """Who asks for a turn, and how turns come for the account. All times are in seconds."""

    interval_seconds: float
    """Between turns, in the long run. 0: nothing limits the account but holds."""
    burst: int
    """Turns that come back to back after a rest."""
    most: int | None = None
    """No span of so many intervals holds more turns; None: the burst alone bounds it."""
    patience_seconds: float
    purpose: Purpose = Purpose.POLL


class PaceStore(Protocol):
    """Turns under a rate limit, shared by every process that uses one account."""

    def reserve(self, key: str, ask: TurnRequest) -> float | None:
        """Reserve the next turn of `key`; return the seconds to wait for it, 0 for at once.

        See `provider.turns` for how purposes share the turns. None: the wait would be more than
        `ask.patience_seconds`; nothing was reserved.
        """

    def hold_until(self, key: str, until: datetime) -> None:
        """Hold back turns of `key` until `until` (a 429 said so); never shortens a hold."""

    def held_until(self, key: str) -> datetime | None:
        """Return when `key` is free again; None: it is not held now."""

    def slow_down(self, key: str) -> None:
        """Slow down the turns of `key` from now on: a 429 came though its pace was kept.

        Once a minute at most; taken back step by step while no other comes.
        """


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """A provider's published limit."""

    requests: int
    per_seconds: float
    told_by_answers: bool = False
    """True: an answer that tells another number is right, and this is only where to begin."""


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """How a key becomes the token that requests carry in its place, where a provider wants that.

    The transport does it: it keeps the token in memory only, renews it before the end that a JWT
    names, and once for a request that was refused for its token. One that may be billed does not
    go out again for it: it is told as not accepted, and the next one gets a new token.
    """

    request: Callable[[str], ApiRequest]
    """Base URL → the call that gives a token. It carries the key, is sent as soon as a token is
    needed, and takes no turn under the rate limit: there is one for many requests."""
    read_token: Callable[[ApiAnswer], str | None]
    """The token in its answer; None, or an error of reading, where there is none."""
    refusals: frozenset[int | str] = frozenset({401})
    """Statuses and codes of an `AccountRejected` that a new token may cure; of what may be billed,
    statuses only."""
