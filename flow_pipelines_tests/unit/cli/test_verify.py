"""`flow-pipelines verify`, on what the release before left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from flow_pipelines.cli import main
from flow_pipelines_tests.before_0008 import Before

Type = Callable[..., Result]


@pytest.fixture
def verify(before_0008: Before, monkeypatch: pytest.MonkeyPatch) -> Type:
    variables = {**before_0008.environment, "FLOW_PIPELINES_LEDGER_URL": before_0008.ledger_url}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(main, ["verify", *words])


def test_every_night_of_a_batch_is_looked_at(verify: Type) -> None:
    said = verify("posters")
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"posters/2026-11-{day}" for day in range(20, 26)
    ]
    assert lines[0] == "posters/2026-11-20: 4 files, all as they were stored"


@pytest.mark.case(
    "`verify --repair` said that it repaired, and neither what nor where to",
    "it names each file that it fetched, and where the tables are",
)
def test_what_is_missing_is_named_and_repaired(verify: Type, before_0008: Before) -> None:
    folder = before_0008.bucket_folder / "flow" / "posters" / "2026-11-20" / "images"
    file = min(folder.iterdir())
    content = file.read_bytes()
    file.unlink()

    told = verify("posters", "--partition", "2026-11-20")
    assert told.exit_code == 1
    assert "1 of 4 files" in told.output
    assert f"s3://pictures/flow/posters/2026-11-20/images/{file.name}" in told.output
    assert not file.exists()

    repaired = verify("posters", "--partition", "2026-11-20", "--repair")
    assert repaired.exit_code == 0, repaired.output
    folder_uri = "s3://pictures/flow/posters/2026-11-20/"
    told = (
        f"repaired: 1 fetched again; the tables are in {folder_uri}\n"
        f"    {folder_uri}images/{file.name}\n"
        "posters/2026-11-20: 4 files, all as they were stored"
    )
    assert told in repaired.output
    assert file.read_bytes() == content


def test_a_batch_that_the_ledger_does_not_know_is_an_error(verify: Type) -> None:
    assert "no_such is not in this ledger" in verify("no_such").output
    assert verify("posters", "--partition", "2020-01-01").exit_code == 1
