"""Writes docs/CALLS.md from the providers' profiles, clients, stand-ins and tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flow_pipelines.providers import profile, provider_names
from flow_pipelines_tests.conformance.calls.table import Row, rows

FILE = Path(__file__).parents[3] / "docs" / "CALLS.md"
_HEAD = """\
# Every call of the providers' APIs

What each provider documents, the method of our typed client that speaks it, the route of the
stand-in that answers it, and the tests that let the one talk to the other
(`flow_pipelines_tests/conformance/calls`). `make docs` writes this page from the code; a call
without one of the three fails a test.

`resource.get_client()` gives a client in any op or asset: see README.md.
"""


def page() -> str:
    """Return the whole page."""
    found = list(rows())
    sections = (
        _section(name, [row for row in found if row.provider == name]) for name in provider_names()
    )
    return "\n".join([_HEAD, *("\n".join(section) for section in sections)])


def _section(name: str, found: list[Row]) -> Iterator[str]:
    known = profile(name)
    yield f"## {known.title}\n"
    yield f"Documentation: <{known.documentation}>\n"
    yield "| documented call | client | stand-in | tests | source |"
    yield "|---|---|---|---|---|"
    for row in found:
        more = f" and {len(row.tests) - 1} more" if len(row.tests) > 1 else ""
        test = row.tests[0].partition("::")[2] if row.tests else ""
        cells = (
            f"`{row.documented.call}`",
            f"`{row.method}`",
            f"`{row.route}`",
            f"{test}{more}",
            row.documented.source,
        )
        yield "| " + " | ".join(cells) + " |"
    yield ""


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
