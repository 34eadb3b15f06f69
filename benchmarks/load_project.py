"""Projects of so many batches, and environments with and without this package to load them in."""

from __future__ import annotations

import sys
import sysconfig
import tomllib
from pathlib import Path

from benchmarks.location import BATCH, GRAPH

HERE = Path(__file__).resolve().parents[1]
_PYPROJECT = """\
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "loaded"
"""
_DEFINITIONS = """\
from pathlib import Path
import dagster as dg
{imports}

@dg.definitions
def defs():
    own = dg.Definitions(resources={resources}, executor=dg.in_process_executor)
    return dg.Definitions.merge(dg.load_from_defs_folder(path_within_project=Path(__file__)), own)
"""
_BARE = '''\
"""What anybody would write: as many assets, checks, jobs and schedules a batch as ours."""
import dagster as dg

PARTS = ("workflow", "prompts", "provider_runs", "images", "contact_sheet")
CHECKS = ("complete", "failed", "unresolved", "decodable", "duplicates", "budget", "current")


class Bare(dg.Component, dg.Model, dg.Resolvable):
    name: str
    schedule: str

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        days = dg.DailyPartitionsDefinition(start_date="2026-11-01")
        images = dg.AssetKey([self.name, "images"])

        def made(part, before):
            checks = [dg.AssetCheckSpec(name, asset=images) for name in CHECKS]

            @dg.asset(
                key=[self.name, part],
                deps=[dg.AssetKey([self.name, before])],
                partitions_def=None if part == "workflow" else days,
                group_name=self.name,
                check_specs=checks if part == "images" else [],
            )
            def asset(): ...

            return asset

        @dg.asset_check(asset=images, name="last_night_exists")
        def last_night_exists():
            return dg.AssetCheckResult(passed=True)

        table = dg.AssetSpec([self.name, "prompt_table"], group_name=self.name)
        pairs = zip(PARTS, ("prompt_table", *PARTS))
        keys = [dg.AssetKey([self.name, part]) for part in PARTS[:3]]
        job = dg.define_asset_job(f"{self.name}_generation", dg.AssetSelection.assets(*keys))

        @dg.schedule(name=f"{self.name}_schedule", cron_schedule=self.schedule, job_name=job.name)
        def nightly(context):
            return dg.RunRequest()

        return dg.Definitions(
            assets=[table, *(made(part, before) for part, before in pairs)],
            asset_checks=[last_night_exists],
            jobs=[job],
            schedules=[nightly],
        )
'''
_BARE_BATCH = """\
type: loaded.bare.Bare
attributes:
  name: {name}
  schedule: "0 2 * * *"
"""
_BARE_SHARED = """\
import dagster as dg

@dg.asset(deps=[dg.AssetKey([f"batch{{number:04}}", "images"]) for number in range({batches})])
def cost_report(): ...

@dg.sensor(name="runs_sensor", target=dg.AssetSelection.all())
def runs_sensor(context):
    return dg.SkipReason("nothing")
"""


def write_ours(root: Path, batches: int) -> None:
    """Write a project of prompt batches."""
    imports = "from flow_pipelines import default_resources"
    defs = _project(root, _DEFINITIONS.format(imports=imports, resources="default_resources()"))
    for folder in _folders(defs, batches):
        (folder / "defs.yaml").write_text(BATCH.format(name=folder.name))
        (folder / "graph.json").write_text(GRAPH)
        (folder / "prompts.csv").write_text("prompt_id,prompt\na,boats\nb,cranes\n")


def write_bare(root: Path, batches: int) -> None:
    """Write a project of its own component, which does nothing."""
    defs = _project(root, _DEFINITIONS.format(imports="", resources="{}"))
    (defs.parent / "bare.py").write_text(_BARE)
    (defs / "shared.py").write_text(_BARE_SHARED.format(batches=batches))
    for folder in _folders(defs, batches):
        (folder / "defs.yaml").write_text(_BARE_BATCH.format(name=folder.name))


def _project(root: Path, definitions: str) -> Path:
    defs = root / "loaded" / "defs"
    defs.mkdir(parents=True)
    (root / "pyproject.toml").write_text(_PYPROJECT)
    (root / "loaded" / "__init__.py").touch()
    (root / "loaded" / "definitions.py").write_text(definitions)
    (defs / "__init__.py").touch()
    return defs


def _folders(defs: Path, batches: int) -> list[Path]:
    folders = [defs / f"batch{number:04}" for number in range(batches)]
    for folder in folders:
        folder.mkdir()
    return folders


def make_environment(folder: Path, *, with_us: bool) -> Path:
    """Make a `site-packages` that links to all that is installed here, but for this package.

    With us it has this checkout, and the entry points that `pyproject.toml` declares.
    """
    folder.mkdir(parents=True)
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        name = installed.name.lower().replace("-", "_")
        if not name.startswith(("flow_pipelines", "__editable__", "__pycache__")):
            (folder / installed.name).symlink_to(installed)
    if with_us:
        (folder / "flow_pipelines").symlink_to(HERE / "flow_pipelines")
        _install(folder / "flow_pipelines-0.dist-info")
    return folder


def _install(folder: Path) -> None:
    declared = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        line
        for group, points in declared.items()
        for line in (f"[{group}]", *(f"{name} = {module}" for name, module in points.items()))
    ]
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: flow-pipelines\nVersion: 0\n")
    (folder / "entry_points.txt").write_text("\n".join([*lines, ""]))


def command(root: Path) -> list[str]:
    """Return what loads the project at `root`, with no packages but those in PYTHONPATH."""
    child = str(HERE / "benchmarks" / "load_child.py")
    return [sys.executable, "-S", "-P", "-W", "ignore", child, str(root)]
