"""The demo's folder: ours alone, one demo at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flow_pipelines.cli.home import Home
from flow_pipelines.model.errors import ConfigurationError


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not made by this command"):
        Home(tmp_path).prepare()
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_home_is_found_again_as_it_was_left(tmp_path: Path) -> None:
    home = Home(tmp_path / "demo")
    home.prepare()
    (home.bucket / "picture.png").touch()
    home.prepare()
    assert (home.bucket / "picture.png").exists()


def test_forgetting_empties_bucket_and_ledger_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    for file in (home.bucket / "picture.png", home.dagster / "ledger", home.logs / "daemon.log"):
        file.touch()
    home.forget()
    assert [*home.bucket.iterdir()] == []
    assert [one.name for one in home.dagster.iterdir()] == ["dagster.yaml"]
    assert (home.logs / "daemon.log").exists()


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    with (
        home.occupied(),
        pytest.raises(ConfigurationError, match="Another demo is running"),
        Home(tmp_path).occupied(),
    ):
        pass
    with home.occupied():
        pass


def test_the_demo_sends_no_telemetry(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    settings = yaml.safe_load((home.dagster / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["telemetry"] == {"enabled": False}
