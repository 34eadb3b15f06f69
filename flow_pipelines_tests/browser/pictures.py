"""Make the README's pictures anew: a week of the demo's batches at the stand-ins, photographed.

`make pictures` writes docs/*.png. What is in them follows from the stand-ins' seeds; dates and
times are those of the day.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Sequence
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
FAULTY_AGO = 1
FAULTY = "baskets of wild mushrooms"
"""A row of the last night but one; it fails, for the gallery to show."""
MOST_BYTES = 200_000
PATIENCE_SECONDS = 1200.0
CHART = "*/flow/cost_report/cost_report.png"
_SHARP = 2
"""Pixels of a picture for each of the screen's: readers zoom in."""
_COLORS = 255
_GRAPH = (290, 165, 1425, 390)
"""Where the assets of a group are in a window of 1,760 times 640."""
_STEP = 120_000
"""Milliseconds that a page may take to show something."""
_WIDTHS = (1600, 1200, 1100, 1000, 900)


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
        context.set_default_timeout(_STEP)
        expect.set_options(timeout=_STEP)
        return context.new_page()

    def shoot(self, page: Page, name: str, clip: tuple[int, int, int, int] | None = None) -> None:
        """Keep what is on the screen; `clip`: x, y, width and height of the part that matters."""
        page.mouse.move(0, 0)
        page.wait_for_load_state("networkidle")
        area = dict(zip(("x", "y", "width", "height"), clip, strict=True)) if clip else None
        shot = Image.open(io.BytesIO(page.screenshot(clip=area)))  # type: ignore[arg-type]
        self.keep(shot, name)

    def keep(self, shot: Image.Image, name: str) -> None:
        """Store as a PNG: as large, and then in as many colors, as there is room for.

        Raises: ValueError, when it is too large all the same.
        """
        for width in _WIDTHS:
            whole = shot.convert("RGB")
            if whole.width > width:
                size = (width, round(whole.height * width / whole.width))
                whole = whole.resize(size, Image.Resampling.LANCZOS)
            dither = Image.Dither.FLOYDSTEINBERG  # it needs a palette, or is passed over
            few = whole.quantize(palette=whole.quantize(_COLORS), dither=dither)
            for picture in (whole, few):
                picture.save(self.folder / name, optimize=True)
                if (self.folder / name).stat().st_size <= MOST_BYTES:
                    return
        raise ValueError(f"{name} has more than {MOST_BYTES} bytes")


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="where pictures go")
    parser.add_argument("--home", type=Path, help="keep the machine here, for another time")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_machine(given.home or Path(folder) / "home") as machine,
        running_browser() as browser,
    ):
        photograph(machine, Camera(browser, given.folder))


def photograph(machine: Machine, camera: Camera) -> None:
    """Buy a week, and take each picture when there is most to see."""
    good = buy_good_nights(machine)
    lineage(camera, machine.webserver.url)
    materialization(camera, machine.webserver.url, good)
    faulty = Night(BATCH, buy_faulty_night(machine))
    gallery(camera, machine.folder(faulty) / "gallery.html")
    (chart,) = machine.home.bucket.glob(CHART)
    camera.keep(Image.open(chart), "costs.png")


def buy_good_nights(machine: Machine) -> str:
    """Let every schedule ask for its last nights but one; give the last one's partition key."""
    return buy(machine, [ago for ago in reversed(range(NIGHTS)) if ago != FAULTY_AGO])


def buy_faulty_night(machine: Machine) -> str:
    """Buy the night that was left out; one row of it fails. Give its partition key."""
    machine.sandbox.control.add_fault(
        "floyo", "create_run", "run_fails", contains=FAULTY, error="out_of_memory"
    )
    key = buy(machine, [FAULTY_AGO])
    bought = max(changed_at(machine, "*/flow/*/*/manifest.parquet"))
    wait(
        machine,
        lambda: max(changed_at(machine, CHART), default=0) > bought,
        "a report of all costs",
    )
    return key


def buy(machine: Machine, nights_ago: Sequence[int]) -> str:
    """Buy these nights of every batch, and wait for them; give the last one's partition key."""
    schedules = machine.webserver.schedules()
    folders = [launch(machine, one, ago) for ago in nights_ago for one in schedules]
    wait(machine, partial(all_there, folders), "every gallery")
    return folders[-1].name


def wait(machine: Machine, true: Callable[[], bool], what: str) -> None:
    machine.children.wait_for(true, what, seconds=PATIENCE_SECONDS)


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


def lineage(camera: Camera, url: str) -> None:
    page = camera.page(1760, 640)
    page.goto(f"{url}/locations/flow_pipelines/asset-groups/{BATCH}/lineage")
    ui = DagsterUi(page, url)
    for step in ("prompts", "images", "contact_sheet"):
        expect(ui.in_graph(step)).to_be_visible()
    expect(page.get_by_text("Passed")).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)
    camera.shoot(page, "lineage.png", _GRAPH)


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
