"""The asset checks of `<name>/images`: what has to hold for a collected partition.

None of them blocks: what was bought is stored and shown either way. ERROR says that rows have no
picture and will get none by themselves, or that something was or may have been paid in vain; WARN
says that time will mend it, or that a person may want to look.
"""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from flow_pipelines.model import BatchSettings
from flow_pipelines.model.wording import how_to_mend, money

if TYPE_CHECKING:
    from flow_pipelines.lifecycle import NightSummary
    from flow_pipelines.lifecycle.verify import MissingFiles

_DESCRIPTIONS = {
    "complete": "Every row has all its images in the bucket; `failures` names those that have not.",
    "no_failed_runs": "No row failed or was canceled.",
    "no_unresolved_runs": "The outcome of everything that was sent is known.",
    "images_decodable": "No stored output is damaged; the manifest says how far each was verified.",
    "no_duplicate_images": "No two images have the same content.",
    "within_budget": "The partition cost no more than budget_usd, and left no row out for it.",
    "prompts_current": "What was bought is what the prompt table says now.",
}


def check_specs(
    asset: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str] | None
) -> Sequence[dg.AssetCheckSpec]:
    """Return the checks of an images asset, partitioned as it is."""
    with warnings.catch_warnings():
        # Partitioned checks are a preview in this release, which is pinned exactly.
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=description, partitions_def=partitions_def
            )
            for name, description in _DESCRIPTIONS.items()
        ]


def check_results(
    asset: dg.AssetKey,
    settings: BatchSettings,
    summary: "NightSummary",
    failures: dg.TableMetadataValue | None = None,
    absent: "MissingFiles | None" = None,
) -> Sequence[dg.AssetCheckResult]:
    """Judge a night by its numbers: one result for every spec, always.

    `failures` is the table of the rows without a picture. The first check shows it: whoever
    follows a red mark in the UI arrives there. `absent` is what a listing of the bucket lacks.
    """
    from flow_pipelines.lifecycle.verify import MissingFiles

    findings = {
        "complete": _complete(summary, failures, absent or MissingFiles()),
        "no_failed_runs": _no_failed_runs(summary),
        "no_unresolved_runs": _no_unresolved_runs(summary),
        "images_decodable": _images_decodable(summary),
        "no_duplicate_images": _no_duplicate_images(summary),
        "within_budget": _within_budget(settings, summary),
        "prompts_current": _prompts_current(summary),
    }
    return [
        finding._replace(asset_key=asset, check_name=name) for name, finding in findings.items()
    ]


def _finding(
    description: str,
    *,
    passed: bool,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    **metadata: float | dg.TableMetadataValue,
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed, severity=severity, description=description, metadata=metadata
    )


_warning = partial(_finding, severity=dg.AssetCheckSeverity.WARN)


def _complete(
    summary: "NightSummary", failures: dg.TableMetadataValue | None, absent: "MissingFiles"
) -> dg.AssetCheckResult:
    whole = summary.succeeded - summary.without_image
    missing = summary.rows - whole
    words = f"{whole} of {summary.rows} rows have all their images"
    if not summary.rows:
        return _warning("nothing was planned for this partition", passed=False, missing=0)
    if summary.left_out:
        words += f"; {summary.left_out} outputs are larger than max_output_bytes and left out"
    if summary.in_flight:
        words += f"; {summary.in_flight} not ended yet ({summary.planned} of them not sent)"
    gone = absent.files + absent.unseen
    words += _gone_in_words(summary, absent) + _waits_for_a_person(summary)
    # One that passes is an ERROR too: the UI marks all nights with the severity of the last one.
    by_itself = 0 < missing == summary.in_flight and not _waits_for_a_person(summary)
    judge = _warning if by_itself and not gone else _finding
    table: dict[str, Any] = {}
    if failures is not None and failures.records:
        table["failures"] = failures
    return judge(
        words,
        passed=not missing and not gone,
        missing=missing,
        in_flight=summary.in_flight,
        absent_files=gone,
        **table,
    )


def _gone_in_words(summary: "NightSummary", absent: "MissingFiles") -> str:
    words = ""
    if absent.files:
        words = (
            f"; {absent.files} stored file(s) are not in the bucket, or of another size: "
            f"`flow-pipelines verify {summary.night.batch} --partition "
            f"{summary.night.partition_key} --repair`"
        )
    if absent.unseen:
        words += f"; {absent.unseen} could not be looked for: {absent.why_unseen}"
    return words


def _waits_for_a_person(summary: "NightSummary") -> str:
    """Return what keeps planned rows from being sent before somebody asks again."""
    if summary.stopped is not None and summary.planned:
        return f"; stopped: {summary.stopped}. {how_to_mend(summary.night.batch)}"
    if summary.held:
        return f"; {summary.held} planned anew wait until provider_runs is materialized"
    return ""


def _no_failed_runs(summary: "NightSummary") -> dg.AssetCheckResult:
    words = f"{summary.failed} failed, {summary.canceled} canceled"
    if summary.failed or summary.canceled:
        words += "; the check `complete` names them, with the reasons"
    if summary.stopped is not None:
        words += f"; submitting was stopped: {summary.stopped}"
        words += f". {how_to_mend(summary.night.batch)}"
    return _finding(
        words,
        passed=not summary.failed and not summary.canceled,
        failed=summary.failed,
        canceled=summary.canceled,
    )


def _no_unresolved_runs(summary: "NightSummary") -> dg.AssetCheckResult:
    words = "the outcome of everything that was sent is known"
    if summary.submitting and not summary.unresolved:
        words = f"{summary.submitting} are being sent: their outcome is not known yet"
        return _warning(words, passed=False, unresolved=0, submitting=summary.submitting)
    if summary.unresolved:
        words = (
            f"{summary.unresolved} may have been bought: nobody knows. See "
            "`flow-pipelines runs --state unresolved`, then `flow-pipelines resolve`"
        )
    return _finding(words, passed=not summary.unresolved, unresolved=summary.unresolved)


def _images_decodable(summary: "NightSummary") -> dg.AssetCheckResult:
    count = summary.damaged
    words = f"{count} stored outputs are damaged"
    if count:
        words += "; the manifest's column verified_why says how"
    return _finding(words, passed=not count, damaged=count)


def _no_duplicate_images(summary: "NightSummary") -> dg.AssetCheckResult:
    count = summary.duplicate_images
    words = f"{count} images repeat another one's content"
    return _warning(words, passed=not count, duplicate_images=count)


def _within_budget(settings: BatchSettings, summary: "NightSummary") -> dg.AssetCheckResult:
    words = f"cost {money(summary.cost_usd)}"
    if summary.runs_cost_unknown:
        words += f", and {summary.runs_cost_unknown} run(s) of unknown cost"
    if summary.skipped:
        words += f"; {summary.skipped} row(s) left out by a budget"
    budget = settings.budget_usd
    words += "; the batch has no budget" if budget is None else f"; the budget is {money(budget)}"
    within = budget is None or summary.cost_usd <= budget
    return _finding(
        words,
        passed=within and not summary.skipped,
        cost_usd=float(summary.cost_usd),
        skipped=summary.skipped,
    )


def _prompts_current(summary: "NightSummary") -> dg.AssetCheckResult:
    words = "what was bought is what the prompt table says"
    if summary.stale:
        words = (
            f"{summary.stale} row(s) changed since they were planned; their pictures are kept. "
            "Materialize provider_runs with regenerate: changed to buy them again"
        )
    return _warning(words, passed=not summary.stale, stale=summary.stale)
