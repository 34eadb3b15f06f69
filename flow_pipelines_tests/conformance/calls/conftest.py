"""What tests of documented calls share: an account at the sandbox, over the real transport."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.conformance.providers.conftest import (  # noqa: F401 - fixtures
    sandbox,
    sandbox_clock,
)
from flow_pipelines_tests.fakes import ManualClock


@pytest.fixture
def connect(
    sandbox: Sandbox,  # noqa: F811 - pytest's way to ask for a fixture
    sandbox_clock: ManualClock,  # noqa: F811 - likewise
) -> Callable[[str], Account]:
    """Return an account of a provider, by name, at a sandbox that remembers nothing."""

    def make(name: str) -> Account:
        sandbox_clock.advance(120)
        found = Account(name, sandbox, sandbox_clock)
        found.control.reset()
        return found

    return make
