"""All stand-ins and the control API as one ASGI application."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from flow_pipelines.sandbox.control import Control
from flow_pipelines.sandbox.dialects import DIALECTS
from flow_pipelines.sandbox.gate import Gate
from flow_pipelines.sandbox.wire import Dialect
from flow_pipelines.sandbox.world import World


def make_dialects(world: World) -> list[Dialect]:
    """Make every registered dialect, over one world."""
    return [make(world) for make in DIALECTS]


def make_app(world: World, dialects: Sequence[Dialect]) -> Starlette:
    """Route every call of every dialect through its gate."""
    routes: list[BaseRoute] = list(Control(world, dialects).routes())
    for dialect in dialects:
        routes += [
            Route(call.path, Gate(world, dialect, call), methods=[call.method])
            for call in dialect.calls()
        ]
    return Starlette(routes=routes)
