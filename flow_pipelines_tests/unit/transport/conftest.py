from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.provider import ApiRequest, Resend
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore
from flow_pipelines_tests.fakes import ManualClock

KEY = "flo_Key+/With=Signs0001"


def request(resend: Resend = Resend.SAFE, path: str = "/thing", **rest: Any) -> ApiRequest:
    """A request whose URL a test completes with the server's own."""
    details: dict[str, Any] = {
        "operation": "do_thing",
        "method": "GET" if resend is Resend.SAFE else "POST",
        "json": None if resend is Resend.SAFE else {"buy": 1},
        "source": "example.com/docs",
        **rest,
    }
    return ApiRequest(url=path, resend=resend, **details)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def transport(clock: ManualClock) -> Callable[..., HttpTransport]:
    """Make a transport toward a base URL, on the test's clock unless told otherwise."""

    def make(base_url: str, **rest: Any) -> HttpTransport:
        its_clock: ManualClock | SystemClock = rest.pop("clock", clock)
        details: dict[str, Any] = {
            "origins": [base_url],
            "secret": Secret(KEY),
            "clock": its_clock,
            "pace": MemoryPaceStore(its_clock),
            "pace_key": "acme",
            "jitter": lambda: 1.0,
            **rest,
        }
        return HttpTransport("acme", **details)

    return make
