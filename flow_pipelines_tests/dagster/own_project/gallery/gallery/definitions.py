"""A user's code location: batches in YAML beside assets, its own IO manager and executor."""

from pathlib import Path

import dagster as dg

from flow_pipelines import default_resources
from gallery.assets import captions, print_list
from gallery.folder import FolderIOManager


@dg.definitions
def defs() -> dg.Definitions:
    own = dg.Definitions(
        assets=[captions, print_list],
        resources={
            **default_resources(),
            "io_manager": FolderIOManager(folder=dg.EnvVar("GALLERY")),
        },
        executor=dg.in_process_executor.configured({}, name="gallery_executor"),
    )
    batches = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(batches, own)
