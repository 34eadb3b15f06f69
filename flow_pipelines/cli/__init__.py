"""The command line: parses, calls, prints. `flow-pipelines --help` lists the commands."""

from __future__ import annotations

from flow_pipelines.cli.main import main

__all__ = ["main"]
