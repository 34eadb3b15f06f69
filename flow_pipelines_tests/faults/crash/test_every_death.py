"""A night survives the death of its process, whenever that is. `make crash` tries every instant,
`make test-all` many, `make test` some: each scene at two providers, and each provider's night."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import chain

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.pace import SqlPaceStore
from flow_pipelines.lifecycle import Ports
from flow_pipelines.provider import PaceStore, Transport
from flow_pipelines.providers import provider_names
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.transport import HttpTransport
from flow_pipelines_tests.faults.crash.effects import (
    LEDGER_READS,
    LEDGER_WRITES,
    PACE_WRITES,
    STORE_READS,
    STORE_WRITES,
    TRANSPORT_READS,
    TRANSPORT_WRITES,
    methods,
)
from flow_pipelines_tests.faults.crash.enumeration import SCENES, Report
from flow_pipelines_tests.faults.crash.shares import Share, run

THOROUGH = ("floyo", "night")
STEPS = {"night": 3, "restart": 16, "trouble": 20, "refused": 16}
"""Where many are tried, every n-th kill point is, but all of the thorough one."""

SINGLE_WRITES = {
    "store.delete": "`doctor` alone calls it, for what it wrote itself",
    "ledger.attach_proven": "a callback's; one transaction, and it may come again",
    "ledger.beat": "a sign of life; the next comes by itself",
    "ledger.cancel_planned": "a person's command; nothing outside goes with it",
    "ledger.close_night": "a person's command; `unit/lifecycle/test_prune.py` kills around it",
    "ledger.close_run": "a sensor's note of what Dagster has; the next tick repeats it",
    "ledger.detach": "a person's command; nothing outside goes with it",
    "ledger.end_heartbeat": "of a step that has ended; a beat that stays is found silent",
    "ledger.end_run": "a sensor's; one transaction; the next tick repeats what is left",
    "ledger.forget_account": "a person's command; nothing outside goes with it",
    "ledger.forget_file": "before a picture is uploaded anew; an upload is not billed",
    "ledger.import_intents": "one transaction a page of a night, repeated by whoever looks next",
    "ledger.mark_collected": "where many were refused at once; `record_collected` has its points",
    "ledger.move_batch": "a person's command; nothing outside goes with it",
    "ledger.note_bucket": "`verify` alone calls it; what it saw is seen again",
    "ledger.note_key_known": "after an answer that parks the row whether or not it is noted",
    "ledger.note_late_run": "a callback's; one transaction, and it may come again",
    "ledger.note_second_run": "a callback's; one transaction, and it may come again",
    "ledger.note_tick": "for metrics alone; the next tick notes itself",
    "ledger.pause": "a person's command; nothing outside goes with it",
    "ledger.record_missing": "`verify` alone calls it; what it saw is seen again",
    "ledger.regenerate": "a run's first step, repeated by its retry; plans only",
    "ledger.remember_file": "after an upload, which is repeated without it and not billed",
    "ledger.resume": "a person's command; nothing outside goes with it",
    "ledger.settle_late_run": "a person's command; nothing outside goes with it",
    "ledger.settle_not_created": "a person's command; nothing outside goes with it",
    "ledger.settle_second_run": "a person's command; nothing outside goes with it",
    "ledger.settle_refused": "an answer after its lease; `processes` kill and stop around it",
    "ledger.stop_account": "a note that others read; the provider repeats its refusal",
    "ledger.take_closed": "one transaction, from an archive that stays; it is repeated",
}
"""Methods that no scene reaches: each is one transaction, alone."""


FEW = {"night": 12, "restart": 40, "trouble": 60, "refused": 40}
"""Steps where a few kill points have to do; each provider begins at another one."""


@cache
def many(provider: str) -> Mapping[str, Report]:
    shares = [
        Share(
            provider=provider, scene=scene, of=1 if (provider, scene) == THOROUGH else STEPS[scene]
        )
        for scene in STEPS
    ]
    return {report.scene: report for report in run(shares)}


@cache
def few(provider: str) -> Mapping[str, Report]:
    """Try all scenes at the first provider, elsewhere the night and one of the others in turn."""
    names = provider_names()
    number, (night, *others) = names.index(provider), FEW
    scenes = [night, others[(number - 1) % len(others)]] if number else list(FEW)
    shares = [
        Share(
            provider=provider,
            scene=scene,
            first=number * FEW[scene] // len(names),
            of=FEW[scene],
        )
        for scene in scenes
    ]
    return {report.scene: report for report in run(shares, jobs=1)}


def assert_bought_once_and_kept_whole(report: Report, step: int) -> None:
    assert report.violations == []
    assert report.points > 40
    assert report.tried >= max(1, report.points // step)


@pytest.mark.parametrize("provider", provider_names())
def test_a_night_killed_at_one_of_a_few_instants_is_bought_once_and_kept_whole(
    provider: str,
) -> None:
    for scene, report in few(provider).items():
        assert_bought_once_and_kept_whole(report, FEW[scene])


@pytest.mark.exhaustive
@pytest.mark.parametrize("scene", [scene.name for scene in SCENES])
@pytest.mark.parametrize("provider", provider_names())
def test_a_night_killed_at_any_instant_is_bought_once_and_kept_whole(
    provider: str, scene: str
) -> None:
    assert_bought_once_and_kept_whole(many(provider)[scene], STEPS[scene])


def test_everything_that_a_port_can_write_has_a_kill_point() -> None:
    scenes = [few(provider_names()[0])[scene.name].effects for scene in SCENES]
    reached = {name.split(" ")[0] for name in chain.from_iterable(scenes)}
    ports = {"ledger": LEDGER_WRITES, "store": STORE_WRITES, "pace": PACE_WRITES}
    writes = {f"{port}.{name}" for port, names in ports.items() for name in names}
    assert sorted(TRANSPORT_WRITES) == ["open", "send"]
    requests = {"transport.buy", "transport.send", "transport.open"}
    assert (writes | requests) - reached == set(SINGLE_WRITES)


@pytest.mark.parametrize(
    ("contract", "reads"),
    [(RunLedger, LEDGER_READS), (ImageStore, STORE_READS), (Transport, TRANSPORT_READS)],
)
def test_what_counts_as_a_read_is_still_part_of_its_port(
    contract: type, reads: frozenset[str]
) -> None:
    assert reads <= methods(contract)


def _beyond() -> Iterator[tuple[type, type, set[str]]]:
    yield PaceStore, SqlPaceStore, set()
    yield ImageStore, S3ImageStore, set()
    yield Transport, HttpTransport, set()


@pytest.mark.parametrize(("contract", "made", "more"), list(_beyond()))
def test_no_port_can_do_more_than_its_contract_says(
    contract: type, made: type, more: set[str]
) -> None:
    assert methods(made) - methods(contract) == more


def test_nights_touch_nothing_outside_but_the_watched_ports() -> None:
    watched = {"ledger", "provider", "store"}
    harmless = {
        *("callback_url", "clock", "held_until", "log", "max_output_bytes", "caches"),
        *("others", "read_input", "read_uri", "resource", "seal"),
    }
    assert {field.name for field in fields(Ports)} == watched | harmless
