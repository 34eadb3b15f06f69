"""Links as outputs: named by the node that made them and their place, whatever the links are.

A link may be signed anew at every check, in its query or in its path, so that it names nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote, urlsplit

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import OutputRef
from flow_pipelines.providers.comflowy.records import NodeOutput, Run

_VIEW_PARAMETERS = frozenset({"filename", "subfolder", "type"})
"""What names a file in the query of ComfyUI's own `/view`; the rest of a query may be a signature.
Source: docs.comfy.org/development/comfyui-server/comms_routes."""


@dataclass(frozen=True, kw_only=True)
class _Link:
    """A link, or what stands in the place of one, and where it was found."""

    node: str | None
    position: int
    """Among the files of its node, else among `output_images`."""
    url: str | None
    file: tuple[object, ...] | None
    """What of the link names a file, as long as it is signed in its query only; None: no link."""
    file_name: str | None = None

    @property
    def identity(self) -> str:
        """Return what the output is known by."""
        where = "list" if self.node is None else f"node {self.node}"
        return f"{where} {self.position}"[:200]


def outputs_of(run: Run) -> tuple[OutputRef, ...]:
    """Return every output once: those of `output_images` in order, then what only nodes name."""
    listed = list(_once(_listed(run.output_images)))
    of_nodes = list(_once(_of_nodes(run.full_outputs)))
    refs = []
    for place, link in enumerate(listed):
        made = next((other for other in of_nodes if other.file == link.file and link.file), None)
        if made is not None:
            of_nodes.remove(made)
        refs.append(_output(place, link, made or link))
    refs += [_output(place, link, link) for place, link in enumerate(of_nodes, start=len(refs))]
    return tuple(refs)


def _once(links: Iterable[_Link]) -> Iterator[_Link]:
    """Leave out what was named before, and count positions without it."""
    seen: set[tuple[object, ...]] = set()
    counted: dict[str | None, int] = {}
    for link in links:
        if link.file is not None and link.file in seen:
            continue
        if link.file is not None:
            seen.add(link.file)
        position = counted.get(link.node, 0)
        counted[link.node] = position + 1
        yield replace(link, position=position)


def _listed(images: Iterable[str | None]) -> Iterator[_Link]:
    return (_link(None, position, link) for position, link in enumerate(images))


def _of_nodes(full_outputs: Mapping[str, NodeOutput]) -> Iterator[_Link]:
    for node in sorted(full_outputs, key=lambda name: (len(name), name)):
        for position, link in enumerate(full_outputs[node].images):
            made = _link(node, position, link)
            if made.file is not None:
                yield made


def _output(place: int, link: _Link, made: _Link) -> OutputRef:
    former = [] if made is link else [link.identity]
    # Ids of versions before: a hash of the link, or where an entry was that is none. What has no
    # link cannot be fetched; left out, it would be lost without a word.
    former.append(f"(no link) {place}" if link.file is None else stable_hash([*link.file])[:24])
    return OutputRef(
        output_id=made.identity,
        file_name=link.file_name,
        node=made.node,
        former_ids=tuple(former),
        place=place,
        url=link.url,
    )


def _link(node: str | None, position: int, link: str | None) -> _Link:
    try:
        parts = urlsplit(link or "")
        host = parts.hostname
        query = {k: v for k, v in parse_qsl(parts.query) if k in _VIEW_PARAMETERS}
    except ValueError:
        return _Link(node=node, position=position, url=None, file=None)
    if not host or parts.scheme not in {"http", "https"}:
        return _Link(node=node, position=position, url=None, file=None)
    name = (query.get("filename") or unquote(parts.path).rpartition("/")[2])[-255:]
    return _Link(
        node=node,
        position=position,
        url=link,
        file=(host, parts.path, *sorted(query.items())),
        file_name=name or None,
    )
