"""What a benchmark gives: figures with a target, and often an opponent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table."""

    part: str
    name: str
    ours: float
    unit: str = ""
    opponent: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """None: it has no target, it is only told."""
        if self.at_most is None and self.at_least is None:
            return None
        high = self.at_most is None or self.ours <= self.at_most
        return high and (self.at_least is None or self.ours >= self.at_least)

    @property
    def target(self) -> str:
        signs = (("≤", self.at_most), ("≥", self.at_least))
        return " ".join(f"{sign} {limit:g}" for sign, limit in signs if limit is not None)


def show(figures: Sequence[Figure]) -> bool:
    """Print the table; True: every target was met."""
    table = Table(
        title=f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", title_justify="left"
    )
    for heading in ("part", "figure", "ours", "opponent", "target", ""):
        table.add_column(heading, justify="right" if heading == "ours" else "left")
    words = {True: "met", False: "MISSED", None: ""}
    for one in figures:
        ours = f"{one.ours:.2f} {one.unit}".strip()
        table.add_row(one.part, one.name, ours, one.opponent, one.target, words[one.met])
    Console(width=150).print(table)
    return all(one.met is not False for one in figures)
