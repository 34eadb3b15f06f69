"""What one run that submits has done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class SubmitSummary:
    """What one run of `submit_night` did."""

    submitted: int = 0
    failed: int = 0
    """Rows that the provider refused; nothing was billed for them."""
    unresolved: int = 0
    skipped: int = 0
    left_planned: int = 0
    stopped: str | None = None
    """Why it ended before everything asked for was sent; None: it did not."""
    over_budget: bool = False
    """True: a budget ended it, as it was meant to; the rest is skipped, with the reason."""
    needs_person: bool = False
    """True: going on by itself would only repeat what stopped it."""
    unresolved_in_a_row: int = field(default=0, repr=False)
    unavailable_in_a_row: int = field(default=0, repr=False)
