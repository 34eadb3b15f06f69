"""A client of the control API, for tests and the demo in another process than the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from flow_pipelines.sandbox.control import PREFIX
from flow_pipelines.sandbox.courier import Delivery
from flow_pipelines.sandbox.meter import Reading, RequestRecord

_TIMEOUT_SECONDS = 10


class ControlError(RuntimeError):
    """The sandbox did not do what it was told; the message is its own."""


@dataclass(frozen=True, kw_only=True)
class SandboxRun:
    """A run as the sandbox itself sees it."""

    id: str
    provider: str
    account: str
    label: str
    prompt: str
    """What its first output shows."""
    request_hash: str
    state: str
    cached: bool
    error_code: str | None
    flotime_ms: int
    accepted_at: float
    outputs: list[str]


class ControlClient:
    """Reads a sandbox's meters and tells it to misbehave."""

    def __init__(self, url: str, certificate: str | None = None) -> None:
        """`certificate`: the file to trust, of a sandbox that serves https by one of its own."""
        self._url = f"{url.rstrip('/')}{PREFIX}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = certificate or True

    def state(self) -> dict[str, Reading]:
        """Return every provider's meter."""
        providers = self._call("GET", "state")["providers"]
        return {name: Reading(**reading) for name, reading in providers.items()}

    def runs(self, provider: str | None = None) -> list[SandboxRun]:
        """Return all remembered runs, newest first."""
        found: list[SandboxRun] = []
        while True:
            page = self._call("GET", "runs", provider=provider, offset=len(found))
            found += [SandboxRun(**run) for run in page["runs"]]
            if not page["runs"] or len(found) >= page["total"]:
                return found

    def requests(self, after: int = 0) -> list[RequestRecord]:
        """Return the remembered requests with a number above `after`, oldest first."""
        found: list[RequestRecord] = []
        while True:
            page = self._call("GET", "requests", after=found[-1].number if found else after)
            if not page["requests"]:
                return found
            found += [RequestRecord(**record) for record in page["requests"]]

    def deliveries(self) -> list[Delivery]:
        """Return the callbacks that were tried, oldest first."""
        return [Delivery(**one) for one in self._call("GET", "deliveries")["deliveries"]]

    def add_fault(self, provider: str, operation: str, action: str, **details: Any) -> None:
        """Put a fault in force; `details` are the other fields of `faults.Fault`."""
        fault = {"provider": provider, "operation": operation, "action": action, **details}
        self._call("POST", "faults", body=fault)

    def clear_faults(self) -> None:
        """Take every fault back."""
        self._call("DELETE", "faults")

    def configure(self, **settings: Any) -> None:
        """Change fields of `settings.Tuning`."""
        self._call("POST", "settings", body=settings)

    def reset(self) -> None:
        """Forget runs, bills, requests and faults."""
        self._call("POST", "reset")

    def _call(self, method: str, name: str, body: Any = None, **query: Any) -> Any:
        answer = self._session.request(
            method, f"{self._url}/{name}", params=query, json=body, timeout=_TIMEOUT_SECONDS
        )
        if not answer.ok:
            raise ControlError(answer.text)
        return answer.json()
