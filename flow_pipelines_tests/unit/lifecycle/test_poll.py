"""Polls that bring nothing: what is asked again when."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from flow_pipelines.lifecycle import poll_due
from flow_pipelines.lifecycle.poll import PollSummary, record_report
from flow_pipelines.lifecycle.poll_times import IDLE_MAX_IN_FLIGHT
from flow_pipelines.model import CostBasis, RunReport, Submission
from flow_pipelines.model.errors import NoTurn, ProviderError, ProviderUnavailable
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

AN_HOUR = 3600.0


def poll(harness: LifecycleHarness) -> PollSummary:
    return poll_due(harness.ports, owner="sensor", budget_seconds=30)


@pytest.mark.parametrize("rows", [1, IDLE_MAX_IN_FLIGHT + 1])  # spare turns go to few only
@pytest.mark.parametrize(("error", "asked_at_once"), [(NoTurn, True), (ProviderUnavailable, False)])
def test_a_run_that_was_not_even_asked_after_stays_due(
    harness: LifecycleHarness, error: type[ProviderError], asked_at_once: bool, rows: int
) -> None:
    refused, asked = list[str](), list[str]()

    def refuse(run: str) -> RunReport:
        refused.append(run)
        raise error("not now", provider="floyo", operation="retrieve_run")

    def answer(run: str) -> RunReport:
        asked.append(run)
        return harness.provider.finished(run)

    harness.plan(*(f"cat {number}" for number in range(rows)))
    harness.submit()
    harness.clock.advance(AN_HOUR)
    harness.provider.on_poll = refuse
    assert poll(harness).errors == ["floyo retrieve_run: not now"]

    harness.provider.on_poll = answer
    poll(harness)

    assert len(refused) == 1
    assert (refused[0] in asked) is asked_at_once
    assert len(asked) >= rows - 1


def ended(harness: LifecycleHarness, **changed: object) -> Submission:
    """Buy one row and let its run end well; `changed` is what the ledger tells of its intent."""
    harness.provider.price = None
    harness.plan("a cat")
    harness.submit()
    (sent,) = harness.ledger.submissions(harness.night)
    assert sent.provider_run_id is not None
    report = harness.provider.finished(sent.provider_run_id)
    after = record_report(harness.ports, replace(sent, **changed), report, AN_HOUR)
    assert after is not None
    return after


@pytest.mark.case(
    "price_usd_per_run: 0 was taken for an unknown price",
    "0 is a price: the run cost 0, as an estimate, and is not of unknown cost",
)
@pytest.mark.parametrize(
    ("price", "basis"),
    [
        (Decimal(0), CostBasis.ESTIMATED),
        (Decimal("0.02"), CostBasis.ESTIMATED),
        (None, CostBasis.UNKNOWN),
    ],
)
def test_a_run_costs_the_price_that_its_intent_had(
    harness: LifecycleHarness, price: Decimal | None, basis: CostBasis
) -> None:
    harness.with_settings(price_usd_per_run=price)
    after = ended(harness)
    assert (after.cost_usd, after.cost_basis) == (price, basis)


@pytest.mark.parametrize(
    ("reserved", "cost"), [(Decimal("0.02"), Decimal("0.02")), (Decimal(0), None)]
)
def test_of_an_intent_of_a_version_before_the_reservation_is_all_that_is_known(
    harness: LifecycleHarness, reserved: Decimal, cost: Decimal | None
) -> None:
    assert ended(harness, estimate_usd=None, reserved_usd=reserved).cost_usd == cost
