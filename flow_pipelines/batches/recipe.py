"""Render one row into a request: parsed templates, and the types that values must take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from flow_pipelines.batches.cells import same_cell
from flow_pipelines.batches.graphs import idle_nodes, node_of
from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.batches.pictures import (
    MEDIA,
    PICTURE,
    LookUp,
    media_value,
    picture_named,
    pictures_in,
    unread,
)
from flow_pipelines.batches.prompt_table import is_blank
from flow_pipelines.batches.templates import Template, parse_parameter
from flow_pipelines.batches.values import WrongType, check_bounds, typed_value
from flow_pipelines.model import BatchSettings, ParameterSpec, PlannedRow, PromptRow, Workflow

ALWAYS_THERE = frozenset({"prompt_id", "seed"})
"""Columns that a template may use whether or not the table has them."""


class Fault(NamedTuple):
    """What is wrong with one parameter of one row."""

    parameter: str
    message: str
    columns: tuple[str, ...]
    """The columns that the value came from."""


def _empty(column: str) -> WrongType:
    return WrongType(
        f"uses an empty cell; fill it, or write empty_cells: [{column}] where nothing is meant"
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A batch's parameters, ready to be rendered for any number of rows."""

    version: str
    """The workflow's."""
    written: Mapping[str, Any]
    """The parameters as the person wrote them."""
    parameters: Mapping[str, Template]
    specs: Mapping[str, ParameterSpec]
    graph: Mapping[str, Any]
    """The workflow's, for messages; empty where it is none of ours to see."""
    may_be_empty: Collection[str] | None = ()
    """Columns whose cells may be empty; None: every column."""
    look_up: LookUp = unread
    """Reads a picture that a row names; without it, none is looked at."""

    @classmethod
    def of(cls, settings: BatchSettings, workflow: Workflow, look_up: LookUp = unread) -> Recipe:
        """Parse the parameters of `settings` for `workflow`. Never fails."""
        return cls(
            version=workflow.version,
            written=dict(settings.parameters),
            parameters={n: parse_parameter(v) for n, v in settings.parameters.items()},
            specs={spec.name: spec for spec in workflow.parameters},
            graph=workflow.body.get("graph") or {},
            may_be_empty=settings.empty_cells,
            look_up=look_up,
        )

    @cached_property
    def columns(self) -> frozenset[str]:
        """Return every column that some template uses."""
        return frozenset(c for template in self.parameters.values() for c in template.columns)

    @cached_property
    def idle(self) -> frozenset[str]:
        """Return the parameters that no output depends on: they make no request another one."""
        nodes = idle_nodes(self.graph)
        return frozenset(n for n in self.parameters if nodes and n.rpartition("::")[0] in nodes)

    @cached_property
    def effective_columns(self) -> frozenset[str]:
        """Return every column that reaches what the provider makes."""
        templates = (t for name, t in self.parameters.items() if name not in self.idle)
        return frozenset(column for template in templates for column in template.columns)

    def render(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
        """Return the typed parameters for one row's values, and what is wrong with them.

        A parameter with a column that `values` lacks is left out: that is a fault of the batch,
        not of the row.
        """
        rendered: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, template in self.parameters.items():
            if not values.keys() >= set(template.columns):
                continue
            empty = [column for column in template.columns if self._is_missing(column, values)]
            faults += [Fault(name, self._message(name, _empty(c)), (c,)) for c in empty]
            if empty:
                continue
            try:
                rendered[name] = self._typed(name, template, values)
            except WrongType as fault:
                faults.append(Fault(name, self._message(name, fault), template.columns))
        return rendered, faults

    def content_hash(self, row: PromptRow, parameters: Mapping[str, Any]) -> str:
        """Hash all that a person decides about a row's requests: cells, templates, workflow.

        Of `parameters`, as rendered, only the content of pictures counts: a file may be repainted.
        The derived seed is left out, so the hash says whether the row is still what was planned.
        """
        used = self.columns - ALWAYS_THERE
        content = {
            "prompt_id": row.prompt_id,
            "values": {name: same_cell(row.values.get(name)) for name in used},
            "seed": row.seed if "seed" in self.columns else None,
            "parameters": self.written,
            "workflow": self.version,
        }
        pictures = dict(pictures_in(parameters))
        return stable_hash(content | ({"pictures": pictures} if pictures else {}))

    def request_hash(self, parameters: Mapping[str, Any]) -> str:
        """Hash a rendered request: what the provider gets to see, the seed included."""
        return stable_hash([self.version, dict(parameters)])

    def effective_hash(self, row: PlannedRow) -> str:
        """Hash what a planned request makes: two with the same hash are one request to a cache."""
        if not self.idle:
            return row.request_hash
        return self.request_hash({n: v for n, v in row.parameters.items() if n not in self.idle})

    def _is_missing(self, column: str, values: Mapping[str, Any]) -> bool:
        if self.may_be_empty is None or column in self.may_be_empty:
            return False
        return column not in ALWAYS_THERE and is_blank([values[column]])

    def _typed(self, name: str, template: Template, values: Mapping[str, Any]) -> Any:
        value = template.render(values)
        spec = self.specs.get(name)
        if template.is_picture:
            return picture_named(value, self.look_up)
        if isinstance(value, Mapping) and PICTURE in value:
            raise WrongType(f"holds {PICTURE}, which is ours; a picture is {{file: …}}")
        if spec and spec.type in MEDIA:
            return media_value(value, spec)
        kind = spec.type if spec else "any"
        # A literal null may be meant; a cell without a value never is, unless text is wanted.
        if kind == "any" and value is None and template.columns:
            raise WrongType("is empty")
        if spec and spec.required and value in (None, ""):
            raise WrongType("is empty, and the workflow needs it")
        typed = typed_value(value, kind)
        if spec is not None:
            check_bounds(typed, spec)
        return typed

    def _message(self, name: str, fault: WrongType) -> str:
        node = node_of(self.graph, name)
        return f"{name} {fault}" + (f", in {node}" if node else "")
