"""Lumen in the two registries, for the tests of this package only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flow_pipelines.sandbox.app
from flow_pipelines import providers
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.conformance.calls.conftest import connect
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.conformance.providers.conftest import (
    operations,
    sandbox,
    sandbox_clock,
    slow_runs,
)
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.fifth_provider import lumen
from flow_pipelines_tests.fifth_provider.stand_in import Lumen

__all__ = ["connect", "operations", "sandbox", "sandbox_clock", "slow_runs"]


@pytest.fixture(scope="package", autouse=True)
def registered() -> Iterator[None]:
    """Write the one line into each registry, and take it out again."""
    line = {"lumen": f"{lumen.__name__}:PROFILE"}
    dialects = flow_pipelines.sandbox.app.DIALECTS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers, "PROVIDERS", {**providers.PROVIDERS, **line})
        made = tuple(dict.fromkeys((*dialects, Lumen)))
        patch.setattr(flow_pipelines.sandbox.app, "DIALECTS", made)
        yield


@pytest.fixture
def account(sandbox: Sandbox, sandbox_clock: ManualClock) -> Account:
    """What the conformance suite asks for: an account, at a sandbox that remembers nothing."""
    sandbox_clock.advance(120)
    found = Account("lumen", sandbox, sandbox_clock)
    found.control.reset()
    return found
