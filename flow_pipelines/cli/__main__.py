"""`python -m flow_pipelines.cli`: the same as `flow-pipelines`."""

from __future__ import annotations

from flow_pipelines.cli.main import main

main()
