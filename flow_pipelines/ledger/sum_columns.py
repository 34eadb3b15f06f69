"""The columns that sums over submissions have, of open nights and for a night that is closed."""

from __future__ import annotations

from sqlalchemy import case, func, or_, select

from flow_pipelines.ledger.schema import outputs, submissions
from flow_pipelines.model import ENDED, CostBasis, SubmissionState

_s = submissions.c
_has_run = _s.provider_run_id.is_not(None)
_COST_UNKNOWN = (_s.state == SubmissionState.UNRESOLVED) | (
    _has_run & _s.state.in_(sorted(ENDED)) & _s.cost_usd.is_(None)
)
SUMS = (
    func.count(_s.provider_run_id).label("runs"),
    func.sum(_s.cost_usd).label("cost_usd"),
    func.sum(case((_s.cost_basis == CostBasis.ESTIMATED, _s.cost_usd))).label("estimated_usd"),
    func.count(case((_COST_UNKNOWN, 1))).label("runs_cost_unknown"),
)
ENDS = case((_has_run, _s.finished_at))
"""When a provider run ended; empty for what had none."""
END_SUMS = (
    func.count(ENDS).label("ends"),
    func.min(ENDS).label("first_end_at"),
    func.max(ENDS).label("last_end_at"),
)
_images = (
    select(func.count())
    .select_from(outputs)
    .where(
        outputs.c.submission_key == _s.submission_key,
        outputs.c.stored_at.is_not(None),
        outputs.c.kind == "file",
        or_(outputs.c.verified.is_(None), outputs.c.verified.in_(("decoded", "recognized"))),
    )
    .correlate(submissions)
    .scalar_subquery()
)
COST_SUMS = (
    *SUMS,
    func.count(case((_s.state == SubmissionState.FAILED, 1))).label("failed"),
    func.sum(_images).label("images"),
    func.sum(_s.flotime_ms).label("flotime_ms"),
    func.min(_s.submitting_at).label("bought_at"),
)
