"""A workflow as it was when a night was planned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

ParameterType = Literal[
    "text", "integer", "seed", "number", "boolean", "any", "image", "video", "audio", "document"
]


@dataclass(frozen=True, kw_only=True)
class ParameterSpec:
    """One parameter that a workflow takes."""

    name: str
    """As `parameters:` names it: `"<node id>::<field>"`, a parameter name or an input id."""
    type: ParameterType
    """`integer` also takes a decimal number where the literal was written without a point;
    `seed` takes integers 0 … 2^64−1 only; `any` takes the value as it comes; `image` takes an
    https link or a picture of ours, `video`, `audio` and `document` an https link."""
    required: bool = False
    """True: it has no value of its own and must be given."""
    default: Any = None
    """The workflow's own value."""
    hosts: tuple[str, ...] = ()
    """Hosts that links may name, `.domain` for all below it; empty: every one."""
    minimum: float | None = None
    """Smallest number that is taken."""
    maximum: float | None = None
    """Largest number that is taken."""
    whole: bool = False
    """True: a number has to be a whole one; the service would cut decimals off without a word."""


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow frozen: what a submission is made from besides its parameters."""

    reference: str
    """As the batch names it."""
    version: str
    """Hash or time stamp that changes when the workflow does."""
    body: Mapping[str, Any]
    """What the provider's file needs to build a request; JSON data, no secrets."""
    parameters: tuple[ParameterSpec, ...] = ()
    closed: bool = True
    """False: the provider does not tell which parameters exist; any name is let through."""
    node_parameters: bool = False
    """True: all that is known of a parameter's name is that it is `"<node id>::<field>"`."""
    price_usd: Decimal | None = None
    """The provider's own price of one run, where it states one."""

    def to_json(self) -> str:
        """Return canonical JSON that `from_json` reads back."""
        data = asdict(self)
        data["price_usd"] = None if self.price_usd is None else str(self.price_usd)
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Workflow:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        price = data["price_usd"]
        data["price_usd"] = None if price is None else Decimal(price)
        data["parameters"] = _specs(data["parameters"])
        return cls(**data)


def _specs(rows: Sequence[Mapping[str, Any]]) -> tuple[ParameterSpec, ...]:
    return tuple(ParameterSpec(**{**row, "hosts": tuple(row.get("hosts", ()))}) for row in rows)
