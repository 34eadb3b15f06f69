"""A night's gallery and a comparison in a downloaded folder, made without Dagster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

from PIL import Image

from flow_pipelines.reports.comparison import ComparedColumn, ComparedRow
from flow_pipelines.reports.comparison_page import comparison_html
from flow_pipelines.reports.gallery import gallery_pages
from flow_pipelines.reports.row_view import RowView
from flow_pipelines_tests.unit.storage.samples import encoded, picture

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
LONG = "an endless pier, " * 600
PROMPTS = ("a lighthouse at dusk", "paper birds", "منارة 🐦", HOSTILE, LONG)
PROVIDERS = ("floyo", "flora")


def painted(number: int) -> bytes:
    """Draw two colors running into each other: thousands of colors on a screen."""
    slope = Image.linear_gradient("L")
    flat = Image.new("L", slope.size, number * 37 % 256)
    return encoded(Image.merge("RGB", (slope, slope.rotate(90), flat)), "PNG")


@cache
def noise(number: int) -> bytes:
    return picture(size=(512, 512), seed=number)


def cards(count: int, draw: Callable[[int], bytes] = painted) -> Sequence[RowView]:
    """Make a night of which every fifth row failed."""
    return [
        RowView(
            prompt_id=f"row-{number}",
            prompt=PROMPTS[number % len(PROMPTS)],
            state="failed" if number % 5 == 3 else "succeeded",
            reason="out of memory" if number % 5 == 3 else "",
            provider=PROVIDERS[number % 2],
            seed=1000 + number,
            cost_usd=Decimal(number) / 100,
            run_ms=1000 * number,
            load=None if number % 5 == 3 else lambda number=number: draw(number),  # type: ignore[misc]
            href="" if number % 5 == 3 else f"images/row-{number}.png",
        )
        for number in range(count)
    ]


def gallery(folder: Path, shown: Sequence[RowView]) -> Path:
    """Lay a night down as it is in the bucket; only the first picture's file is there."""
    (folder / "images").mkdir()
    (folder / "images" / "row-0.png").write_bytes(painted(0))
    for name, content in gallery_pages("posters/2026-11-21", "8 of 10", shown):
        (folder / name).write_bytes(content)
    return folder / "gallery.html"


def comparison(folder: Path) -> Path:
    """Lay down five prompts through two providers: the first is slow, the second fails once."""
    columns = [ComparedColumn(name="Floyo", note="sd15.json"), ComparedColumn(name="<i>FLORA</i>")]
    rows = [
        ComparedRow(prompt_id=slow.prompt_id, prompt=slow.prompt, cells=[slow, cheap])
        for slow, cheap in map(_both, range(len(PROMPTS)))
    ]
    page = folder / "comparison.html"
    page.write_bytes(comparison_html("posters/2026-11-21", "5 prompts", columns, rows))
    return page


def _both(number: int) -> tuple[RowView, RowView]:
    row = RowView(prompt_id=f"row-{number}", prompt=PROMPTS[number])
    slow = replace(
        row,
        images=1,
        load=lambda: painted(number),
        cost_usd=Decimal("0.04"),
        run_ms=30_000,
        flotime_ms=12_000,
    )
    if number == 1:
        failed = replace(row, state="failed", reason="refused", cost_usd=Decimal(0), run_ms=900)
        return slow, failed
    cost = Decimal("0.01")
    return slow, replace(
        row, images=1, load=lambda: painted(9 - number), cost_usd=cost, run_ms=4_000
    )
