"""Nights as people see them: Dagster's own UI over a whole machine, clicked through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flow_pipelines.clock import SystemClock
from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.browser.dagster_ui import LINE, DagsterUi
from flow_pipelines_tests.browser.pixels import distinct_colors, pixels_like
from flow_pipelines_tests.dagster.machine import (
    BATCH,
    PATIENCE_SECONDS,
    ROWS,
    Machine,
    running_machine,
)

pytestmark = pytest.mark.browser

STEPS = ("prompts", "provider_runs", "images", "contact_sheet")
PATIENCE = PATIENCE_SECONDS * 1000
SLOW = 60_000
"""Of one step on a machine with much else to do, in milliseconds."""
COST = "0.24"
"""Of a night: twelve runs at two cents."""
BROKEN = {
    "teapots": ("brass teapots", "out_of_memory"),
    "orchids": ("orchids packed in newspaper", "execution_error"),
}
"""Rows that fail: what their prompts say, and of what they die."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture
def ui(machine: Machine, page: Page, tmp_path: Path) -> DagsterUi:
    """Return a window; `tmp_path` is where a failure leaves what was on the screen."""
    page.set_default_timeout(SLOW)
    expect.set_options(timeout=SLOW)
    return DagsterUi(page, machine.webserver.url)


def three_nights(machine: Machine) -> Sequence[str]:
    return [machine.requested(machine.schedule(nights_ago=days))[1] for days in (4, 3, 2)]


def from_left_to_right(ui: DagsterUi, names: Sequence[str]) -> Sequence[str]:
    boxes = {name: ui.in_graph(name).bounding_box() for name in names}
    return sorted(boxes, key=lambda name: box["x"] if (box := boxes[name]) else -1)


def launch_backfill(ui: DagsterUi, nights: Sequence[str]) -> None:
    """Materialize what the graph shows, for a range of nights, in the UI's own dialog."""
    ui.page.get_by_role("button", name=f"Materialize all ({len(STEPS)})").click()
    dialog = ui.page.get_by_role("dialog")
    asked = dialog.get_by_placeholder("No matching partitions")
    asked.fill(f"[{nights[0]}...{nights[-1]}]")
    asked.press("Tab")
    expect(dialog.get_by_text("3 partitions", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Launch backfill").click()


def test_a_backfill_from_the_dialog_is_watched_to_its_pictures_and_its_costs(
    machine: Machine, ui: DagsterUi
) -> None:
    nights = three_nights(machine)
    billed = machine.meter().runs_billed
    ui.open_front_page()
    ui.choose("Lineage")
    ui.choose_group_in_graph(BATCH)
    expect(ui.in_graph("harbor_cards")).to_have_count(0)
    for name in STEPS:
        expect(ui.in_graph(name)).to_be_visible()
    assert from_left_to_right(ui, sorted(STEPS)) == [*STEPS]

    launch_backfill(ui, nights)
    ui.page.get_by_text("Created backfill").wait_for()
    ui.page.get_by_role("link", name="View", exact=True).click()
    expect(ui.page.get_by_text(f"{nights[0]}...{nights[-1]}")).to_be_visible()
    expect(ui.page.get_by_text("100% completed")).to_have_count(len(STEPS), timeout=PATIENCE)
    # Its state, and the title of a column.
    expect(ui.page.get_by_text("Succeeded", exact=True)).to_have_count(2, timeout=PATIENCE)
    assert machine.meter().runs_billed - billed == len(nights) * ROWS

    ui.page.get_by_role("link", name=f"{BATCH} / images").click()
    ui.tab("Partitions")
    ui.choose_partition(nights[1])
    expect(ui.metadata("images")).to_contain_text(str(ROWS))
    expect(ui.metadata("cost_usd")).to_contain_text(COST)
    assert distinct_colors(ui.metadata("preview").get_by_role("img")) > 500

    ui.tab("Overview")
    ui.page.get_by_role("button", name="Plots").click()
    expect(ui.plot("cost_usd")).to_be_visible()
    assert pixels_like(ui.plot("cost_usd"), LINE) > 50

    ui.page.get_by_role("link", name=f"{BATCH} / contact_sheet").click()
    ui.tab("Partitions")
    ui.choose_partition(nights[1])
    ui.metadata("pictures").get_by_text("Show Markdown").click()
    large = ui.page.get_by_role("dialog").get_by_role("img", name="pictures")
    assert distinct_colors(large) > 5000


def test_who_starts_at_the_front_page_finds_what_failed_and_why(
    machine: Machine, ui: DagsterUi
) -> None:
    """The clicks of docs/FINDING_FAILURES.md, one after the other."""
    for contains, error in BROKEN.values():
        machine.sandbox.control.add_fault(
            "floyo", "create_run", "run_fails", contains=contains, error=error
        )
    night = machine.launch(machine.schedule())
    failed = {SubmissionState.FAILED}
    machine.wait_until((machine.folder(night) / "gallery.html").exists, f"{night}")
    assert len(machine.ledger.submissions(night, states=failed)) == len(BROKEN)

    begun = SystemClock().monotonic()
    ui.open_front_page()
    ui.choose("Lineage")
    ui.unfold(BATCH, "images")
    expect(ui.in_list("images")).to_have_accessible_name(re.compile("check_failed"))
    ui.in_list("images").click()
    ui.page.get_by_role("link", name="View in Asset Catalog").click()
    ui.tab("Checks")

    expect(ui.page.get_by_text(f"{ROWS - len(BROKEN)} of {ROWS} rows")).to_be_visible()
    expect(ui.page.get_by_text(night.partition_key, exact=True).first).to_be_visible()
    for prompt_id, (prompt, error) in BROKEN.items():
        row = ui.metadata(prompt_id).last
        expect(row).to_contain_text(prompt)
        expect(row).to_contain_text(error)
        expect(row.get_by_text(prompt)).to_be_in_viewport(ratio=1)
        expect(row.get_by_text(error)).to_be_in_viewport(ratio=1)
    assert SystemClock().monotonic() - begun < 60
