"""A whole night with everything going wrong, and not one key in anything that it leaves behind."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import dagster as dg
import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect, make_url, text

from flow_pipelines.cli import main
from flow_pipelines.resources import default_resources
from flow_pipelines.sandbox.comflowy_tokens import TokenDesk
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines.transport import LinkSeal
from flow_pipelines.transport.pacing import MemoryPaceStore
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    ManualLedgerResource,
    Project,
    materialize,
    tick,
)

KEYS = {
    "floyo": "flo_Planted0FloyoKey7Qx",
    "floimg": "planted.floimg.key.8Rz",  # of no shape that a pattern could know
    "comflowy": "planted+comflowy/key=4Tw",
    "flora": "sk_live_PlantedFloraKey9Vy",
}
PASSWORD = "planted-pg-password-3Ks"
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED0ACCESS1",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/key2Mn",
    "AWS_SESSION_TOKEN": "planted//aws.session.token5Lp",
}
ROW = 'partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}'
BATCHES = {
    "floyo": BATCH,
    "floimg": """\
type: flow_pipelines.PromptBatchComponent
attributes: {name: posters, provider: floimg, workflow: wf_city_poster, prompts: prompts.csv,
  parameters: {prompt: "{prompt}", width: "64", height: 64},
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}}
""",
    "comflowy": """\
type: flow_pipelines.PromptBatchComponent
attributes: {name: pier, provider: comflowy, workflow: 3fef208b-7d25-4d9a-8ec9-c79eb2153234,
  prompts: prompts.csv,
  parameters: {"6::text": "{prompt}", "3::seed": "{seed}", "5::width": 64},
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}}
""",
    "flora": """\
type: flow_pipelines.PromptBatchComponent
attributes: {name: cards, provider: flora, workflow: postcard-pair, prompts: prompts.csv,
  parameters: {prompt: "{prompt}"},
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}}
""",
}
NAMES = {"floyo": "harbor", "floimg": "posters", "comflowy": "pier", "flora": "cards"}
SUBMIT = {
    "floyo": "create_run",
    "floimg": "execute_workflow",
    "comflowy": "run",
    "flora": "create_technique_run",
}
POLL = {"floyo": "retrieve_run", "floimg": "get_execution", "comflowy": "check", "flora": "*"}
FETCH = {
    "floyo": "download_file",
    "floimg": "open_output",
    "comflowy": "open_link",
    "flora": "download_output",
}
LINKED = {"floimg-storage", "comflowy-files", "flora-media"}
"""Where the stand-ins' links to outputs lead that expire elsewhere."""
AGAIN = {"ops": {"harbor__provider_runs": {"config": {"regenerate": "all"}}}}


@pytest.fixture(scope="module")
def tokens() -> Iterator[list[str]]:
    """Note every access token that the stand-in gives out."""
    given: list[str] = []
    plain = TokenDesk.give

    def give(self: TokenDesk, account: str, ends_at: float, *, jwt: bool) -> str:
        given.append(plain(self, account, ends_at, jwt=jwt))
        return given[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TokenDesk, "give", give)
        yield given


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every link that is sealed for the ledger."""
    given: list[str] = []
    plain = LinkSeal.seal

    def seal(self: LinkSeal, submission_key: str, output_id: str, url: str) -> str:
        given.append(url)
        return plain(self, submission_key, output_id, url)

    monkeypatch.setattr(LinkSeal, "seal", seal)
    return given


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return everything that is logged at any level, the libraries' own words included."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    # What the other side writes down of its own requests is not ours.
    handler.addFilter(lambda record: not record.name.startswith("uvicorn"))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> Iterator[Sandbox]:
    settings = SandboxSettings(
        port=0,
        bucket_port=0,
        bucket_folder=tmp_path_factory.mktemp("bucket"),
        keys={name: (key,) for name, key in KEYS.items()},
        tuning=Tuning(
            median_seconds=1.0,
            time_scale=100.0,
            slots=8,
            max_picture_side=64,
            requests_per_window=100_000,  # the night's hours are seconds to the stand-in
        ),
    )
    with Sandbox(settings) as sandbox:
        yield sandbox


def spoil(control: ControlClient, provider: str) -> None:
    """Let one thing of each kind go wrong; errors repeat the key that they were sent."""
    key, submit, poll = KEYS[provider], SUBMIT[provider], POLL[provider]
    words = f"no: {key}, Bearer {key}, ?ppt={quote_plus(key)}&x=1, {quote(key, safe='')}"
    echo: Mapping[str, Any] = {
        "error": {"code": "odd", "message": words} if provider in {"floimg", "flora"} else words,
        "message": words,
        "success": False,
    }
    control.add_fault(provider, submit, "status", status=500, body=echo)
    control.add_fault(provider, submit, "drop_after_accept", after=1)
    control.add_fault(provider, submit, "status", status=400, body=echo, after=2)
    control.add_fault(provider, submit, "bad_json", after=4)
    control.add_fault(provider, poll, "status", status=500, body=echo, count=2)
    if provider == "comflowy":  # whose report of a run need not say which run it is
        report = {"success": True, "data": {"status": "failed", "error": f"odd: {words} {key}"}}
        control.add_fault(provider, poll, "status", status=200, body=report, after=1)
    control.add_fault(provider, FETCH[provider], "status", status=403, body=words)
    control.add_fault(provider, FETCH[provider], "truncate_output", after=1)
    control.add_fault(provider, FETCH[provider], "wrong_media_type", after=2, word="text/html")


def commands() -> str:
    told = []
    for line in (
        ["runs", "--json", "--limit", "1000"],
        ["runs", "--wide"],
        ["runs"],
        ["doctor"],
        ["resolve", "00000000", "--not-created", "--why", "a test"],
        ["cancel", "--batch", "harbor", "--yes"],
        ["ledger", "upgrade"],
    ):
        result = CliRunner().invoke(main, line)
        told += [result.output, repr(result.exception)]
    return "\n".join(told)


def shown_objects() -> str:
    """Return what a debugger, a log line or a traceback would show of our objects."""
    told = []
    for name, resource in default_resources().items():
        told += [name, repr(resource), str(resource)]
        if name in KEYS:
            ready = resource.process_config_and_initialize()
            client = ready.get_client()
            told += [repr(ready), str(ready), repr(client), repr(vars(client))]
            told += [repr(vars(client._transport)), repr(vars(client._transport._http))]
    ledger = ManualLedgerResource(url=os.environ["FLOW_PIPELINES_LEDGER_URL"])
    told += [repr(ledger), str(ledger), repr(ledger.get_ledger()), repr(vars(ledger.get_ledger()))]
    ledger.get_ledger().close()
    return "\n".join(told)


def opened_links(sandbox: Sandbox) -> tuple[str, list[str]]:
    """Ask for presigned links as a person may; give what is shown of the answer, and the tokens."""
    runs = ControlClient(sandbox.url).runs("floyo")
    done = [run for run in runs if run.state == "succeeded" and run.outputs]
    # Turns are in the night's own time, which other tests move on: hence not by `get_client`.
    resource = default_resources()["floyo"].process_config_and_initialize()
    client = resource.get_provider(MemoryPaceStore(CLOCK), CLOCK).client
    run = client.retrieve_run(done[0].id, expand=True)
    links = [file.presigned_url for file in run.outputs if file.presigned_url]
    assert links, "the stand-in gives presigned links"
    return repr(run), [link.partition("token=")[2].partition("&")[0] for link in links]


def files_below(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path), path.read_bytes()


def rows_of(url: str) -> str:
    """Return every cell of a database."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            found = [connection.execute(text(f'SELECT * FROM "{name}"')).all() for name in tables]
    finally:
        engine.dispose()
    return repr(found)


def needles(*more: str) -> dict[str, bytes]:
    """Return every secret in every spelling in which it might turn up."""
    access_key = AWS["AWS_ACCESS_KEY_ID"]  # names a key, opens nothing
    secrets = [*KEYS.values(), PASSWORD, *(v for v in AWS.values() if v != access_key), *more]
    spelled = {form for s in secrets for form in (s, quote(s, safe=""), quote_plus(s))}
    return {form: form.encode() for form in spelled if form}


def test_no_key_is_left_behind_by_a_night_in_which_everything_goes_wrong(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    tokens: list[str],
    links: list[str],
    project: Project,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    log: io.StringIO,
    tmp_path: Path,
) -> None:
    ledger_url = make_url(postgres_url).set(password=PASSWORD)
    planted = ledger_url.render_as_string(hide_password=False)
    for name, value in {
        **sandbox.environment(),
        **AWS,
        "FLOW_PIPELINES_LEDGER_URL": planted,
        "FLOW_PIPELINES_PREFIX": "planted",
    }.items():
        monkeypatch.setenv(name, value)
    control = ControlClient(sandbox.url)
    rows = "\n".join(f"p{number},a cat {number}" for number in range(8))
    for provider, yaml in BATCHES.items():
        project.add(NAMES[provider], yaml, prompts__csv=f"prompt_id,prompt\n{rows}\n")
        spoil(control, provider)

    home = tmp_path / "home"
    home.mkdir()
    told: list[str] = []
    with ExitStack() as stack:
        instance = stack.enter_context(dg.instance_for_test(temp_dir=str(home)))
        defs = stack.enter_context(project.load())
        for provider, name in NAMES.items():
            assets = [f"{name}/{asset}" for asset in ("prompts", "provider_runs", "images")]
            result = materialize(defs, instance, *assets, f"{name}/contact_sheet")
            told += [repr(event) for event in result.all_events]
            CLOCK.advance(150)
            told.append(repr(tick(defs, instance, provider=provider)))
        told.append(repr(materialize(defs, instance, "cost_report", partition_key=None)))
        for provider, key in KEYS.items():
            control.add_fault(provider, "*", "status", status=401, body=key, count=None)
            told.append(repr(tick(defs, instance, provider=provider)))
        refused = materialize(defs, instance, "harbor/provider_runs", run_config=AGAIN)
        assert not refused.success
        told += [repr(event) for event in refused.all_events]
        control.clear_faults()
        told += [commands(), shown_objects()]
        shown, presigned = opened_links(sandbox)
        told += [shown, log.getvalue()]

    bills = control.state()
    assert all(bills[provider].runs_billed for provider in KEYS), "a night was bought everywhere"
    assert all(bills[provider].requests.get(FETCH[provider]) for provider in KEYS)
    assert tokens
    assert presigned
    assert {urlsplit(link).path.split("/")[1] for link in links} == LINKED
    assert "'failed'" in rows_of(planted), "a run failed in words that hold its key"
    assert "urllib3" in log.getvalue()
    assert "botocore" in log.getvalue()
    haystack = {
        "what was told": "\n".join(told).encode(),
        "the ledger": rows_of(planted).encode(),
        **dict(files_below(home, sandbox.bucket.folder)),
    }
    assert any(name.endswith(".db") for name in haystack), "Dagster's event logs are among it"
    found = [
        (name, form, _around(content, needle))
        for form, needle in needles(*tokens, *presigned, *links).items()
        for name, content in haystack.items()
        if needle in content
    ]
    assert found == []


def _around(content: bytes, needle: bytes) -> bytes:
    at = content.index(needle)
    return content[max(at - 100, 0) : at + len(needle) + 40]
