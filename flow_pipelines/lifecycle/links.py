"""Links to outputs, sealed into the ledger by a poll and opened by the run that collects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from flow_pipelines.ledger.column_types import storable
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import Output, OutputRef, RunReport, SubmissionState
from flow_pipelines.model.output import known_again

LONGEST_LINK = 4096
"""Characters; a longer one is not kept, and asked for again. Signed ones have some 500 to 2,000."""


def needs_links(ports: Ports) -> bool:
    """Return whether outputs are opened by links that may expire, and not by their ids."""
    return not ports.provider.capabilities.durable_outputs


def as_known(refs: Iterable[OutputRef], outputs: Sequence[Output]) -> dict[int, OutputRef]:
    """Return by `output_index` what an answer says of each output of a run that it names."""
    return known_again([replace(ref, output_id=storable(ref.output_id)) for ref in refs], outputs)


def sealed_links(ports: Ports, submission_key: str, report: RunReport) -> Mapping[str, str]:
    """Return output id → what opens it, sealed: its link, or a text that came instead of one."""
    succeeded = report.state is SubmissionState.SUCCEEDED
    if ports.seal is None or not succeeded or not needs_links(ports):
        return {}
    return {
        # Bound to the id as the ledger will have it: that is what it is opened for.
        ref.output_id: ports.seal.seal(submission_key, storable(ref.output_id), opens)
        for ref in report.outputs
        if (opens := ref.text or ref.url) and len(opens) <= LONGEST_LINK
    }


def unsealed_links(ports: Ports, outputs: Iterable[Output]) -> dict[int, OutputRef]:
    """Return by `output_index` what opens those of `outputs` that polls left something for.

    A link may have expired, or its provider may have forgotten it.
    """
    refs: dict[int, OutputRef] = {}
    for output in outputs:
        opens = _unsealed(ports, output)
        if opens is not None:
            refs[output.output_index] = replace(
                plain_ref(output),
                url=opens if output.kind == "file" else None,
                text=opens if output.kind == "text" else None,
            )
    return refs


def plain_ref(output: Output) -> OutputRef:
    """Return an output as the provider named it, with nothing that opens it but its id."""
    return OutputRef(
        output_id=output.output_id,
        kind=output.kind,
        file_name=output.file_name,
        media_type=output.declared_type,
        size_bytes=output.declared_bytes,
        node=output.node,
    )


def _unsealed(ports: Ports, output: Output) -> str | None:
    if ports.seal is None or output.sealed_link is None:
        return None
    return ports.seal.open(output.submission_key, output.output_id, output.sealed_link)
