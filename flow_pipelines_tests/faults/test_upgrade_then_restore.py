"""The release changes in mid-night, and then the ledger of before comes back."""

from __future__ import annotations

import pytest

from flow_pipelines.lifecycle import Ports, collect_night, plan_night, poll_due, recover
from flow_pipelines.lifecycle import submit_night as submit
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.model.errors import LedgerBehind
from flow_pipelines_tests.before_0008 import BATCHES, HALF, LOCATION, Before

ROUNDS = 12


def put_back(before: Before, copy: bytes) -> None:
    for left in before.ledger_file.parent.glob(f"{before.ledger_file.name}-*"):
        left.unlink()
    before.ledger_file.write_bytes(copy)


def buy(before: Before, provider: str, ports: Ports, night: Night) -> None:
    settings = before.settings(provider)
    plan_night(settings, night.partition_key, ports, location=LOCATION)
    submit(settings, night, ports, owner="today")


@pytest.mark.case(
    "the release changes in mid-night, the rest is bought, and a copy of before comes back",
    "what this release bought is taken in from the journal, settled where a provider can tell, "
    "and not bought again",
    area="old ledger",
)
@pytest.mark.parametrize("provider", tuple(BATCHES))
def test_a_copy_of_before_the_upgrade_buys_nothing_again(
    before_0008: Before, provider: str
) -> None:
    night, copy = Night(BATCHES[provider], HALF), before_0008.ledger_file.read_bytes()
    with before_0008.open_ledger() as ledger:
        buy(before_0008, provider, before_0008.ports(provider, ledger), night)
    bought = before_0008.control.state()[provider]
    made = {run.id for run in before_0008.control.runs(provider)}
    put_back(before_0008, copy)

    with before_0008.open_ledger() as ledger:
        ports = before_0008.ports(provider, ledger)
        with pytest.raises(LedgerBehind):
            buy(before_0008, provider, ports, night)
        for _ in range(ROUNDS):
            recover(ports)
            poll_due(ports, owner="today", budget_seconds=60)
            before_0008.clock.advance(600)
        buy(before_0008, provider, ports, night)
        collect_night(night, ports, owner="today")

        meter = before_0008.control.state()[provider]
        # p7's request never arrived before the upgrade: where a copy is sent, it is the first.
        arrives_late = int(ports.provider.capabilities.replays)
        assert meter.runs_billed == bought.runs_billed + arrives_late
        new = {run.id for run in before_0008.control.runs(provider)} - made
        owners = {one.prompt_id for one in ledger.submissions(night) if one.provider_run_id in new}
        assert owners == ({"p7"} if arrives_late else set())
        assert meter.duplicate_bills == bought.duplicate_bills
        states = {one.prompt_id: one.state for one in ledger.submissions(night)}
        assert SubmissionState.PLANNED not in states.values()
        tells = ports.provider.capabilities.find or ports.provider.capabilities.replays
        settled = {states[name] for name in ("p8", "p9", "p10")}
        wanted = SubmissionState.SUCCEEDED if tells else SubmissionState.UNRESOLVED
        assert settled == {wanted}
