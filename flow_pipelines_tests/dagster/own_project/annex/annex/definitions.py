"""A second code location: a batch of its own, and one that bears the name of the gallery's."""

from pathlib import Path

import dagster as dg

from flow_pipelines import default_resources


@dg.definitions
def defs() -> dg.Definitions:
    own = dg.Definitions(resources=default_resources(), executor=dg.in_process_executor)
    batches = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(batches, own)
