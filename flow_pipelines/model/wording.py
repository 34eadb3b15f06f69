"""What reports, assets and errors say of a submission: money, durations, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from flow_pipelines.model.output import Output
from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import Submission

NOT_COLLECTED = "not collected yet"

_CENT = Decimal("0.01")
_HUNDREDTH_OF_A_CENT = Decimal("0.0001")
_SECOND_MS = 1000
_MINUTE_SECONDS = 60


def money(amount: Decimal | None, *, estimated: bool = False, rounded: bool = False) -> str:
    """Return `$1,234.50`: exact, with cents at least; empty for None.

    Args:
        amount: In USD.
        estimated: Marks the amount with `≈`.
        rounded: To cents; below a dollar, to a hundredth of a cent. For sums and averages.
    """
    if amount is None:
        return ""
    if rounded:
        amount = amount.quantize(_CENT if amount >= 1 else _HUNDREDTH_OF_A_CENT)
    cents = amount.quantize(_CENT)
    return f"{'≈ ' if estimated else ''}${cents if cents == amount else amount.normalize():,f}"


def duration(milliseconds: float | None, *, at_most: bool = False) -> str:
    """Return `840 ms`, `12.3 s` or `4 min 05 s`, after `≤` where `at_most`; empty for None."""
    if milliseconds is None:
        return ""
    if at_most:
        return f"≤ {duration(milliseconds)}"
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / _SECOND_MS
    if seconds < _MINUTE_SECONDS:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), _MINUTE_SECONDS)
    return f"{minutes} min {seconds:02} s"


def how_to_mend(batch: str) -> str:
    """Return what a person does about a night whose rows seem to share a fault."""
    return (
        f"Mend the graph, the table or the parameters; then materialize {batch}/prompts, and after "
        f"it {batch}/provider_runs, which alone would send the same again"
    )


def reported_problem(submission: Submission, outputs: Sequence[Output] = ()) -> str:
    """Return what went wrong, the provider's words before ours; empty where nothing was noted."""
    problems = [output.problem for output in outputs if output.stored is None and output.problem]
    return "; ".join(filter(None, [submission.error_message or submission.reason, *problems]))


def why_no_picture(submission: Submission, outputs: Sequence[Output] = ()) -> str:
    """Return why a submission has no picture, or not all; empty while its run has not ended."""
    problem = reported_problem(submission, outputs)
    if problem or submission.state is not SubmissionState.SUCCEEDED:
        return problem
    waiting = any(output.is_missing for output in outputs)
    return NOT_COLLECTED if waiting else "the provider run ended without an output"


def closed_in_words(night: str) -> str:
    """Return why nothing of a night changes any more."""
    return (
        f"{night} is closed: it was pruned. Its rows are in the bucket's archive, and nothing of "
        "it is planned, bought or collected again"
    )
