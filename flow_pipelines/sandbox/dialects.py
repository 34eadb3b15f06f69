"""The registry of dialects: one line each."""

from __future__ import annotations

from collections.abc import Callable

from flow_pipelines.sandbox.comflowy import Comflowy
from flow_pipelines.sandbox.floimg import FloImg
from flow_pipelines.sandbox.flora import Flora
from flow_pipelines.sandbox.floyo import Floyo
from flow_pipelines.sandbox.wire import Dialect
from flow_pipelines.sandbox.world import World

DIALECTS: tuple[Callable[[World], Dialect], ...] = (Floyo, FloImg, Comflowy, Flora)
