"""Which output of a fresh answer is which output that the ledger knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from flow_pipelines.model.output import Output, OutputRef

_HASH_OF_A_LINK = re.compile(r"[0-9a-f]{24}")
"""What an output was named by where its only name was a link, before it was node and position."""

Test = Callable[[OutputRef, Output], bool]


def known_again(refs: Iterable[OutputRef], known: Sequence[Output]) -> dict[int, OutputRef]:
    """Return by `output_index` what a fresh answer says of each output that it names.

    By id; by an id of before; and where an id of before came from a link that is signed anew in
    its path, by its place among the outputs. An output is named once, however often the answer
    names it.
    """
    found: dict[int, OutputRef] = {}
    left = list(refs)
    for test in (_same_id, _former_id, _same_place):
        named = {ref.output_id for ref in found.values()}
        unnamed = [ref for ref in left if ref.output_id not in named]
        for index, ref in _pairs(unnamed, [o for o in known if o.output_index not in found], test):
            found.setdefault(index, ref)
    return found


def names_nothing_else(refs: Iterable[OutputRef], known: Sequence[Output]) -> bool:
    """Return whether every output of an answer is one that is known, and it names any."""
    ids = {ref.output_id for ref in refs}
    return bool(ids) and ids == {ref.output_id for ref in known_again(refs, known).values()}


def is_named_by_link(output: Output) -> bool:
    """Return whether its id came from a link, which may never come again."""
    return _HASH_OF_A_LINK.fullmatch(output.output_id) is not None


def _pairs(
    refs: Sequence[OutputRef], known: Sequence[Output], test: Test
) -> Iterator[tuple[int, OutputRef]]:
    taken: Counter[str] = Counter()
    for output in known:
        for ref in refs:
            if not taken[ref.output_id] and test(ref, output):
                taken[ref.output_id] += 1
                yield output.output_index, ref
                break


def _same_id(ref: OutputRef, output: Output) -> bool:
    return ref.output_id == output.output_id


def _former_id(ref: OutputRef, output: Output) -> bool:
    return output.output_id in ref.former_ids


def _same_place(ref: OutputRef, output: Output) -> bool:
    return ref.place == output.output_index and is_named_by_link(output)
