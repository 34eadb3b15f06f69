"""What was spent, as a table, in words and as a chart."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flow_pipelines.ledger.records import CostLine, SpendLine
from flow_pipelines.model import Night
from flow_pipelines.reports.cost_chart import HEIGHT, WIDTH, cost_chart, cost_days, trend_markdown
from flow_pipelines.reports.cost_report import (
    COLUMNS,
    MonthToDate,
    brought_up_to_date,
    cost_frame,
    cost_markdown,
    cost_numbers,
    cost_sentence,
    cost_table,
    known_costs,
)
from flow_pipelines.storage.tables import parquet_bytes

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def line(
    day: int = 1,
    batch: str = "posters",
    provider: str = "floyo",
    night: str | None = None,
    **sums: Any,
) -> CostLine:
    facts: dict[str, Any] = {
        "runs": 10,
        "failed": 1,
        "images": 9,
        "flotime_ms": 1000,
        "cost_usd": Decimal("0.9"),
        "runs_cost_unknown": 0,
        "estimated_usd": Decimal(0),
        "bought_at": NOW,
    }
    key = night or f"2026-11-{day:02}"
    return CostLine(night=Night(batch, key), provider=provider, **(facts | sums))


def spent(cost: str, batch: str = "posters", provider: str = "floyo") -> SpendLine:
    return SpendLine(
        provider=provider,
        batch=batch,
        runs=1,
        cost_usd=Decimal(cost),
        estimated_usd=Decimal(0),
        runs_cost_unknown=0,
    )


def month(*lines: SpendLine) -> MonthToDate:
    return MonthToDate(now=NOW, lines=lines)


micro_usd = st.integers(min_value=0, max_value=10**12).map(lambda n: Decimal(n).scaleb(-6))


def test_a_row_is_a_night_a_batch_and_a_provider_in_order() -> None:
    frame = cost_frame([line(2), line(1, provider="flora"), line(1), line(1, batch="ads")])
    assert tuple(frame.columns) == COLUMNS
    found = list(zip(frame["night"], frame["batch"], frame["provider"], strict=True))
    assert found == [
        ("2026-11-01", "ads", "floyo"),
        ("2026-11-01", "posters", "flora"),
        ("2026-11-01", "posters", "floyo"),
        ("2026-11-02", "posters", "floyo"),
    ]


@given(costs=st.lists(micro_usd, max_size=12))
def test_sums_are_exact(costs: list[Decimal]) -> None:
    frame = cost_frame([line(1 + n % 3, cost_usd=cost) for n, cost in enumerate(costs)])
    assert sum(frame["cost_usd"], Decimal(0)) == sum(costs, Decimal(0))
    assert len(frame) == min(len(costs), 3)


def test_the_cost_of_an_image_needs_an_image() -> None:
    frame = cost_frame([line(1, cost_usd=Decimal(1), images=3), line(2, images=0)])
    assert list(frame["cost_per_image_usd"]) == [Decimal("0.333333"), None]


def test_what_was_only_planned_is_no_row() -> None:
    nothing: dict[str, Any] = {"runs": 0, "failed": 0, "images": 0, "cost_usd": Decimal(0)}
    assert len(cost_frame([line(1, **nothing), line(2)])) == 1
    assert len(cost_frame([line(1, **nothing, runs_cost_unknown=1)])) == 1


@pytest.mark.parametrize(
    ("night", "day"),
    [
        ("2026-11-05", "2026-11-05"),
        ("2026-11-05-13:00", "2026-11-05"),
        ("2026-11-05|alpha", "2026-11-05"),
        ("all", "2026-11-22"),
        ("2026-99-05", "2026-11-22"),
    ],
)
def test_the_day_is_that_of_the_partition_else_that_of_the_purchase(night: str, day: str) -> None:
    assert list(cost_frame([line(night=night)])["day"]) == [day]


def test_nights_that_changed_take_the_place_of_what_was_known_of_them() -> None:
    known = cost_frame([line(1), line(2), line(2, batch="ads")])
    changed = cost_frame([line(2, cost_usd=Decimal(7)), line(3)])
    whole = cost_frame([line(1), line(2, cost_usd=Decimal(7)), line(2, batch="ads"), line(3)])
    pd.testing.assert_frame_equal(brought_up_to_date(known, changed), whole)
    pd.testing.assert_frame_equal(brought_up_to_date(known, cost_frame([])), known)
    pd.testing.assert_frame_equal(brought_up_to_date(cost_frame([]), changed), changed)
    assert brought_up_to_date(cost_frame([]), cost_frame([])).empty


def test_numbers_have_the_same_keys_whatever_was_bought() -> None:
    lines = [
        line(1, cost_usd=Decimal("1.50"), estimated_usd=Decimal("0.3"), runs_cost_unknown=4),
        line(2, cost_usd=Decimal("0.50"), provider="flora"),
        line(2, cost_usd=Decimal("0.50"), provider="flora", batch="ads"),
    ]
    providers = ("comflowy", "floimg", "flora", "floyo")
    nothing = cost_numbers(cost_frame([]), month(), providers)
    numbers = cost_numbers(cost_frame(lines), month(spent("0.25")), providers)
    assert list(nothing) == list(numbers)
    assert set(nothing.values()) == {0}
    assert (numbers["cost_usd"], numbers["month_to_date_usd"]) == (2.5, 0.25)
    assert (numbers["cost_usd_flora"], numbers["cost_usd_comflowy"]) == (1.0, 0)
    assert (numbers["month_to_date_usd_floyo"], numbers["month_to_date_usd_flora"]) == (0.25, 0)
    assert numbers["cost_per_image_usd"] == pytest.approx(2.5 / 27, abs=1e-6)
    assert (numbers["estimated_share"], numbers["nights"]) == (0.12, 3)
    assert numbers["unknown_share"] == pytest.approx(4 / 30, abs=1e-6)


def test_the_month_begins_at_midnight_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert MonthToDate.start(datetime(2026, 12, 1, 1, tzinfo=east)) == datetime(
        2026, 11, 1, tzinfo=UTC
    )
    assert MonthToDate(now=datetime(2026, 12, 1, 1, tzinfo=east)).name == "2026-11"


def test_the_summary_tells_what_is_estimated_and_what_is_unknown() -> None:
    lines = [
        line(1, cost_usd=Decimal("1.50"), estimated_usd=Decimal("0.25"), runs_cost_unknown=4),
        line(2, cost_usd=Decimal("0.75"), provider="flora"),
    ]
    assert cost_sentence(cost_frame(lines), month(spent("0.75"))) == (
        "**$0.75** in 2026-11 so far; $2.25 in all for 18 images of 20 provider runs; $0.125 an "
        "image; $0.25 of it estimated; the cost of 4 runs is unknown and not in it."
    )


def test_the_words_have_the_last_nights_newest_first_and_count_the_rest() -> None:
    frame = cost_frame([line(day) for day in range(1, 21)])
    said = cost_markdown(frame, month(), days=3)
    rows = [row for row in said.splitlines() if row.startswith("| 2026-11-")]
    assert [row[2:12] for row in rows] == ["2026-11-20", "2026-11-19", "2026-11-18"]
    assert "… and 17 earlier days" in said


def test_the_words_have_a_row_a_batch_and_the_month_by_provider() -> None:
    frame = cost_frame([line(batch="ads"), line(provider="flora")])
    said = cost_markdown(frame, month(spent("0.4", provider="flora")))
    assert "| 2026-11-01 | ads | floyo | 10 | 1 | 9 | $0.90 |" in said
    assert "| flora | $0.40 | $0.90 |" in said
    assert "| floyo | $0.00 | $0.90 |" in said


def test_nothing_bought_is_said_in_words() -> None:
    frame = cost_frame([])
    assert tuple(frame.columns) == COLUMNS
    assert cost_markdown(frame, month()) == "Nothing was bought yet."


# -- the table in the bucket --------------------------------------------------------------------


def test_a_table_is_read_as_it_was_written_by_the_ledger_that_it_is_from() -> None:
    frame = cost_frame([line(1), line(2, images=0, cost_usd=Decimal("0.000001"))])
    content = parquet_bytes(cost_table(frame, ledger_id="a", as_of=NOW))
    known = known_costs(content, ledger_id="a")
    assert known is not None
    assert known.as_of == NOW
    assert known.frame.to_dict("records") == frame.to_dict("records")
    assert known_costs(content, ledger_id="b") is None


def test_what_is_no_such_table_is_not_known() -> None:
    plain_table = cost_table(cost_frame([line()]), ledger_id="a", as_of=NOW)
    unmarked = parquet_bytes(plain_table.replace_schema_metadata({}))
    other = parquet_bytes(plain_table.drop_columns(["day"]))
    for content in (None, b"", b"no parquet at all", unmarked, other):
        assert known_costs(content, ledger_id="a") is None


# -- the chart ----------------------------------------------------------------------------------


def pixels(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return image.convert("RGB")


def colors_of(lines: list[CostLine], *spends: SpendLine) -> dict[Any, int]:
    image = pixels(cost_chart(cost_frame(lines), month(*spends)))
    assert image.size == (WIDTH, HEIGHT)
    counted = image.crop((0, 90, 790, HEIGHT)).getcolors(1 << 20) or []
    return {color: count for count, color in counted}


FIRST, SECOND = (0, 94, 162), (230, 138, 0)


def test_bars_are_as_high_as_what_they_stand_for() -> None:
    lines = [
        line(1, provider="floimg", cost_usd=Decimal(1)),
        line(1, provider="floyo", cost_usd=Decimal(3)),
    ]
    colors = colors_of(lines)
    assert colors[SECOND] / colors[FIRST] == pytest.approx(3, rel=0.05)


def test_what_is_estimated_is_drawn_lighter() -> None:
    charged = colors_of([line(cost_usd=Decimal(4))])
    mixed = colors_of([line(cost_usd=Decimal(4), estimated_usd=Decimal(3))])
    assert mixed[FIRST] / charged[FIRST] == pytest.approx(0.25, rel=0.1)
    lighter = {color: n for color, n in mixed.items() if n > charged.get(color, 0) + 100}
    assert sum(lighter.values()) / charged[FIRST] == pytest.approx(0.75, rel=0.1)


def test_the_month_is_drawn_beside_the_nights() -> None:
    def drawn(*lines: SpendLine) -> bytes:
        chart = pixels(cost_chart(cost_frame([line()]), month(*lines)))
        return chart.crop((810, 0, WIDTH, HEIGHT)).tobytes()

    assert len({drawn(), drawn(spent("1")), drawn(spent("1"), spent("2", "ads"))}) == 3


def test_days_without_a_night_have_their_place() -> None:
    days = cost_days(cost_frame([line(1), line(20)]))
    assert len(days) == 20
    assert [sum(sum(part) for part in parts.values()) for parts in days.values()] == [
        Decimal("0.9"),
        *[0] * 18,
        Decimal("0.9"),
    ]
    assert len(cost_days(cost_frame([line(1), line(20)]), most=5)) == 5


@pytest.mark.parametrize("cost", ["0", "0.000001", "0.03", "7", "123456.78"])
def test_a_chart_of_any_amount_can_be_drawn(cost: str) -> None:
    assert len(colors_of([line(day, cost_usd=Decimal(cost)) for day in (1, 2)], spent(cost))) > 3


def test_a_chart_stays_small_however_much_there_is() -> None:
    nights = [
        line(night=f"20{year}-{month:02}-{day:02}", batch=f"batch{day}", provider=f"provider{day}")
        for year in (25, 26) for month in range(1, 13) for day in range(1, 29)
    ]  # fmt: skip
    spends = [spent("1", f"a_long_name_of_a_batch_number_{n}", f"p{n}") for n in range(9)]
    assert len(cost_chart(cost_frame(nights), month(*spends))) < 40_000
    assert len(cost_chart(cost_frame([]), month())) > 1000


def test_the_trend_is_shown_in_place_whatever_it_shows() -> None:
    frame = cost_frame([line(day, cost_usd=Decimal(day * day)) for day in range(1, 29)])
    text = trend_markdown(frame, cost_sentence(frame, month(spent("1"))))
    assert len(text) < 1000
    png = text.partition("base64,")[2].rstrip(")")
    drawn = pixels(base64.b64decode(png))
    blue = [drawn.crop((x, 0, x + 7, 36)).getcolors() or [] for x in range(0, drawn.width, 9)]
    heights = [next((n for n, color in column if color == FIRST), 0) // 7 for column in blue]
    assert heights == sorted(heights)
    assert heights[-1] == 36
    assert trend_markdown(cost_frame([]), "Nothing.").startswith("Nothing.")
