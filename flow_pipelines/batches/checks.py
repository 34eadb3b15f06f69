"""Validate a batch's parameters before any row of its table is read."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from flow_pipelines.batches.cells import shown, text_fault
from flow_pipelines.batches.graphs import (
    is_node_parameter,
    link_fields,
    node_of,
    split_parameter,
)
from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.batches.positions import placed
from flow_pipelines.batches.recipe import ALWAYS_THERE, Recipe
from flow_pipelines.batches.templates import Template
from flow_pipelines.batches.values import WrongType, check_bounds
from flow_pipelines.model import BatchSettings, ParameterSpec, Workflow
from flow_pipelines.model.errors import Problem

_LISTED = 12
_Fault = tuple[str | None, str]
"""The parameter's name (None: the parameters as a whole) and what is wrong."""


def check_parameters(
    settings: BatchSettings, workflow: Workflow, *, cached_when_identical: bool = False
) -> list[Problem]:
    """Find every fault of `parameters:` that shows without the prompt table.

    `cached_when_identical` is the provider's capability of that name: there, an identical request
    may give no output at all, so what would repeat every night or in every copy needs `{seed}`,
    unless `allow_identical` says that it is meant.
    """
    recipe = Recipe.of(settings, workflow)
    faults = [*_faults_of_names(settings, workflow), *_faults_of_literals(settings, recipe)]
    faults += _faults_of_the_whole(settings, workflow)
    if cached_when_identical:
        faults += _faults_of_seeds(settings, recipe)
    return at_parameters(settings, faults)


def at_parameters(settings: BatchSettings, faults: Sequence[_Fault]) -> list[Problem]:
    """Turn faults of parameters into problems that point into the `defs.yaml`, if there is one."""
    named = [(("parameters",) if name is None else ("parameters", name), m) for name, m in faults]
    return placed(settings, named)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return `; did you mean …?` for the nearest known name, or what there is to choose from."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {shown(close[0])}?"
    if not known:
        return "; there are none"
    return f"; there are {_first_of([shown(k) for k in known])}"


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _faults_of_names(settings: BatchSettings, workflow: Workflow) -> Iterator[_Fault]:
    graph = workflow.body.get("graph")
    links = link_fields(graph) if graph else frozenset()
    known = [spec.name for spec in workflow.parameters]
    for name in settings.parameters:
        if not isinstance(name, str):
            yield str(name), f"{name!r} is no text; put the name of the parameter in quotes"
        elif name in links:
            yield name, f"{shown(name)} is a link to another node; setting it would unplug that"
        elif workflow.node_parameters and not is_node_parameter(name):
            yield name, f'{shown(name)} is not written "<node id>::<field>"'
        elif workflow.closed and name not in known:
            fault = _unknown_in_graph(name, graph, known) if graph else None
            yield (
                name,
                fault or f"the workflow has no parameter {shown(name)}" + did_you_mean(name, known),
            )


def _unknown_in_graph(name: str, graph: Mapping[str, Any], known: Sequence[str]) -> str:
    place = split_parameter(name)
    if place is None:
        return f'{shown(name)} is not written "<node id>::<field>"' + did_you_mean(name, known)
    node_id, field = place
    if node_id not in graph:
        nodes = [f"{key} ({node['class_type']})" for key, node in graph.items()]
        return f"{shown(name)}: the graph has no node {shown(node_id)}; it has {_first_of(nodes)}"
    fields = [k.rpartition("::")[2] for k in known if k.rpartition("::")[0] == node_id]
    kind = graph[node_id]["class_type"]
    return f"node {node_id} ({kind}) has no field {shown(field)}" + did_you_mean(field, fields)


def _faults_of_literals(settings: BatchSettings, recipe: Recipe) -> Iterator[_Fault]:
    unsound: dict[str, str] = {}
    for name, value in settings.parameters.items():
        try:
            stable_hash(value)
        except (TypeError, ValueError):
            unsound[name] = f"{name} is {shown(value)}, which is no JSON; put it in quotes"
            continue
        template = recipe.parameters[name]
        fault = text_fault(value) if isinstance(value, str) else None
        fault = fault or template.fault or doubled_fault(template, ALWAYS_THERE)
        if fault:
            unsound[name] = f"{name} {fault}"
    for name, message in unsound.items():
        yield str(name), message
    _, faults = recipe.render({})
    for parameter, message, _ in faults:
        if parameter not in unsound:
            yield str(parameter), message


def doubled_fault(template: Template, columns: Collection[str]) -> str | None:
    """Return why doubled braces around the name of a column are not taken for text, or None.

    Dagster writes values so in YAML, and the text `{prompt}` would be bought in place of a prompt.
    """
    name = next((name for name in template.doubled if name in columns), None)
    if name is None:
        return None
    return (
        f"has {name!r} in doubled braces, and there is a column of that name: for its value write "
        f"{{{name}}}; to send the text {{{name}}} itself put it into a cell, which is sent as it is"
    )


def _faults_of_the_whole(settings: BatchSettings, workflow: Workflow) -> Iterator[_Fault]:
    for spec in workflow.parameters:
        if spec.required and spec.name not in settings.parameters:
            yield None, f"the workflow needs the parameter {shown(spec.name)}, which is not given"
        elif spec.name not in settings.parameters:
            yield from _faults_of_default(spec, workflow)
    if settings.runs_per_prompt < 1:
        yield None, f"runs_per_prompt is {settings.runs_per_prompt}; it has to be 1 or more"


def _faults_of_default(spec: ParameterSpec, workflow: Workflow) -> Iterator[_Fault]:
    """Check the bounds of a parameter's default, which is sent when `parameters` has no value."""
    try:
        check_bounds(spec.default, spec)
    except WrongType as fault:
        node = node_of(workflow.body.get("graph") or {}, spec.name)
        where = f", in {node} of {workflow.reference}" if node else ""
        yield None, f"{spec.name} {fault}{where}; set it in parameters"


def _faults_of_seeds(settings: BatchSettings, recipe: Recipe) -> Iterator[_Fault]:
    repeats = settings.time_partitioned or settings.runs_per_prompt > 1
    if not repeats or "seed" in recipe.effective_columns or settings.allow_identical:
        return
    each = "copy" if settings.runs_per_prompt > 1 else "night"
    message = (
        f"no parameter uses {{seed}}, so every {each} sends the same requests again, and "
        f"{settings.provider} answers those from its cache, possibly with no output; set a seed "
        'field to "{seed}", or allow_identical: true if it is meant'
    )
    yield None, message
