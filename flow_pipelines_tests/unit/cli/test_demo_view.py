"""What the demo says at its end: it must not call a bad night good."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from flow_pipelines.cli.demo_nights import NightOfDemo, NightResult, bought_meanwhile, print_result
from flow_pipelines.cli.home import Home
from flow_pipelines.model import Night
from flow_pipelines.sandbox.meter import Reading

GOOD = NightResult(
    night=Night("posters", "2026-11-21"),
    provider="floyo",
    runs=3,
    images=3,
    failed=0,
    flotime_ms=4200,
    cost_usd=Decimal("0.06"),
    folder="s3://pictures/flow/posters/2026-11-21/",
    bought_now=True,
)
METER = Reading(runs_billed=3, flotime_ms=4200)


def verdict(result: NightResult, meter: Reading) -> tuple[bool, str]:
    text = io.StringIO()
    console = Console(file=text, width=200)
    good = print_result(console, [result], {"floyo": meter}, Home(Path("demo")))
    return good, text.getvalue()


def test_a_whole_night_with_equal_meters_is_good() -> None:
    good, said = verdict(GOOD, METER)
    assert good
    assert "Meters and ledger agree." in said
    assert "posters/2026-11-21" in said
    assert "0.06" in said


@pytest.mark.parametrize(
    "meter",
    [
        replace(METER, runs_billed=4),
        replace(METER, flotime_ms=4201),
        replace(METER, duplicate_bills=1),
        replace(METER, rate_limited=1),
        Reading(),
    ],
    ids=["one more run", "more FloTime", "billed twice", "too fast", "nothing billed"],
)
def test_meters_that_differ_are_bad_news(meter: Reading) -> None:
    good, said = verdict(GOOD, meter)
    assert not good
    assert "do not agree: floyo" in said


@pytest.mark.parametrize("result", [replace(GOOD, failed=1), replace(GOOD, images=0)])
def test_a_night_without_all_its_images_is_not_good(result: NightResult) -> None:
    assert not verdict(result, METER)[0]


def test_a_night_that_an_earlier_demo_bought_must_not_be_billed_again() -> None:
    earlier = replace(GOOD, bought_now=False)
    assert verdict(earlier, Reading())[0]
    assert not verdict(earlier, METER)[0]


def test_only_floyo_is_asked_for_flotime() -> None:
    elsewhere = replace(GOOD, provider="flora", flotime_ms=0)
    good = print_result(
        Console(file=io.StringIO()), [elsewhere], {"flora": METER}, Home(Path("demo"))
    )
    assert good


def test_without_a_night_there_is_nothing_to_be_proud_of() -> None:
    assert not print_result(Console(file=io.StringIO()), [], {}, Home(Path("demo")))


class Known:
    """A ledger that knows some nights."""

    def __init__(self, *nights: Night) -> None:
        self._nights = nights

    def night(self, night: Night) -> Night | None:
        return night if night in self._nights else None


@pytest.mark.case(
    "a demo that ran at the hour of a schedule said that meter and ledger do not agree",
    "what schedules bought meanwhile is watched and counted as well",
)
def test_a_night_that_a_schedule_bought_meanwhile_counts() -> None:
    known, bought, only_due = (
        NightOfDemo(Night("posters", f"2026-11-{day}"), None, None)  # type: ignore[arg-type]  # unused
        for day in (20, 21, 22)
    )
    ledger = Known(known.night, bought.night)
    later = bought_meanwhile([known], [known, bought, only_due], ledger)  # type: ignore[arg-type]
    assert later == [bought]
    assert bought.bought_now
