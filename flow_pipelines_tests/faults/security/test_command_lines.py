"""What anybody on the machine sees of the demo's processes, and what its folder keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import Children
from flow_pipelines.cli.services import DagsterServices, start_sandbox
from flow_pipelines_tests.fakes import ManualClock

SECRETS = {
    "FLOYO_API_KEY": "flo_PlantedKey00001",
    "FLOIMG_API_KEY": "fsk_live_PlantedKey2",
    "COMFLOWY_API_KEY": "planted+key/3",
    "FLORA_API_KEY": "sk_live_PlantedKey4",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+key/5",
    "FLOW_PIPELINES_LEDGER_URL": "postgresql://flow:planted-password-6@localhost/flow",
}


class Recorded(Children):
    """Starts nothing; notes what would be started."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.logs, ManualClock())
        self.home = home
        self.lines: list[str] = []
        self.environments: list[Mapping[str, str]] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Any:
        self.lines.append(" ".join([name, *command]))
        self.environments.append(environment)
        if name == "sandbox":
            told = {"url": "http://127.0.0.1:1", "environment": dict(SECRETS)}
            (self.home.root / "sandbox.json").write_text(json.dumps(told))
        return SimpleNamespace(name=name, check=lambda: None, log=self.home.logs / name)

    def wait_for(self, ready: Any, what: str, *, seconds: float = 0) -> None:
        del ready, what, seconds


def test_no_key_is_on_a_command_line_or_in_a_file_that_dagster_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    home = Home(tmp_path / "demo")
    home.prepare()
    children = Recorded(home)
    sandbox = start_sandbox(home, children, {}, "--time-scale", "8")
    DagsterServices(home, children, sandbox.environment).start(0)

    assert len(children.lines) == 4
    files = [home.workspace, *home.dagster.rglob("*.yaml")]
    shown = "\n".join([*children.lines, *(file.read_text() for file in files)])
    assert [value for value in SECRETS.values() if value in shown] == []
    assert children.environments[-1]["FLOYO_API_KEY"] == SECRETS["FLOYO_API_KEY"]
