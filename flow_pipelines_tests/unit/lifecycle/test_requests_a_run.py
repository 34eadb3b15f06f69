"""Over HTTP: what a run takes at providers whose links expire, when only the sensor polls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from flow_pipelines.lifecycle import Ports, collect_night, poll_due
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines.transport import LinkSeal
from flow_pipelines_tests.conformance.providers.account import SAMPLES, Account
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.crash.harness import sample_parameters, sample_workflow
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

PROVIDERS = ("floimg", "comflowy", "flora")
UNCOUNTED = {"open_output", "open_link", "download_output", "get_token", "list_workspaces"}
"""Pictures come from storage, a token serves many requests, and whose account it is is asked once
for all that a process submits."""
ROWS = 4


@pytest.fixture(scope="module")
def sandbox_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(sandbox_clock: ManualClock) -> Iterator[Sandbox]:
    # A token that ended would cost a request of its own.
    tuning = Tuning(max_picture_side=16, slots=100, comflowy_token_seconds=86_400.0)
    settings = SandboxSettings(port=0, bucket_port=0, tuning=tuning)
    with Sandbox(settings, now=lambda: sandbox_clock.now().timestamp()) as running:
        yield running


class AtProvider:
    """A night at a stand-in. Each of its processes has ports, and a memory, of its own."""

    def __init__(self, harness: LifecycleHarness, account: Account) -> None:
        self.lab, self.account = harness, account
        harness.clock, harness.provider = account.clock, account.provider
        harness.ledger._database.clock = account.clock
        for file in (SAMPLES / account.name).iterdir():
            (harness.folder / file.name).write_bytes(file.read_bytes())
        harness.with_settings(
            provider=account.name,
            resource=account.name,
            workflow=sample_workflow(account.name),
            parameters=sample_parameters(account.name, {}),
            allow_identical=True,
        )

    def process(self) -> Ports:
        seal = LinkSeal(self.account.name, Secret(self.account.secret))
        return replace(self.lab.ports, seal=seal)

    def end(self) -> None:
        """Buy a night; a sensor sees it end."""
        self.lab.plan(*(f"cat {number}" for number in range(ROWS)))
        self.account.control.reset()
        self.lab.submit()
        self.lab.clock.advance(1800)
        poll_due(self.process(), owner="sensor", budget_seconds=600)
        assert self.lab.states() == ["succeeded"] * ROWS

    def collect(self) -> float:
        """Collect in another process; give the requests that a run has taken by then."""
        summary = collect_night(self.lab.night, self.process(), owner="images")
        assert summary.without_image == 0
        counted = Counter(self.account.meter().requests)
        return sum(n for name, n in counted.items() if name not in UNCOUNTED) / ROWS


@pytest.fixture(params=PROVIDERS)
def night(
    request: pytest.FixtureRequest,
    harness: LifecycleHarness,
    sandbox: Sandbox,
    sandbox_clock: ManualClock,
) -> AtProvider:
    sandbox_clock.advance(86_400)
    account = Account(request.param, sandbox, sandbox_clock)
    account.control.reset()
    return AtProvider(harness, account)


def test_a_submit_and_a_poll_are_all_that_a_run_takes(night: AtProvider) -> None:
    night.end()

    assert night.collect() == 2.0
    assert Counter(night.account.meter().requests)["list_workspaces"] <= 1


@pytest.mark.parametrize("night", ["comflowy"], indirect=True)
@pytest.mark.parametrize(("seconds", "requests"), [(1800, 2.0), (7200, 3.0)])
def test_signed_links_serve_for_as_long_as_they_last(
    night: AtProvider, seconds: float, requests: float
) -> None:
    night.end()
    night.lab.clock.advance(seconds)

    assert night.collect() == requests
