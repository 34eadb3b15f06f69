"""What a scenario came to: rows, bills, pictures, and how long nobody went on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table

from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.cluster.trial import Trial

ROWS = {"night_market": 12, "tea_labels": 6, "paper_birds": 8, "harbor_cards": 5}
"""Of a night of each sample batch, copies counted."""
COLUMNS = (
    "scenario",
    "rows",
    "bills",
    "duplicates",
    "lost",
    "unresolved",
    "went on after",
    "429s",
    "took",
)


@dataclass(kw_only=True)
class Outcome:
    """A line of the table, and what is wrong with it."""

    scenario: str
    rows: int = 0
    bills: int = 0
    duplicates: int = 0
    lost: int = 0
    """Paid runs without a stored picture, beyond what is unresolved."""
    unresolved: int = 0
    went_on_seconds: float | None = None
    rate_limited: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    not_run: str = ""
    """Why it could not be tried here."""

    def cells(self) -> tuple[str, ...]:
        if self.not_run:
            return (self.scenario, f"not run: {self.not_run}", *[""] * (len(COLUMNS) - 2))
        after = "–" if self.went_on_seconds is None else f"{self.went_on_seconds:.0f} s"
        counts = (self.rows, self.bills, self.duplicates, self.lost, self.unresolved)
        took = f"{self.seconds:.0f} s"
        return (self.scenario, *map(str, counts), after, str(self.rate_limited), took)


def judge(scenario: str, trial: Trial, problems: Sequence[str]) -> Outcome:
    """Compare ledger, bucket and meters over the nights of a scenario."""
    after = trial.cluster.control.state()
    grown = {
        name: {
            count: getattr(reading, count) - getattr(trial.before[name], count)
            for count in ("runs_billed", "duplicate_bills", "rate_limited")
        }
        for name, reading in after.items()
    }

    def total(count: str) -> int:
        return sum(each[count] for each in grown.values())

    outcome = Outcome(
        scenario=scenario,
        bills=total("runs_billed"),
        duplicates=total("duplicate_bills"),
        rate_limited=total("rate_limited"),
        went_on_seconds=max(trial.went_on.values(), default=None),
        seconds=trial.clock.monotonic() - trial.began_at,
        broken=list(problems),
    )
    _look_at_rows(outcome, trial)
    outcome.broken += broken_promises(outcome, sum(ROWS[night.batch] for night in trial.nights))
    return outcome


def _look_at_rows(outcome: Outcome, trial: Trial) -> None:
    ledger, bucket = trial.cluster.ledger, trial.cluster.bucket
    stored = set()
    for night in trial.nights:
        outputs = ledger.outputs(night)
        for row in ledger.each_submission(night):
            outcome.rows += 1
            outcome.unresolved += row.state is SubmissionState.UNRESOLVED
            facts = [output.stored for output in outputs.get(row.submission_key, ())]
            if facts and all(fact and (bucket / fact.s3_key).is_file() for fact in facts):
                stored.add(row.provider_run_id)
    bought = {run.id for run in trial.cluster.control.runs()} - trial.run_ids_before
    outcome.lost = max(len(bought - stored) - outcome.unresolved, 0)


def broken_promises(outcome: Outcome, expected: int) -> list[str]:
    least = outcome.rows - outcome.unresolved
    checks = {
        f"{outcome.rows} rows of {expected}": outcome.rows != expected,
        f"{outcome.bills} bills for {outcome.rows} rows": not least
        <= outcome.bills
        <= outcome.rows,
        f"{outcome.duplicates} bought twice": outcome.duplicates > 0,
        f"{outcome.lost} paid without a stored picture": outcome.lost > 0,
        f"{outcome.rate_limited} requests too fast": outcome.rate_limited > 0,
    }
    return [said for said, broken in checks.items() if broken]


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the table, and every broken promise below it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "scenario" else "right")
    for outcome in outcomes:
        table.add_row(*outcome.cells())
    console.print(table)
    for outcome in outcomes:
        for problem in outcome.broken:
            console.print(f"[bold red]{outcome.scenario}: {problem}[/]", soft_wrap=True)
