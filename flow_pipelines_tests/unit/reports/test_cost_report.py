"""What was spent, as a table, in words and as a chart."""

from __future__ import annotations

import io
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flow_pipelines.model import Night
from flow_pipelines.reports.cost_chart import HEIGHT, WIDTH, cost_chart
from flow_pipelines.reports.cost_report import COLUMNS, cost_frame, cost_markdown


@dataclass(frozen=True)
class Line:
    night: Night
    provider: str
    runs: int = 10
    failed: int = 1
    images: int = 9
    flotime_ms: int = 1000
    cost_usd: Decimal = Decimal("0.9")
    runs_cost_unknown: int = 0
    estimated_usd: Decimal = Decimal(0)


def line(day: int = 1, batch: str = "posters", provider: str = "floyo", **sums: object) -> Line:
    return Line(Night(batch, f"2026-11-{day:02}"), provider, **sums)  # type: ignore[arg-type]


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


def test_the_summary_tells_what_is_estimated_and_what_is_unknown() -> None:
    lines = [
        line(1, cost_usd=Decimal("1.50"), estimated_usd=Decimal("0.25"), runs_cost_unknown=4),
        line(2, cost_usd=Decimal("0.75"), provider="flora"),
    ]
    said = cost_markdown(cost_frame(lines)).splitlines()[0]
    assert said == (
        "**$2.25** for 18 images of 20 provider runs; $0.1250 an image; $0.2500 of it estimated; "
        "the cost of 4 runs is unknown and not in it."
    )


def test_the_table_has_the_last_nights_newest_first_and_counts_the_rest() -> None:
    said = cost_markdown(cost_frame([line(day) for day in range(1, 21)]), nights=3)
    rows = [row for row in said.splitlines() if row.startswith("| 2026")]
    assert [row[2:12] for row in rows] == ["2026-11-20", "2026-11-19", "2026-11-18"]
    assert said.endswith("… and 17 earlier nights.")


def test_batches_of_one_night_and_provider_are_one_row_in_words() -> None:
    said = cost_markdown(cost_frame([line(batch="ads"), line(batch="posters")]))
    assert "| 2026-11-01 | floyo | 20 | 2 | 18 | $1.80 |" in said


def test_nothing_bought_is_said_in_words() -> None:
    frame = cost_frame([])
    assert tuple(frame.columns) == COLUMNS
    assert cost_markdown(frame) == "Nothing was bought yet."


def colors_of(lines: list[Line]) -> dict[tuple[int, int, int], int]:
    image = Image.open(io.BytesIO(cost_chart(cost_frame(lines))))
    assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
    counted = image.convert("RGB").getcolors(1 << 20) or []
    return {color: count for count, color in counted}  # type: ignore[misc]


def test_bars_are_as_high_as_what_they_stand_for() -> None:
    floimg, floyo = (0, 94, 162), (230, 138, 0)
    lines = [
        line(1, provider="floimg", cost_usd=Decimal(1)),
        line(1, provider="floyo", cost_usd=Decimal(3)),
    ]
    colors = colors_of(lines)
    legend = 13 * 13
    assert (colors[floyo] - legend) / (colors[floimg] - legend) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("cost", ["0", "0.000001", "0.03", "7", "123456.78"])
def test_a_chart_of_any_amount_can_be_drawn(cost: str) -> None:
    assert len(colors_of([line(day, cost_usd=Decimal(cost)) for day in (1, 2)])) > 3


def test_a_chart_of_many_nights_or_none_can_be_drawn() -> None:
    nights = [Line(Night("b", f"20{year}-{month:02}-01"), "floyo") for year in range(10, 26)
              for month in range(1, 13)]  # fmt: skip
    assert len(colors_of(nights)) > 3
    assert len(colors_of([])) > 1
