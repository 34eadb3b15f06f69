"""This repository's own code location: the sample batches in `defs/`, with default resources."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from flow_pipelines.resources import default_resources


@dg.definitions
def defs() -> dg.Definitions:
    """Load `defs/`. Works with nothing set: what is missing is missed when it is used."""
    project = Path(__file__).parent
    # Steps wait for HTTP, not for processors: a process for each would double what a run costs.
    own = dg.Definitions(resources=default_resources(), executor=dg.in_process_executor)
    return dg.Definitions.merge(dg.load_from_defs_folder(path_within_project=project), own)
