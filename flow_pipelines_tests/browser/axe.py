"""What axe-core says about a page."""

from __future__ import annotations

from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

GRAVE = frozenset({"serious", "critical"})


def grave_findings(page: Page, context: str | None = None) -> Sequence[str]:
    """Return what axe-core calls serious or critical, a line each; `context` is a CSS selector."""
    answer = Axe().run(page, context).response
    assert answer["passes"], "axe-core has looked at nothing"
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]}"
        for violation in answer["violations"]
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
