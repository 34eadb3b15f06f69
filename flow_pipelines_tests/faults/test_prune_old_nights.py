"""Nights of the release before are pruned once the ledger is upgraded: nothing of them is lost."""

from __future__ import annotations

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import plan_night, submit_night
from flow_pipelines.lifecycle.archive import archived_night
from flow_pipelines.lifecycle.prune import prune
from flow_pipelines.model import Night
from flow_pipelines.model.errors import NightClosed
from flow_pipelines_tests.before_0008 import BATCHES, COLLECTED, HALF, WHOLE, Before

BATCH = BATCHES["floyo"]


@pytest.mark.case(
    "a ledger of the release before is upgraded, and its old nights are pruned",
    "costs, runs and rows are those of before; what has not ended stays; nothing is bought again",
    area="old ledger",
)
def test_nights_of_before_are_pruned_whole(before_0008: Before, ledger: RunLedger) -> None:
    ports = before_0008.ports("floyo", ledger)
    nights = [Night(BATCH, key) for key in COLLECTED]
    rows = {night: (ledger.submissions(night), ledger.outputs(night)) for night in nights}
    costs, bought = ledger.cost_lines(), before_0008.control.state()["floyo"].runs_billed
    tallies = ledger.tallies_of(nights)
    before_0008.clock.advance(10 * 86_400)

    found = list(prune(ports, before=ledger.clock.now(), owner="pruner", batches=[BATCH]))

    closed = [one.night for one in found if one.why_not is None]
    assert Night(BATCH, WHOLE) in closed
    assert Night(BATCH, HALF) not in closed
    assert set(closed) <= set(nights)
    assert ledger.cost_lines() == costs
    assert ledger.tallies_of(nights) == tallies
    for night in closed:
        archived = archived_night(night, ledger, before_0008.store())
        assert archived is not None
        assert (archived.submissions(), archived.outputs()) == rows[night]
        runs = {row.provider_run_id for row in rows[night][0]} - {None}
        assert ledger.known_runs("floyo", [str(run) for run in runs]) == runs
        settings = before_0008.settings("floyo")
        with pytest.raises(NightClosed):
            plan_night(settings, night.partition_key, ports)
        with pytest.raises(NightClosed):
            submit_night(settings, night, ports, owner="today")
    assert before_0008.control.state()["floyo"].runs_billed == bought
