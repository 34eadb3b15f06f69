"""Which refusals are the same: of one kind, whatever values of the row they quote."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from flow_pipelines.model.errors import PARTICULARS, RequestRejected

_NODE = re.compile(r"\bnode\W{1,3}([\w:.-]+)", re.IGNORECASE)
_PLACE = ("node", "field", "type")
"""Members of a provider's `fields` that say where and what the fault is."""


def kind_of(refusal: RequestRejected) -> str:
    """Return 16 hex digits that are the same for refusals that only quote other values.

    Status and code count, then the node or field and the type of each fault; where the provider
    names no type, its words do, without what they quote and without numbers.
    """
    faults = sorted(json.dumps(_fault(field), sort_keys=True) for field in refusal.fields)
    typed = any("type" in field for field in refusal.fields)
    words = "" if typed else PARTICULARS.sub("…", refusal.vendor_message)
    nodes = [] if typed else _NODE.findall(refusal.vendor_message)
    told = json.dumps([refusal.status, refusal.code, faults, nodes, words])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _fault(field: Mapping[str, Any]) -> Mapping[str, Any]:
    if "type" in field:
        return {name: str(field[name]) for name in _PLACE if name in field}
    return {
        name: str(value) if name in _PLACE else PARTICULARS.sub("…", str(value))
        for name, value in field.items()
    }
