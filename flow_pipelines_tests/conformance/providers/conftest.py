from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from flow_pipelines.providers import provider_names
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.fakes import ManualClock


class Operations(NamedTuple):
    """What the sandbox calls the requests behind two verbs."""

    submit: str
    poll: str


@pytest.fixture(scope="module")
def sandbox_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(sandbox_clock: ManualClock) -> Iterator[Sandbox]:
    settings = SandboxSettings(port=0, bucket_port=0, tuning=Tuning(slots=2, max_picture_side=64))
    with Sandbox(settings, now=lambda: sandbox_clock.now().timestamp()) as running:
        yield running


@pytest.fixture(params=provider_names())
def account(
    request: pytest.FixtureRequest, sandbox: Sandbox, sandbox_clock: ManualClock
) -> Account:
    """An account of each registered provider, at a sandbox that remembers nothing."""
    sandbox_clock.advance(120)
    found = Account(request.param, sandbox, sandbox_clock)
    found.control.reset()
    return found


@pytest.fixture
def slow_runs(account: Account) -> Iterator[None]:
    """Let runs take minutes, far more than the polls of a test are apart."""
    account.control.configure(median_seconds=300.0)
    yield
    account.control.configure(median_seconds=Tuning.median_seconds)


@pytest.fixture
def operations(account: Account) -> Operations:
    workflow = account.workflow()
    submit = account.operation("submit", account.order(workflow))
    run_id = account.control.runs(account.name)[0].id
    poll = account.operation("poll", run_id, workflow)
    account.control.reset()
    return Operations(submit, poll)
