"""Links as outputs: known again although every check signs them anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import OutputRef
from flow_pipelines.providers.comflowy.records import NodeOutput, Run

_VIEW_PARAMETERS = frozenset({"filename", "subfolder", "type"})
"""What names a file in the query of ComfyUI's own `/view`; the rest of a query may be a signature.
Source: docs.comfy.org/development/comfyui-server/comms_routes."""


def outputs_of(run: Run) -> tuple[OutputRef, ...]:
    """Give every output once: those of `output_images` in order, then what only nodes name."""
    found = [_output(index, link) for index, link in enumerate(run.output_images)]
    found += [_output(-1, link) for link in _links_of_nodes(run.full_outputs)]
    once: dict[str, OutputRef] = {}
    for ref in found:
        once.setdefault(ref.output_id, ref)
    return tuple(once.values())


def _links_of_nodes(full_outputs: Mapping[str, NodeOutput]) -> Iterator[str]:
    for node_id in sorted(full_outputs, key=lambda name: (len(name), name)):
        images = full_outputs[node_id].images
        yield from (link for link in images if _parts(link) is not None)


def _output(index: int, link: str | None) -> OutputRef:
    """Name an output by what its link does not change when it is signed anew."""
    parts = _parts(link)
    if parts is None:
        # It cannot be fetched; left out, it would be lost without a word.
        return OutputRef(output_id=f"(no link) {index}")
    host, path, query = parts
    return OutputRef(
        output_id=stable_hash([host, path, *sorted(query.items())])[:24],
        file_name=(query.get("filename") or unquote(path).rpartition("/")[2])[-255:] or None,
        url=link,
    )


def _parts(link: str | None) -> tuple[str, str, dict[str, str]] | None:
    """Split a link into host, path and what of its query names a file; None: it is no link."""
    try:
        parts = urlsplit(link or "")
        host = parts.hostname
        query = {k: v for k, v in parse_qsl(parts.query) if k in _VIEW_PARAMETERS}
    except ValueError:
        return None
    return (host, parts.path, query) if host and parts.scheme in {"http", "https"} else None
