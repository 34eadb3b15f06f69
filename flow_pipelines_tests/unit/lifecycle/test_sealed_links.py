"""A night that only the sensor polls: the run that collects it opens what the polls left sealed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flow_pipelines.lifecycle import NightSummary, Ports, collect_night, links, poll_due
from flow_pipelines.model import Output, OutputRef, RunReport, SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    NotFound,
    OutputRefused,
    ProviderUnavailable,
    RateLimited,
    StorageError,
    TransferError,
)
from flow_pipelines.provider import Capabilities
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import LinkSeal
from flow_pipelines_tests.fake_provider import BytesDownload, FakeProvider, png
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

HOST = "https://files.example"
SEAL = LinkSeal("floyo", Secret("flo_TheKeyOfThisAccount"))
OTHER_SEAL = LinkSeal("floyo", Secret("flo_TheKeyThatCameAfterIt"))
ALIKE = {"provider": "floyo", "operation": "open_link"}


class LinkingProvider(FakeProvider):
    """Opens outputs by links only, and signs them anew at each poll."""

    def __init__(self) -> None:
        super().__init__(Capabilities())
        self.opened: list[str] = []
        self.on_link: Callable[[str], bytes | None] = lambda _url: None
        self.outputs = 1

    def finished(self, provider_run_id: str, outputs: int | None = None) -> RunReport:
        report = super().finished(provider_run_id, self.outputs if outputs is None else outputs)
        signed = f"Signature=planted{len(self.polls)}"
        refs = [replace(r, url=f"{HOST}/{r.output_id}.png?{signed}") for r in report.outputs]
        return replace(report, outputs=tuple(refs))

    @contextlib.contextmanager
    def fetch(self, output: OutputRef, *, max_bytes: int) -> Iterator[BytesDownload]:
        if output.url is None:
            raise OutputRefused("no link")
        self.opened.append(output.url)
        content = self.on_link(output.url)
        yield BytesDownload(content if content is not None else png(output.output_id))


class SensorNight:
    """A night whose runs the sensor's process saw end."""

    def __init__(self, harness: LifecycleHarness) -> None:
        self.lab, self.provider = harness, LinkingProvider()
        harness.provider = self.provider
        self.polled = 0

    def process(self, seal: LinkSeal | None = SEAL) -> Ports:
        """Return ports as another process has them: without any memory."""
        return replace(self.lab.ports, seal=seal)

    def end(self, *prompts: str, seal: LinkSeal | None = SEAL) -> None:
        """Buy a night and let the sensor see all of it end."""
        self.lab.plan(*prompts)
        self.lab.submit()
        self.lab.clock.advance(3600)
        sensor = self.process(seal)
        poll_due(sensor, owner="sensor", budget_seconds=60)
        assert set(self.lab.states()) == {"succeeded"}
        self.polled = len(self.provider.polls)

    def expire(self, why: Callable[[], Exception]) -> list[str]:
        """Let every link that was given until now lead nowhere; give those that are tried."""
        given, tried = len(self.provider.polls), list[str]()

        def open_link(url: str) -> None:
            if int(url.rpartition("planted")[2]) <= given:
                tried.append(url)
                raise why()

        self.provider.on_link = open_link
        return tried

    def collect(self, seal: LinkSeal | None = SEAL) -> NightSummary:
        self.lab.clock.slept.clear()
        return collect_night(self.lab.night, self.process(seal), owner="images")

    def asked(self) -> int:
        """Tell how often the provider was asked for links after the sensor had done its polls."""
        return len(self.provider.polls) - self.polled

    def outputs(self) -> list[Output]:
        found = self.lab.ledger.outputs(self.lab.night)
        return [output for outputs in found.values() for output in outputs]

    def ledger_bytes(self) -> bytes:
        files = sorted(Path(self.lab.folder).glob("ledger.db*"))
        return b"".join(file.read_bytes() for file in files)


@pytest.fixture
def night(harness: LifecycleHarness) -> SensorNight:
    return SensorNight(harness)


def test_another_process_collects_without_asking_the_provider_again(night: SensorNight) -> None:
    night.provider.outputs = 2
    night.end("a cat", "a dog")

    summary = night.collect()

    assert (summary.images, night.asked(), len(night.provider.opened)) == (4, 0, 4)
    assert {output.sealed_link for output in night.outputs()} == {None}


def test_no_link_is_readable_in_the_ledger_s_files_before_or_after_it_was_of_use(
    night: SensorNight,
) -> None:
    night.end("a cat", "a dog")
    assert all(output.sealed_link for output in night.outputs())
    before = night.ledger_bytes()
    night.collect()

    for content in (before, night.ledger_bytes()):
        assert b"file_run_0001_0" in content, "the outputs are in what is read"
        assert b"planted" not in content
        assert HOST.encode() not in content
    assert not any("planted" in line for line in night.lab.lines)


EXPIRED: dict[str, Callable[[], Exception]] = {
    "403": lambda: TransferError("the link gives HTTP 403"),
    "cut": lambda: TransferError("cut"),
    "refused": lambda: OutputRefused("a page"),
    "401": lambda: AccountRejected("no", **ALIKE),
    "502": lambda: ProviderUnavailable("no", **ALIKE),
    "429": lambda: RateLimited("no", retry_after_seconds=50.0, **ALIKE),
}


@pytest.mark.parametrize("why", EXPIRED.values(), ids=EXPIRED)
def test_a_link_that_opens_no_more_is_tried_once_and_asked_for_once(
    night: SensorNight, why: Callable[[], Exception]
) -> None:
    night.end("a cat", "a dog")
    tried = night.expire(why)

    summary = night.collect()

    assert (summary.images, night.asked()) == (2, 2)
    assert len(tried) == len(set(tried)) == 2
    assert [(one.attempts, one.problem) for one in night.outputs()] == [(0, None)] * 2
    assert night.lab.clock.slept == []
    assert not any("not stored" in line or "planted" in line for line in night.lab.lines)


def test_a_link_that_leads_to_a_page_now_is_asked_for_once(night: SensorNight) -> None:
    night.end("a cat")
    given = len(night.provider.polls)
    page = b"<html>this link has expired</html>"
    night.provider.on_link = lambda url: page if url.endswith(f"planted{given}") else None

    assert (night.collect().images, night.asked()) == (1, 1)
    assert [(one.attempts, one.problem) for one in night.outputs()] == [(0, None)]


def test_a_picture_that_no_link_opens_is_noted_once_and_tried_by_the_next(
    night: SensorNight,
) -> None:
    night.end("a cat")
    night.provider.on_link = lambda _url: b"<html>no</html>"

    assert (night.collect().images, night.asked()) == (0, 1)
    [output] = night.outputs()
    assert output.attempts == 1
    assert output.problem

    night.provider.on_link = lambda _url: None
    assert (night.collect().images, night.asked()) == (1, 1)


def test_only_what_a_kept_link_did_not_open_is_fetched_by_a_fresh_one(night: SensorNight) -> None:
    night.provider.outputs = 2
    night.end("a cat")
    begun = len(night.provider.polls)

    def open_link(url: str) -> None:
        if "_1.png" in url and url.endswith(f"planted{begun}"):
            raise TransferError("gone")

    night.provider.on_link = open_link

    assert (night.collect().images, night.asked()) == (2, 1)
    assert [url.partition("?")[0][-6:] for url in night.provider.opened] == [
        "_0.png",
        "_1.png",
        "_1.png",
    ]


@pytest.mark.parametrize("seal", [OTHER_SEAL, None], ids=["another key", "no key"])
def test_links_that_cannot_be_unsealed_are_asked_for_once(
    night: SensorNight, seal: LinkSeal | None
) -> None:
    night.end("a cat", "a dog")

    summary = night.collect(seal)

    assert (summary.images, night.asked()) == (2, 2)
    assert [(one.attempts, one.problem) for one in night.outputs()] == [(0, None)] * 2
    assert all(url.endswith(("planted3", "planted4")) for url in night.provider.opened)


def test_without_a_seal_nothing_is_kept_and_each_run_is_asked_after_once_more(
    night: SensorNight,
) -> None:
    night.end("a cat", seal=None)

    assert [output.sealed_link for output in night.outputs()] == [None]
    assert (night.collect().images, night.asked()) == (1, 1)


def one_too_long(night: SensorNight) -> Callable[[str], RunReport]:
    def report(run: str) -> RunReport:
        first, second = night.provider.finished(run).outputs
        long = replace(second, url=f"{second.url}{'0' * links.LONGEST_LINK}")
        return replace(night.provider.finished(run), outputs=(first, long))

    return report


def test_only_outputs_without_a_kept_link_are_asked_for(night: SensorNight) -> None:
    night.provider.outputs = 2
    night.provider.on_poll = one_too_long(night)
    night.end("a cat")
    assert [output.sealed_link is None for output in night.outputs()] == [False, True]
    night.provider.on_poll = lambda _run: None
    given = len(night.provider.polls)

    assert (night.collect().images, night.asked(), len(night.provider.opened)) == (2, 1, 2)
    assert [url.rpartition("planted")[2] for url in night.provider.opened] == [
        str(given),
        str(given + 1),
    ]


GONE: dict[str, Callable[[], Exception]] = {
    "forgotten": lambda: NotFound("no such run", **ALIKE),
    "down": lambda: ProviderUnavailable("no", **ALIKE),
}


@pytest.mark.parametrize("why", GONE.values(), ids=GONE)
def test_what_kept_links_open_is_stored_though_the_provider_tells_of_it_no_more(
    night: SensorNight, why: Callable[[], Exception]
) -> None:
    night.provider.outputs = 2
    night.provider.on_poll = one_too_long(night)
    night.end("a cat")

    def fail(_run: str) -> RunReport:
        raise why()

    night.provider.on_poll = fail

    assert (night.collect().images, night.asked()) == (1, 1)
    stored, missing = night.outputs()
    assert stored.stored is not None
    assert "no fresh link to it: " in (missing.problem or "")


@pytest.mark.parametrize("why", GONE.values(), ids=GONE)
def test_a_kept_link_that_did_not_open_is_tried_again_another_day(
    night: SensorNight, why: Callable[[], Exception]
) -> None:
    night.end("a cat")
    night.expire(lambda: TransferError("cut"))

    def fail(_run: str) -> RunReport:
        raise why()

    night.provider.on_poll = fail
    assert night.collect().images == 0
    night.provider.on_link = lambda _url: None

    assert (night.collect().images, night.asked()) == (1, 1)


def test_a_text_beside_a_picture_is_kept_as_well(night: SensorNight) -> None:
    def with_text(run: str) -> RunReport:
        report = night.provider.finished(run)
        text = OutputRef(output_id="caption", kind="text", text="planted words")
        return replace(report, outputs=(*report.outputs, text))

    night.provider.on_poll = with_text
    night.end("a cat")
    assert b"planted words" not in night.ledger_bytes()

    summary = night.collect()

    assert (summary.stored, summary.images, night.asked()) == (2, 1, 0)


def test_a_link_of_an_id_that_no_database_keeps_is_opened_by_the_id_that_it_got(
    night: SensorNight,
) -> None:
    def strange(run: str) -> RunReport:
        report = night.provider.finished(run)
        [ref] = report.outputs
        return replace(report, outputs=(replace(ref, output_id="a\x00\ud800"),))

    night.provider.on_poll = strange
    night.end("a cat")

    assert (night.collect().images, night.asked()) == (1, 0)


def test_of_a_run_that_failed_no_link_is_kept(night: SensorNight) -> None:
    def fail(run: str) -> RunReport:
        return replace(night.provider.finished(run), state=SubmissionState.FAILED)

    night.provider.on_poll = fail
    night.lab.plan("a cat")
    night.lab.submit()
    night.lab.clock.advance(3600)
    poll_due(night.process(), owner="sensor", budget_seconds=60)

    assert [output.sealed_link for output in night.outputs()] == [None]


def test_where_ids_open_outputs_no_link_is_kept(night: SensorNight) -> None:
    night.provider.capabilities = Capabilities(durable_outputs=True)
    night.end("a cat")

    assert [output.sealed_link for output in night.outputs()] == [None]


def test_links_of_a_moment_ago_are_opened_before_kept_ones(night: SensorNight) -> None:
    night.end("a cat")
    ports = night.process()
    [submission] = night.lab.ledger.submissions(night.lab.night)
    recent = night.provider.finished("run_0001").outputs
    fresh = [replace(ref, url=f"{ref.url}9") for ref in recent]
    ports.caches.links.put(submission.submission_key, fresh, ports.clock.monotonic())

    collect_night(night.lab.night, ports, owner="images")

    assert night.provider.opened == [fresh[0].url]


@pytest.mark.parametrize("error", [StorageError, ConfigurationError])
def test_a_bucket_that_refuses_stops_everything_also_by_a_kept_link(
    night: SensorNight, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    night.end("a cat")

    def refuse(*_args: object, **_named: object) -> None:
        raise error("the bucket is full")

    monkeypatch.setattr(night.lab.store, "put_new", refuse)
    with pytest.raises(error, match="full"):
        night.collect()

    assert night.asked() == 0
    assert all(output.sealed_link for output in night.outputs())
    monkeypatch.undo()
    assert (night.collect().images, night.asked()) == (1, 0)
