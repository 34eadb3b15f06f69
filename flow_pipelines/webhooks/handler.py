"""Decides about one callback: whose it is, whether it is genuine, whether it is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from flow_pipelines.bounded_cache import BoundedCache
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.callback_addresses import is_ours
from flow_pipelines.lifecycle.callback_effects import CallbackEffects, Effect
from flow_pipelines.model.errors import LedgerError
from flow_pipelines.provider.callbacks import (
    Callback,
    CallbackReader,
    CallbackRefused,
    CallbackRequest,
)
from flow_pipelines.redaction import Secret

MARK_SECONDS = 10.0
"""A submission is marked as due this often at most: a caught callback that is sent again and again
must not use up the rate limit."""
EVENT_SECONDS = 3600.0
"""An event is new once; providers deliver it again within minutes, if at all."""
_MOST_REMEMBERED = 10_000
TRIES = 3
BETWEEN_TRIES_SECONDS = 1.0
"""A poll under way is waited for so long: not every provider tells anything twice."""


class Reply(IntEnum):
    """What the provider is answered, as HTTP has it."""

    TAKEN = 204
    REFUSED = 403
    UNKNOWN = 404
    CONFLICT = 409
    AGAIN = 503


@dataclass(frozen=True, kw_only=True)
class Sender:
    """A provider that calls back."""

    read: CallbackReader
    secrets: Sequence[Secret] = ()
    """What it signs with, newest first; empty where it does not sign."""


_REPLIES = {
    Effect.NOTHING: Reply.TAKEN,
    Effect.DUE: Reply.TAKEN,
    Effect.ATTACHED: Reply.TAKEN,
    Effect.LATER: Reply.AGAIN,
    Effect.CONFLICT: Reply.CONFLICT,
    Effect.UNKNOWN: Reply.UNKNOWN,
}


class CallbackHandler:
    """Everything about callbacks but HTTP. Safe to share between threads."""

    def __init__(
        self,
        *,
        ledger: RunLedger,
        clock: Clock,
        secrets: Sequence[Secret],
        senders: Mapping[str, Sender],
        log: Callable[[str], None],
    ) -> None:
        """Take our secrets, newest first, and what `log` tells people, a line a time."""
        self._clock, self._secrets, self._senders, self._log = clock, secrets, senders, log
        self._effects = CallbackEffects(ledger, clock, log)
        self._events: BoundedCache[str, bool] = BoundedCache(EVENT_SECONDS, _MOST_REMEMBERED)
        self._runs: BoundedCache[str, bool] = BoundedCache(MARK_SECONDS, _MOST_REMEMBERED)

    def knows(self, provider: str, name: str, token: str) -> bool:
        """Return whether an address is one that we gave to this provider."""
        ours = is_ours(self._secrets, provider, name, token)
        return ours and provider in self._senders

    def read(self, provider: str, headers: Mapping[str, str], body: bytes) -> Callback | None:
        """Verify and read what came to an address that `knows` knows; None: refused."""
        sender = self._senders[provider]
        request = CallbackRequest(
            headers=headers, body=body, secrets=sender.secrets, now=self._clock.now()
        )
        try:
            return sender.read(request)
        except CallbackRefused as refused:
            self._log(f"a callback of {provider} was refused: {refused}")
        except Exception as error:  # noqa: BLE001 - whatever was sent, the next one has to be read
            self._log(f"a callback of {provider} could not be read: {type(error).__name__}")
        return None

    def take(self, provider: str, name: str, callback: Callback) -> Reply:
        """Apply a callback to the ledger; `name` is what the address calls the submission.

        May wait for the ledger; never raises.
        """
        event = f"{provider} event {callback.event_id}" if callback.event_id else None
        now = self._clock.monotonic()
        if event is not None and self._events.get(event, now):
            return Reply.TAKEN
        run = f"{provider} {name} {callback.provider_run_id}"
        if self._runs.get(run, now):
            return Reply.TAKEN
        try:
            effect = self._apply(provider, name, callback)
        except LedgerError as error:
            self._log(f"{name}: the ledger cannot be told now: {error}")
            return Reply.AGAIN
        except Exception as error:  # noqa: BLE001 - a fault of ours; the provider may try again
            self._log(f"{name}: a callback failed: {type(error).__name__}")
            return Reply.AGAIN
        self._remember(effect, event, run)
        reply = _REPLIES[effect]
        self._log(f"callback of {provider} for {name}: {effect.name.lower()} ({reply})")
        return reply

    def _apply(self, provider: str, name: str, callback: Callback) -> Effect:
        for left in reversed(range(TRIES)):
            effect = self._effects.take_in(provider, name, callback)
            if effect is not Effect.LATER:
                return effect
            if left:
                self._clock.sleep(BETWEEN_TRIES_SECONDS)
        return Effect.LATER

    def _remember(self, effect: Effect, event: str | None, run: str) -> None:
        now = self._clock.monotonic()
        if effect in {Effect.DUE, Effect.ATTACHED}:
            self._runs.put(run, value=True, now=now)
        if event is not None and _REPLIES[effect] is Reply.TAKEN:
            self._events.put(event, value=True, now=now)
