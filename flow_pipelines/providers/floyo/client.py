"""The typed client of Floyo's documented calls."""

from __future__ import annotations

from flow_pipelines.providers.floyo.files import FileCalls
from flow_pipelines.providers.floyo.runs import RunCalls


class FloyoClient(RunCalls, FileCalls):
    """Floyo's documented calls. Opens no connection itself; safe to share between threads."""
