"""Dagster's UI as people use it: by what is written on it. Seen in dagster-webserver 1.13.27."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as NotSeen

LINE = (79, 67, 221)
"""Color of the line in a plot."""
_LAID_OUT_SECONDS = 5
_TRIES = 12


@dataclass(frozen=True)
class DagsterUi:
    """One window of the UI at `url`."""

    page: Page
    url: str

    def open_front_page(self) -> None:
        self.page.goto(self.url)

    def choose(self, place: str) -> None:
        """Click a place in the navigation at the left: Lineage, Catalog, Runs and so on."""
        # An icon's name comes first, in small letters, and Jobs has one called "column_lineage".
        self.page.get_by_role("link", name=re.compile(rf"\b{place}$")).click()

    def in_graph(self, name: str) -> Locator:
        """Find an asset or a group in the graph of the lineage."""
        return self.page.locator("foreignObject").get_by_text(name, exact=True)

    def choose_group_in_graph(self, name: str) -> None:
        """Leave only one group in the graph, by the menu of its box."""
        item = self.page.get_by_role("menuitem", name="Filter to this group")
        click_until(self.in_graph(name), item, button="right")
        item.click()

    def in_list(self, name: str) -> Locator:
        """Find a group or an asset in the list beside the graph."""
        return self.page.get_by_role("button", name=re.compile(rf"\b{name}$"))

    def unfold(self, name: str, to_show: str) -> None:
        """Click the arrow before a group in that list."""
        arrow = "*[@aria-label='arrow_drop_down']"
        own = self.in_list(name).locator(f"xpath=ancestor::*[.//{arrow}][1]//{arrow}")
        click_until(own, self.in_list(to_show))

    def tab(self, name: str) -> None:
        """Open a tab of an asset or of a backfill."""
        self.page.get_by_role("tab", name=name, exact=True).first.click()

    def choose_partition(self, key: str) -> None:
        """Choose a partition in the list of an asset's tab Partitions."""
        # The ends of the whole range stand above the list, and titles below show the chosen one.
        self.page.get_by_title(key, exact=True).get_by_text(key).first.click()

    def metadata(self, name: str) -> Locator:
        """Find a row of a table of metadata."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(name, exact=True))

    def plot(self, name: str) -> Locator:
        """Find a plot by its title."""
        title = self.page.get_by_text(name, exact=True)
        return title.locator("xpath=ancestor::div[count(.//canvas) = 1]//canvas")


def click_until(target: Locator, sign: Locator, *, button: str = "left") -> None:
    """Click until `sign` is there: what is still being laid out loses clicks."""
    for _ in range(_TRIES):
        target.click(button="right" if button == "right" else "left")
        try:
            sign.wait_for(timeout=_LAID_OUT_SECONDS * 1000)
        except NotSeen:
            continue
        return
    raise AssertionError(f"{sign} did not come of clicking {target}")
