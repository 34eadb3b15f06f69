"""Make the README's pictures anew: a week of the demo's batches at the stand-ins, photographed.

`make pictures` writes docs/*.png. What is in them follows from the stand-ins' seeds; dates and
times are those of the day.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from flow_pipelines.cli.webserver import Schedule
from flow_pipelines.model import Night
from flow_pipelines_tests.browser.chromium import running_browser
from flow_pipelines_tests.browser.dagster_ui import DagsterUi
from flow_pipelines_tests.dagster.machine import BATCH, Machine, running_machine

NIGHTS = 5
FAULTY = "baskets of wild mushrooms"
"""A row of the last night but one that fails, for the gallery to show."""
MOST_BYTES = 200_000
PATIENCE_SECONDS = 1200.0
CHART = "*/flow/cost_report/cost_report.png"
_SHARP = 2
"""Pixels of a picture for each of the screen's: readers zoom in."""
_COLORS = 255
_MAX_WIDTH = 1600


@dataclass(frozen=True)
class Camera:
    """Photographs pages into a folder."""

    browser: Browser
    folder: Path

    def page(self, width: int, height: int) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=_SHARP,
            color_scheme="light",
            reduced_motion="reduce",
            timezone_id="UTC",
            locale="en-US",
        )
        context.set_default_timeout(60_000)
        return context.new_page()

    def shoot(self, page: Page, name: str, clip: tuple[int, int, int, int] | None = None) -> None:
        """Keep what is on the screen; `clip`: x, y, width and height of the part that matters."""
        page.mouse.move(0, 0)
        page.wait_for_load_state("networkidle")
        area = dict(zip(("x", "y", "width", "height"), clip, strict=True)) if clip else None
        shot = Image.open(io.BytesIO(page.screenshot(clip=area)))  # type: ignore[arg-type]
        self.keep(shot, name)

    def keep(self, shot: Image.Image, name: str) -> None:
        """Store as a PNG of few colors, smaller where it must be.

        Raises: ValueError, when it is too large all the same.
        """
        for width in (_MAX_WIDTH, 1400, 1200, 1000):
            small = shot.convert("RGB")
            if small.width > width:
                size = (width, round(small.height * width / small.width))
                small = small.resize(size, Image.Resampling.LANCZOS)
            few = small.quantize(_COLORS, dither=Image.Dither.NONE)
            few.save(self.folder / name, optimize=True)
            if (self.folder / name).stat().st_size <= MOST_BYTES:
                return
        raise ValueError(f"{name} has more than {MOST_BYTES} bytes")


def main() -> None:
    """Buy a week, and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="where pictures go")
    parser.add_argument("--home", type=Path, help="keep the machine here, for another time")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder) / "home"
        with running_machine(home) as machine:
            nights = buy_a_week(machine)
            with running_browser() as browser:
                photograph(machine, Camera(browser, given.folder), nights)


def buy_a_week(machine: Machine) -> Sequence[str]:
    """Let every schedule ask for its last nights, the oldest first; give their partition keys."""
    *good, faulty, last = reversed(range(NIGHTS))
    keys = list(buy(machine, good))
    machine.sandbox.control.add_fault(
        "floyo", "create_run", "run_fails", contains=FAULTY, error="out_of_memory"
    )
    for night in (faulty, last):
        keys += buy(machine, [night])
    bought = max(changed_at(machine, "*/flow/*/*/manifest.parquet"))
    wait(
        machine,
        lambda: max(changed_at(machine, CHART), default=0) > bought,
        "a report of all costs",
    )
    return keys


def buy(machine: Machine, nights_ago: Sequence[int]) -> Iterator[str]:
    """Buy these nights of every batch, and wait for them; give their partition keys."""
    schedules = machine.webserver.schedules()
    rounds = [[launch(machine, one, ago) for one in schedules] for ago in nights_ago]
    for folders in rounds:
        wait(machine, partial(all_there, folders), folders[0].name)
        yield folders[0].name


def wait(machine: Machine, true: Callable[[], bool], what: str) -> None:
    machine.services.wait_for(true, what, seconds=PATIENCE_SECONDS)


def launch(machine: Machine, schedule: Schedule, nights_ago: int) -> Path:
    """Start the run that a schedule asked for then; give where its pictures will be."""
    due = schedule.last_tick_at - timedelta(days=nights_ago)
    then = replace(schedule, last_tick_at=due)
    (request,) = machine.webserver.evaluate(then)
    assert request.partition_key
    night = Night(schedule.name.removesuffix("_schedule"), request.partition_key)
    if machine.ledger.night(night) is None:
        machine.webserver.launch(then, request)
    return machine.folder(night)


def all_there(folders: Sequence[Path]) -> bool:
    return all((folder / "gallery.html").exists() for folder in folders)


def changed_at(machine: Machine, pattern: str) -> Sequence[float]:
    return [path.stat().st_mtime for path in machine.home.bucket.glob(pattern)]


def photograph(machine: Machine, camera: Camera, nights: Sequence[str]) -> None:
    url = machine.webserver.url
    lineage(camera, url)
    materialization(camera, url, nights[-1])
    gallery(camera, machine.folder(Night(BATCH, nights[-2])) / "gallery.html")
    (chart,) = machine.home.bucket.glob(CHART)
    camera.keep(Image.open(chart), "costs.png")


def lineage(camera: Camera, url: str) -> None:
    page = camera.page(1280, 640)
    page.goto(f"{url}/locations/flow_pipelines/asset-groups/{BATCH}/lineage")
    ui = DagsterUi(page, url)
    for step in ("prompts", "images", "contact_sheet"):
        expect(ui.in_graph(step)).to_be_visible()
    expect(page.get_by_text("Passed")).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)
    camera.shoot(page, "lineage.png")


def materialization(camera: Camera, url: str, night: str) -> None:
    page = camera.page(1280, 860)
    page.goto(f"{url}/assets/{BATCH}/contact_sheet?view=partitions&partition={night}")
    DagsterUi(page, url).metadata("pictures").get_by_text("Show Markdown").click()
    expect(page.get_by_role("dialog").get_by_role("img", name="pictures")).to_be_visible()
    camera.shoot(page, "materialization.png")


def gallery(camera: Camera, file: Path) -> None:
    page = camera.page(1280, 860)
    page.goto(file.resolve().as_uri())
    camera.shoot(page, "gallery.png")


if __name__ == "__main__":
    main()
