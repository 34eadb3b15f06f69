"""Fixtures of the tests of Floyo's calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_pipelines.providers.floyo import FloyoClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.conformance.calls.floyo.desk import floyo
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.fakes import ManualClock


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    settings = SandboxSettings(port=0, bucket_port=0, tuning=Tuning(slots=2, max_picture_side=64))
    with Sandbox(settings, now=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture
def account(sandbox: Sandbox, clock: ManualClock) -> Account:
    """A fresh minute of the rate limit, and a stand-in that remembers nothing."""
    clock.advance(120)
    found = Account("floyo", sandbox, clock)
    found.control.reset()
    return found


@pytest.fixture
def client(account: Account) -> FloyoClient:
    return floyo(account).client


@pytest.fixture
def stranger(account: Account) -> FloyoClient:
    return floyo(Account("floyo", account.sandbox, account.clock, key="flo_key_of_nobody")).client
