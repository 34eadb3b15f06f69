"""A Dagster instance, a ledger and a sandbox for each test; nothing of the caller's environment."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing.utils import create_defs_folder_sandbox

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.resources import RunLedgerResource, default_resources
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests import dagster_once  # noqa: F401 - projects load faster
from flow_pipelines_tests.fakes import ManualClock

OURS = ("AWS_", "COMFLOWY_", "DAGSTER_", "FLOIMG_", "FLORA_", "FLOW_PIPELINES_", "FLOYO_")
NIGHT = "2026-11-02"

GRAPH = """\
{
  "ckpt": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
  "text": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["ckpt", 1]}},
  "size": {"class_type": "EmptyLatentImage",
           "inputs": {"width": 64, "height": 64, "batch_size": 1}},
  "draw": {"class_type": "KSampler",
           "inputs": {"model": ["ckpt", 0], "positive": ["text", 0], "negative": ["text", 0],
                      "latent_image": ["size", 0], "seed": 1, "steps": 4, "cfg": 7.0,
                      "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
  "pixels": {"class_type": "VAEDecode", "inputs": {"samples": ["draw", 0], "vae": ["ckpt", 2]}},
  "save": {"class_type": "SaveImage", "inputs": {"images": ["pixels", 0], "filename_prefix": "x"}}
}
"""

BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: harbor
  provider: floyo
  workflow: graph.json
  prompts: prompts.csv
  parameters:
    "text::text": "{prompt}"
    "draw::seed": "{seed}"
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
  price_usd_per_run: 0.02
"""


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)


CLOCK = ManualClock()


@pytest.fixture(autouse=True)
def a_clock_that_no_other_test_has_moved() -> None:
    CLOCK.start_again()


class ManualLedgerResource(RunLedgerResource):
    """Tells time by a clock on which waiting costs nothing."""

    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, CLOCK)


@dataclass
class Project:
    """A user's `defs` folder in the making."""

    batches: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    executor: dg.ExecutorDefinition = dg.in_process_executor

    def add(self, folder: str, yaml: str = BATCH, **files: str) -> None:
        self.batches[folder] = textwrap.dedent(yaml)
        named = {"graph.json": GRAPH, "prompts.csv": "prompt_id,prompt\na,boats\nb,cranes\nc,fog\n"}
        named |= {name.replace("__", "."): text for name, text in files.items()}
        self.files |= {f"{folder}/{name}": text for name, text in named.items()}

    @contextmanager
    def load(self, *assets: Any, **resources: Any) -> Iterator[dg.Definitions]:
        with create_defs_folder_sandbox() as sandbox:
            root = sandbox.defs_folder_path
            for folder, yaml in self.batches.items():
                (root / folder).mkdir(parents=True)
                (root / folder / "defs.yaml").write_text(yaml, encoding="utf-8")
            for name, text in self.files.items():
                (root / name).write_text(text, encoding="utf-8")
            for name, content in self.pictures.items():
                (root / name).write_bytes(content)
            with sandbox.build_all_defs() as defs:
                own = dg.Definitions(
                    assets=assets,
                    resources={
                        **default_resources(),
                        "run_ledger": ManualLedgerResource(),
                        **resources,
                    },
                    executor=self.executor,
                )
                yield dg.Definitions.merge(defs, own)


def causes(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@pytest.fixture
def project() -> Project:
    return Project()


@pytest.fixture
def instance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated_sqlite: Path
) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(migrated_sqlite, tmp_path / "flow_pipelines_ledger.sqlite")
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


@dataclass(frozen=True)
class World:
    """A sandbox as tests look at it."""

    control: ControlClient
    bucket: Path

    def bought(self) -> int:
        return len(self.control.runs("floyo"))

    def images(self) -> list[str]:
        return sorted(path.name for path in self.bucket.rglob("images/*") if path.is_file())


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = SandboxSettings(
        port=0,
        bucket_port=0,
        bucket_folder=tmp_path_factory.mktemp("bucket"),
        # Hours of CLOCK pass in a second of the stand-in's, whose windows would be full at once.
        tuning=Tuning(
            median_seconds=1.0,
            time_scale=100.0,
            slots=8,
            max_picture_side=64,
            requests_per_window=100_000,
        ),
    )
    with Sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def world(sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    sandbox_server.reset()
    for name, value in sandbox_server.environment().items():
        monkeypatch.setenv(name, value)
    prefix = tmp_path.name
    monkeypatch.setenv("FLOW_PIPELINES_PREFIX", prefix)
    bucket = sandbox_server.bucket
    return World(ControlClient(sandbox_server.url), bucket.folder / bucket.name / prefix)


@pytest.fixture
def ledger(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[RunLedger]:
    with open_ledger(f"sqlite:///{tmp_path / 'flow_pipelines_ledger.sqlite'}", CLOCK) as ledger:
        yield ledger


def materialize(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    *assets: str,
    partition_key: str | None = NIGHT,
    **more: Any,
) -> dg.ExecuteInProcessResult:
    """Materialize assets by key in one run, as the UI would; errors end the run, not the test."""
    job = defs.resolve_implicit_global_asset_job_def()
    keys = {dg.AssetKey(asset.split("/")) for asset in assets}
    return job.get_subset(asset_selection=keys).execute_in_process(
        instance=instance, partition_key=partition_key, raise_on_error=False, **more
    )


def tick(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    cursor: str | None = None,
    *,
    provider: str = "floyo",
    **resources: Any,
) -> dg.SensorExecutionData:
    """Let a provider's sensor tick once, as the daemon would."""
    repository, name = defs.get_repository_def(), f"{provider}_runs_sensor"
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=repository,
        sensor_name=name,
        resources={**default_resources(), "run_ledger": ManualLedgerResource(), **resources},
    )
    with context:
        return repository.get_sensor_def(name).evaluate_tick(context)
