"""Build the S3 metadata of a stored object, by which a picture found alone can be traced back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from flow_pipelines.model import CostBasis, Output, Submission
from flow_pipelines.redaction import redact
from flow_pipelines.storage.tables import cost_shares

MOST_BYTES = 1900
"""S3 takes 2 kB of user metadata, names and values together."""
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
_CUT_IN_TWO = re.compile(r"%[0-9A-F]?\Z")
_PREFIX_BYTES = len("x-amz-meta-")


def object_metadata(
    submission: Submission, output: Output, siblings: Sequence[Output]
) -> Mapping[str, str]:
    """Return S3 user metadata as it is known when the output is stored: no link, no secret.

    `siblings` are all outputs of its run: they share the cost as the manifest will have it.
    """
    facts: dict[str, object | None] = {
        "batch": submission.night.batch,
        "partition-key": submission.night.partition_key,
        "prompt-id": submission.prompt_id,
        "copy": submission.copy,
        "generation": submission.generation,
        "submission-key": submission.submission_key,
        "provider": submission.provider,
        "provider-run-id": submission.provider_run_id,
        "workflow-version": submission.workflow_version,
        "seed": submission.seed,
        **_cost(submission, output, siblings),
        "flotime-ms": submission.flotime_ms,
    }
    return _fitted({name: _encoded(value) for name, value in facts.items() if value is not None})


def _cost(
    submission: Submission, output: Output, siblings: Sequence[Output]
) -> dict[str, object | None]:
    sharing = sorted(sibling.output_index for sibling in siblings if sibling.settled_above is None)
    share = None
    if output.output_index in sharing:
        shares = cost_shares(submission.cost_usd, len(sharing))
        share = shares[sharing.index(output.output_index)]
    basis = CostBasis.UNKNOWN if share is None else submission.cost_basis
    return {"cost-usd": None if share is None else f"{share:f}", "cost-basis": basis.value}


def _encoded(value: object) -> str:
    """Return printable ASCII, with `%` before what is not."""
    return quote(redact(str(value)), safe=_PLAIN, errors="replace")


def _fitted(metadata: dict[str, str]) -> Mapping[str, str]:
    """Cut the longest values until all of them fit; no percent-encoded byte is cut in two."""
    while sum(map(_size, metadata.items())) > MOST_BYTES:
        longest = max(metadata, key=lambda name: len(metadata[name]))
        half = metadata[longest][: len(metadata[longest]) // 2]
        metadata[longest] = _CUT_IN_TWO.sub("", half)
    return metadata


def _size(pair: tuple[str, str]) -> int:
    return _PREFIX_BYTES + len(pair[0]) + len(pair[1])
