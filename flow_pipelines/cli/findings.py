"""What a check has found, and how that looks in a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Mark(StrEnum):
    """How serious a finding is."""

    GREEN = "green"
    YELLOW = "yellow"
    """Works, but somebody should look."""
    RED = "red"
    """A night would fail over it."""
    NOT_SET_UP = "not set up"
    """Nobody asked for it."""


_SIGNS = {
    Mark.GREEN: "[green]✓[/]",
    Mark.YELLOW: "[yellow]![/]",
    Mark.RED: "[bold red]✗[/]",
    Mark.NOT_SET_UP: "[dim]·[/]",
}


@dataclass(frozen=True)
class Finding:
    """One line of a report."""

    check: str
    """What was looked at."""
    mark: Mark
    says: str
    do: str = ""
    """What a person can do about it."""


def has_red(findings: Sequence[Finding]) -> bool:
    """Return whether a night would fail."""
    return any(finding.mark is Mark.RED for finding in findings)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line each, with what to do below it."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        dim = finding.mark is Mark.NOT_SET_UP
        says = f"[dim]{escape(finding.says)}[/]" if dim else escape(finding.says)
        table.add_row(_SIGNS[finding.mark], escape(finding.check), says)
        if finding.do:
            table.add_row("", "", f"→ {escape(finding.do)}")
    Console().print(table)


def print_findings_json(findings: Sequence[Finding]) -> None:
    """Print `{healthy, checks: [{check, mark, says, do}]}`."""
    checks = [asdict(finding) for finding in findings]
    click.echo(json.dumps({"healthy": not has_red(findings), "checks": checks}, indent=1))
