"""What a provider sends by itself when a run ends: a hint to look, never the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flow_pipelines.redaction import Secret


class CallbackRefused(Exception):
    """This callback is not from the provider, too old, or not readable; nothing follows from it.

    The text names no secret and repeats nothing of what was sent.
    """


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """A callback as it came in. That its URL is one of ours was verified before."""

    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    """As sent, to the byte: signatures are of that."""
    secrets: Sequence[Secret]
    """What the provider signs with, newest first; empty where it does not sign."""
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Callback:
    """What a callback claims, after verification."""

    provider_run_id: str | None
    """None: it does not say of which run (Comflowy's progress); the URL tells which submission."""
    event_id: str | None = None
    """The provider's name of this event; the same for every delivery of it."""
    ended: bool = False
    """True: it says that the run has ended."""


CallbackReader = Callable[[CallbackRequest], Callback]
"""Verifies and reads a callback; does no I/O. Raises: CallbackRefused."""
