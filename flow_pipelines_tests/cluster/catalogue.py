"""The scenarios in their order, with the nights of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from flow_pipelines.model import Night
from flow_pipelines_tests.cluster.scenarios import (
    behind_a_bouncer,
    clocks_apart,
    database_restarted,
    four_nights,
    killed_while,
    ledger_restored,
    link_cut,
    one_kill,
)
from flow_pipelines_tests.cluster.trial import Trial

MARKET, LABELS, BIRDS, CARDS = "night_market", "tea_labels", "paper_birds", "harbor_cards"
_FIRST = date(2026, 11, 1)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One thing that goes wrong."""

    name: str
    title: str
    nights: Sequence[Night]
    run: Callable[[Trial], None]
    limit_seconds: float = 300.0


def _nights(first: int, *batches: str, days: int = 1) -> list[Night]:
    """Return nights that no other scenario has: of these batches, from the first day on."""
    dates = [_FIRST + timedelta(days=first + day) for day in range(days)]
    return [Night(batch, day.isoformat()) for day in dates for batch in batches]


SHORT = Scenario(
    name="short",
    title="a night, its host killed",
    nights=_nights(0, MARKET),
    run=one_kill,
    limit_seconds=180.0,
)
SCENARIOS = (
    Scenario(
        name="nights",
        title="four nights at once",
        nights=_nights(0, MARKET, LABELS, BIRDS, CARDS),
        run=four_nights,
    ),
    Scenario(
        name="submitting",
        title="host killed while submitting",
        nights=_nights(1, MARKET, days=5),
        run=killed_while("submitting"),
        limit_seconds=420.0,
    ),
    Scenario(
        name="collecting",
        title="host killed while collecting",
        nights=_nights(6, MARKET, days=5),
        run=killed_while("collecting"),
        limit_seconds=420.0,
    ),
    Scenario(
        name="link", title="link cut for 75 s", nights=_nights(11, MARKET, CARDS), run=link_cut
    ),
    Scenario(
        name="database",
        title="PostgreSQL restarted",
        nights=_nights(12, MARKET, LABELS),
        run=database_restarted,
    ),
    Scenario(
        name="clocks",
        title="clocks at ±120 s",
        nights=_nights(13, BIRDS, days=5),
        run=clocks_apart,
    ),
    Scenario(
        name="restored",
        title="ledger restored to an older copy",
        nights=_nights(18, MARKET, LABELS),
        run=ledger_restored,
    ),
    Scenario(
        name="bouncer",
        title="pgbouncer in between",
        nights=_nights(19, MARKET, CARDS),
        run=behind_a_bouncer,
    ),
)
