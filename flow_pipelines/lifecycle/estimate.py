"""Estimate what buying a night takes; refuse a budget where no price is known. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Literal

from flow_pipelines.batches.first_requests import SentInput, first_inputs
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.plan import RenderedNight, night_plan
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import (
    BatchSettings,
    Night,
    NightRecord,
    Submission,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.provider import Provider, RateLimit

REQUESTS_PER_SUBMISSION = 2
"""One that buys and about one that asks: polls grow only with the logarithm of a run's time."""
PAST_RUNS = 500
"""The latest of a batch that are looked at."""
_USD = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class BudgetCut:
    """How far a budget lets a night go."""

    scope: Literal["partition", "day"]
    budget_usd: Decimal
    left_usd: Decimal
    """Of the budget, now."""
    allows: int
    """Submissions that fit into what is left."""


@dataclass(frozen=True, kw_only=True)
class NightEstimate:
    """What materializing a night now would take. Money in USD, FloTime in milliseconds."""

    night: Night
    provider: str
    rows: int
    """Of the prompt table."""
    submissions: int
    """Rows times copies."""
    to_send: int
    """What was not sent yet, or was refused and has been mended; the rest of a night is frozen."""
    within_budget: int
    """The part of `to_send` that the budgets let through; the rest would be skipped."""
    requests: int
    minutes: float | None
    """At the account's rate limit; None: the provider has none that is known."""
    usd_per_run: Decimal | None
    usd_basis: Literal["price", "past runs", "unknown"]
    usd: Decimal | None
    """Of what is within budget; None: nobody can know before."""
    flotime_ms_per_run: int | None
    """Median of past runs."""
    flotime_ms: int | None
    past_runs: int
    """Runs that succeeded before, of this batch and, where there are any, of this workflow."""
    budgets: Sequence[BudgetCut]
    refused: str | None
    """Why nothing at all would be sent."""
    first_requests: Sequence[SentInput]
    """The inputs of the table's first requests."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What an estimate has to know of the account that pays."""

    provider: Provider
    rate_limit: RateLimit | None
    daily_budget_usd: Decimal | None


def estimate_night(
    settings: BatchSettings,
    rendered: RenderedNight,
    account: Account,
    ledger: RunLedger | None,
    clock: Clock,
) -> NightEstimate:
    """Estimate a night as it stands. Without a ledger, nothing was bought and no run is known.

    Raises: LedgerError.
    """
    known = () if ledger is None else ledger.submissions(rendered.night)
    past = () if ledger is None else _past_runs(ledger, settings.name, rendered.workflow)
    price = account.provider.estimate_usd(rendered.workflow, settings.price_usd_per_run)
    to_send = _to_send(settings, rendered, ledger)
    spent_today = _spent_today(settings.resource, account, ledger, clock)
    budgets = _budgets(settings, account, known, price, spent_today)
    refused = None
    if _is_price_missing(price, settings.budget_usd, account.daily_budget_usd):
        refused = "there is a budget, but no price of a run: set price_usd_per_run in its defs.yaml"
    sent = 0 if refused else min([to_send, *(cut.allows for cut in budgets)])
    usd_per_run = _past_cost(past) if price is None else price
    measured = [run.flotime_ms for run in past if run.flotime_ms is not None]
    flotime = round(median(measured)) if measured else None
    requests = sent * REQUESTS_PER_SUBMISSION
    return NightEstimate(
        night=rendered.night,
        provider=settings.provider,
        rows=len(rendered.rows),
        submissions=len(rendered.planned),
        to_send=to_send,
        within_budget=sent,
        requests=requests,
        minutes=_minutes(requests, account.rate_limit),
        usd_per_run=usd_per_run,
        usd_basis=_basis(price, usd_per_run),
        usd=None if usd_per_run is None else usd_per_run * sent,
        flotime_ms_per_run=flotime,
        flotime_ms=None if flotime is None else flotime * sent,
        past_runs=len(past),
        budgets=budgets,
        refused=refused,
        first_requests=list(first_inputs(rendered.workflow, rendered.planned)),
    )


def _to_send(settings: BatchSettings, rendered: RenderedNight, ledger: RunLedger | None) -> int:
    """Count what would be planned, and so sent, after materializing `prompts`."""
    if ledger is None:
        return len(rendered.planned)
    plan = night_plan(settings, rendered)
    return ledger.count_to_send(plan, rendered.planned, rendered.render)


def _past_runs(ledger: RunLedger, batch: str, workflow: Workflow) -> Sequence[Submission]:
    succeeded = ledger.search(batch=batch, state=SubmissionState.SUCCEEDED, limit=PAST_RUNS)
    of_workflow = [run for run in succeeded if run.workflow_version == workflow.version]
    return of_workflow or succeeded


def _past_cost(past: Sequence[Submission]) -> Decimal | None:
    costs = [run.cost_usd for run in past if run.cost_usd is not None]
    return median(costs).quantize(_USD) if costs else None


def _basis(
    price: Decimal | None, usd_per_run: Decimal | None
) -> Literal["price", "past runs", "unknown"]:
    if price is not None:
        return "price"
    return "unknown" if usd_per_run is None else "past runs"


def _minutes(requests: int, limit: RateLimit | None) -> float | None:
    if limit is None:
        return None
    return round(requests * limit.per_seconds / limit.requests / 60, 2)


def _is_price_missing(price: Decimal | None, *budgets: Decimal | None) -> bool:
    """Return whether there is a budget that cannot be kept: nobody knows what a run costs."""
    return price is None and any(budget is not None for budget in budgets)


def _spent_today(
    resource: str, account: Account, ledger: RunLedger | None, clock: Clock
) -> Decimal:
    if ledger is None or account.daily_budget_usd is None:
        return Decimal(0)
    return ledger.reserved_usd(resource, clock.now())


def _budgets(
    settings: BatchSettings,
    account: Account,
    known: Sequence[Submission],
    price: Decimal | None,
    spent_today: Decimal,
) -> Sequence[BudgetCut]:
    spent = sum((submission.reserved_usd for submission in known), Decimal(0))
    cuts = [
        _cut("partition", settings.budget_usd, spent, price),
        _cut("day", account.daily_budget_usd, spent_today, price),
    ]
    return [cut for cut in cuts if cut is not None]


def _cut(
    scope: Literal["partition", "day"],
    budget: Decimal | None,
    spent: Decimal,
    price: Decimal | None,
) -> BudgetCut | None:
    """None: there is no such budget, or nothing that could exceed it."""
    if budget is None or not price:
        return None
    left = max(budget - spent, Decimal(0))
    return BudgetCut(scope=scope, budget_usd=budget, left_usd=left, allows=int(left // price))


def price_of(settings: BatchSettings, ports: Ports, record: NightRecord) -> Decimal | None:
    """Return the estimate, in USD, of one run of a night; None: nobody knows one.

    Raises: ConfigurationError, where a budget has to be kept without one.
    """
    workflow = ports.ledger.workflow(record.workflow_version)
    estimate = ports.provider.estimate_usd(workflow, settings.price_usd_per_run)
    if _is_price_missing(estimate, settings.budget_usd, settings.daily_budget_usd):
        message = (
            f"Batch {settings.name!r} has a budget, but nobody knows what a run on "
            f"{settings.provider} costs: set price_usd_per_run in its defs.yaml"
        )
        raise ConfigurationError(message)
    return estimate
