"""A night whose runs each give a picture and one file of every kind that was found in use."""

from __future__ import annotations

import hashlib
import io
import urllib.request
from decimal import Decimal

import pandas as pd
import pytest
from click.testing import CliRunner

from flow_pipelines.cli import main
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import collect_night, plan_night, poll_due, submit_night
from flow_pipelines.model import Night, StoredFacts
from flow_pipelines.reports.gallery import gallery_pages
from flow_pipelines.reports.row_view import StoredPictures, night_views
from flow_pipelines.sandbox.faults import Action
from flow_pipelines.sandbox.files import KINDS, file_of
from flow_pipelines_tests.before_0008 import BATCHES, BUCKET, HALF, LOCATION, Before

DAY = "2026-12-01"
DOWNLOADS = {"floyo": "download_file", "comflowy": "open_link"}


def bought(before: Before, ledger: RunLedger, provider: str) -> Night:
    """Buy a night of two rows whose runs give everything, and let it end."""
    folder = before.folder / "batches" / provider
    lines = (folder / f"{HALF}.csv").read_text(encoding="utf-8").splitlines()
    (folder / f"{DAY}.csv").write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
    before.control.configure(extra_outputs=list(KINDS))
    night, settings = Night(BATCHES[provider], DAY), before.settings(provider)
    ports = before.ports(provider, ledger)
    plan_night(settings, DAY, ports, location=LOCATION)
    submit_night(settings, night, ports, owner="today")
    for _ in range(4):
        before.clock.advance(900)
        poll_due(ports, owner="today", budget_seconds=60)
    return night


@pytest.mark.case(
    "runs that give a picture and files of 22 other kinds: one in twenty was kept",
    "every byte is in the bucket, every row complete, and nothing is shown that must not be",
)
@pytest.mark.parametrize("provider", ["floyo", "comflowy"])
def test_a_night_of_every_kind_of_file_is_kept_whole(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    night = bought(before_0008, ledger, provider)
    for action in (Action.HTML_200, Action.TRUNCATE_OUTPUT):
        # Two in all: also a download that meets both is fetched within its three tries.
        before_0008.control.add_fault(provider, DOWNLOADS[provider], action, count=1)
    summary = collect_night(night, before_0008.ports(provider, ledger), owner="today")
    pictures = 2
    assert (summary.succeeded, summary.without_image, summary.failures) == (2, 0, [])
    assert summary.stored == 2 * (pictures + len(KINDS))
    assert summary.damaged == 2 * 2  # the empty file, and the JPEG without its last bytes
    store = before_0008.store()
    folder = store.key(night.batch, DAY)
    manifest = pd.read_parquet(io.BytesIO(store.get(f"{folder}/manifest.parquet") or b""))
    stored = {hashlib.sha256(store.get(key) or b"").hexdigest() for key in _keys(manifest)}
    assert {hashlib.sha256(file_of(kind).content).hexdigest() for kind in KINDS} <= stored
    assert set(manifest["sha256"]) == stored
    assert set(manifest["verified"]) == {"decoded", "recognized", "as_is", "damaged"}
    assert manifest.loc[manifest["verified"] == "as_is", "verified_why"].notna().all()
    assert manifest["provider_file_name"].notna().all()
    assert manifest["node"].notna().all() == (provider == "comflowy")
    assert sum(manifest["cost_usd"]) == Decimal("0.02")
    _nothing_is_shown_that_must_not_be(before_0008, ledger, night, manifest)


def _keys(manifest: pd.DataFrame) -> list[str]:
    return [uri.removeprefix(f"s3://{BUCKET}/") for uri in manifest["s3_uri"]]


def _nothing_is_shown_that_must_not_be(
    before: Before, ledger: RunLedger, night: Night, manifest: pd.DataFrame
) -> None:
    for key, verified in zip(_keys(manifest), manifest["verified"], strict=True):
        with urllib.request.urlopen(f"{before.sandbox.bucket.url}/{BUCKET}/{key}") as answer:
            headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("sandbox")
        if verified in {"as_is", "damaged"}:
            assert headers["Content-Type"] == "application/octet-stream"
            assert headers["Content-Disposition"] == "attachment"
        else:
            assert headers["Content-Type"].startswith(("image/", "video/"))
    store, loaded = before.store(), list[str]()

    def get(facts: StoredFacts) -> bytes | None:
        loaded.append(facts.s3_key)
        return store.get(facts.s3_key)

    folder = store.key(night.batch, DAY)
    pictures = StoredPictures(bucket=BUCKET, folder=folder, get=get)
    views = list(night_views(ledger.submissions(night), ledger.outputs(night), pictures))
    pages = b"".join(content for _, content in gallery_pages("night", "so", views)).decode()
    assert "Also stored" in pages
    shown = manifest[manifest["verified"] == "decoded"]
    assert set(loaded) == set(_keys(shown))
    for name in manifest.loc[manifest["verified"].isin(["as_is", "damaged"]), "file_name"]:
        assert f'data-file="images/{name}"' not in pages


@pytest.mark.case(
    "a picture found alone in the bucket, or copied out of it, said nothing of where it came from",
    "its object says it in metadata, and `flow-pipelines trace` tells the rest, by content too",
)
def test_a_picture_alone_can_be_traced(
    before_0008: Before, ledger: RunLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = bought(before_0008, ledger, "floyo")
    collect_night(night, before_0008.ports("floyo", ledger), owner="today")
    submission = ledger.submissions(night)[0]
    output = ledger.outputs(night)[submission.submission_key][0]
    assert output.stored is not None
    key = output.stored.s3_key
    found = before_0008.store().head(key)
    assert found is not None
    count = len(ledger.outputs(night)[submission.submission_key])
    share = Decimal(found.metadata["cost-usd"])
    assert share in {Decimal(10_000 // count).scaleb(-6), Decimal(10_000 // count + 1).scaleb(-6)}
    assert {name: found.metadata[name] for name in found.metadata if name != "cost-usd"} == {
        "batch": night.batch,
        "partition-key": DAY,
        "prompt-id": submission.prompt_id,
        "copy": "0",
        "generation": "0",
        "submission-key": submission.submission_key,
        "provider": "floyo",
        "provider-run-id": submission.provider_run_id,
        "workflow-version": submission.workflow_version,
        "seed": str(submission.seed),
        "cost-basis": "estimated",
        "flotime-ms": str(submission.flotime_ms),
        "sha256": output.stored.sha256,
    }
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", before_0008.ledger_url)
    monkeypatch.setenv("FLOW_PIPELINES_BUCKET", BUCKET)
    copied = before_0008.folder / "found somewhere.png"
    copied.write_bytes(before_0008.store().get(key) or b"")
    for place in (f"s3://{BUCKET}/{key}", str(copied)):
        told = CliRunner().invoke(main, ["trace", place])
        assert told.exit_code == 0, told.output
        for word in (submission.prompt, submission.provider_run_id, submission.workflow_version):
            assert str(word) in told.output
        assert told.output.count("sibling") == count - 1
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", "sqlite:////nowhere/ledger.db")
    told = CliRunner().invoke(main, ["trace", f"s3://{BUCKET}/{key}"])
    assert (told.exit_code, submission.submission_key in told.output) == (0, True)
    copied.write_bytes(b"another one")
    assert CliRunner().invoke(main, ["trace", str(copied)]).exit_code == 1
