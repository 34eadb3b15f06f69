"""Submission keys as people type them: whole, or the beginning that tables and file names show."""

from __future__ import annotations

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Submission
from flow_pipelines.model.errors import ConfigurationError, SubmissionNotFound

SHORT = 8
"""Characters of a key that are shown where space is short."""
SHORTEST = 6
"""Characters that a beginning needs: fewer are a slip."""
SEARCHED = 10_000
"""Submissions, the latest first, among which a shortened key is looked for."""


def find_submission(ledger: RunLedger, key: str) -> Submission:
    """Return the submission of a key, or of a beginning of it that fits only one.

    Raises: SubmissionNotFound; ConfigurationError, where several fit.
    """
    try:
        return ledger.submission(key)
    except SubmissionNotFound:
        if len(key) < SHORTEST:
            raise
    fitting = [one for one in ledger.search(limit=SEARCHED) if one.submission_key.startswith(key)]
    if len(fitting) > 1:
        raise ConfigurationError(f"{len(fitting)} submissions begin with {key}; give more of it")
    if not fitting:
        raise SubmissionNotFound(
            f"no submission {key} in this ledger; none of its latest {SEARCHED} begins so"
        )
    return fitting[0]
