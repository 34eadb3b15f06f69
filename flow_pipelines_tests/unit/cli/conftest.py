"""A machine with a sandbox, a bucket and a ledger, and a user's project beside them."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flow_pipelines.cli import main
from flow_pipelines.cli.location import Accounts, find_batch, load_location
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.lifecycle import Ports, plan_night, submit_night
from flow_pipelines.model import BatchSettings, Night, SubmissionState
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests import dagster_once  # noqa: F401 - projects load faster

GRAPH = {
    "text": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}},
    "draw": {"class_type": "KSampler", "inputs": {"positive": ["text", 0], "seed": 1}},
    "save": {"class_type": "SaveImage", "inputs": {"images": ["draw", 0], "filename_prefix": "x"}},
}
BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: {name}
  provider: {provider}
  workflow: {workflow}
  prompts: prompts.csv
  parameters: {parameters}
  partitions_def: {{type: daily, start_date: "2025-11-01", timezone: UTC}}
"""
ON_FLOYO = {
    "provider": "floyo",
    "workflow": "graph.json",
    "parameters": '{"text::text": "{prompt}", "draw::seed": "{seed}"}',
}
ON_FLOIMG = {
    "provider": "floimg",
    "workflow": "wf_city_poster",
    "parameters": '{"prompt": "{prompt}"}',
}
NIGHT = Night("posters", "2025-11-21")


@dataclass
class Machine:
    """What a person at a terminal works with."""

    folder: Path
    module: str
    ledger: RunLedger
    control: ControlClient
    control_url: str

    def type(self, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, words, input=answer)

    def add_batch(self, name: str = NIGHT.batch, *more: str, **fields: str) -> Path:
        """Write a batch into the project; `more` are further lines of its YAML."""
        folder = self.folder / self.module / "defs" / name
        folder.mkdir(parents=True)
        text = BATCH.format(name=name, **{**ON_FLOYO, **fields})
        lines = [text.rstrip(), *(f"  {line}" for line in more)]
        (folder / "defs.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "graph.json").write_text(json.dumps(GRAPH), encoding="utf-8")
        (folder / "prompts.csv").write_text(
            "prompt_id,prompt\na,boats\nb,cranes\nc,fog\n", encoding="utf-8"
        )
        return folder

    def forget_module(self) -> None:
        """Load the project anew, as another process would."""
        forget(self.module)

    @property
    def definitions(self) -> str:
        return f"{self.module}.definitions"

    def ports(self, resource: str) -> Ports:
        accounts = Accounts.of(self.definitions)
        return accounts.opened(self.ledger, lambda _line: None).open(resource)

    def plan(self, night: Night = NIGHT) -> tuple[BatchSettings, Ports]:
        """Plan a night, as Dagster would."""
        settings = find_batch(load_location(self.definitions), night.batch).settings
        ports = self.ports(settings.resource)
        plan_night(settings, night.partition_key, ports)
        return settings, ports

    def buy(self, limit: int, night: Night = NIGHT) -> None:
        """Plan a night and submit some of it."""
        settings, ports = self.plan(night)
        submit_night(settings, night, ports, owner="run-1", limit=limit)

    def states(self, night: Night = NIGHT) -> list[SubmissionState]:
        return [one.state for one in self.ledger.submissions(night)]


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = SandboxSettings(
        port=0,
        bucket_port=0,
        bucket_folder=tmp_path_factory.mktemp("bucket"),
        tuning=Tuning(median_seconds=3600.0, slots=1, max_picture_side=64),
    )
    with Sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def machine(
    sandbox_server: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    migrated_sqlite: Path,
) -> Iterator[Machine]:
    """Runs at the stand-ins take an hour: nothing ends by itself."""
    sandbox_server.reset()
    for name, value in sandbox_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOW_PIPELINES_PREFIX", tmp_path.name)
    url = f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'ledger.sqlite')}"
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", url)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = "project_" + "".join(c if c.isalnum() else "_" for c in tmp_path.name)
    _write_project(tmp_path, module)
    with open_ledger(url) as ledger:
        yield Machine(
            tmp_path, module, ledger, ControlClient(sandbox_server.url), sandbox_server.url
        )
    forget(module)


def forget(module: str) -> None:
    """Let a project be imported anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        del sys.modules[name]


def _write_project(folder: Path, module: str) -> None:
    (folder / module / "defs").mkdir(parents=True)
    (folder / module / "__init__.py").touch()
    (folder / module / "defs" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{module}"\n',
        encoding="utf-8",
    )
    (folder / module / "definitions.py").write_text(
        textwrap.dedent(
            """\
            from pathlib import Path
            import dagster as dg
            from flow_pipelines import FloyoResource, default_resources

            @dg.definitions
            def defs():
                own = dg.Definitions(
                    resources={**default_resources(), "floyo_studio": FloyoResource()}
                )
                here = Path(__file__).parent
                return dg.Definitions.merge(
                    dg.load_from_defs_folder(path_within_project=here), own
                )
            """
        ),
        encoding="utf-8",
    )
