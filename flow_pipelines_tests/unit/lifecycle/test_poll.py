"""Polls that bring nothing: what is asked again when."""

from __future__ import annotations

import pytest

from flow_pipelines.lifecycle import poll_due
from flow_pipelines.lifecycle.poll import PollSummary
from flow_pipelines.lifecycle.waits import FEW
from flow_pipelines.model import RunReport
from flow_pipelines.model.errors import NoTurn, ProviderError, ProviderUnavailable
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

AN_HOUR = 3600.0


def poll(lab: Lab) -> PollSummary:
    return poll_due(lab.ports, owner="sensor", budget_seconds=30)


@pytest.mark.parametrize("rows", [1, FEW + 1])  # spare turns go to few only
@pytest.mark.parametrize(("error", "asked_at_once"), [(NoTurn, True), (ProviderUnavailable, False)])
def test_a_run_that_was_not_even_asked_after_stays_due(
    lab: Lab, error: type[ProviderError], asked_at_once: bool, rows: int
) -> None:
    refused, asked = list[str](), list[str]()

    def refuse(run: str) -> RunReport:
        refused.append(run)
        raise error("not now", provider="floyo", operation="retrieve_run")

    def answer(run: str) -> RunReport:
        asked.append(run)
        return lab.provider.finished(run)

    lab.plan(*(f"cat {number}" for number in range(rows)))
    lab.submit()
    lab.clock.advance(AN_HOUR)
    lab.provider.on_poll = refuse
    assert poll(lab).errors == ["floyo retrieve_run: not now"]

    lab.provider.on_poll = answer
    poll(lab)

    assert len(refused) == 1
    assert (refused[0] in asked) is asked_at_once
    assert len(asked) >= rows - 1
