"""Writes docs/PROMISES.md from what the trials showed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from flow_pipelines_tests.faults.mutants.mutant import ROOT, Mutant

FILE = ROOT / "docs" / "PROMISES.md"
SHOWN = 10
NOT_TRIED = "not tried when this page was written"
_HEAD = """\
# Which tests fail when a guard is removed

`make mutants` writes this page. For each line it copies the tree, takes one guard out of the copy
by replacing its exact text (`flow_pipelines_tests/faults/mutants/catalogue.py`), runs a part of the
tests against it that fits until three of them have failed, and notes those. With all guards in
place all of them pass.
A guard that no test misses makes the command fail, and so does a text that is no longer there.

Only a part of the suite is run: more tests may notice than are counted here.
"""


def document(failed: Mapping[Mutant, Sequence[str]]) -> str:
    """Return the whole page."""
    lines = [_HEAD]
    for guard, mutants in groupby(failed, lambda mutant: mutant.guard):
        lines += [f"## {guard}\n", "| removed | tests that fail |", "| --- | --- |"]
        lines += [f"| {one.removed} | {'<br>'.join(_cell(failed[one]))} |" for one in mutants]
        lines.append("")
    return "\n".join(lines)


def _cell(failed: Sequence[str]) -> Iterator[str]:
    """Say how many there are and name some, each test once however many cases of it fail."""
    names = list(dict.fromkeys(_short(node) for node in failed))
    if not failed:
        yield NOT_TRIED
        return
    yield f"**{len(failed)}**" + (f", of {len(names)} tests" if len(names) < len(failed) else "")
    yield from (f"`{name}`" for name in names[:SHOWN])
    if len(names) > SHOWN:
        yield f"and {len(names) - SHOWN} more"


def _short(node: str) -> str:
    """Leave folders and cases away: `file::test`."""
    return node.split("[", 1)[0].rsplit("/", 1)[-1]
