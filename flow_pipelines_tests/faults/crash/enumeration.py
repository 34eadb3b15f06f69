"""Kills a night's process at each of its effects, restarts, and collects what was violated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flow_pipelines.ledger.contract import REFUSED_ALIKE
from flow_pipelines.lifecycle import Ports
from flow_pipelines.lifecycle.requests import submit_request
from flow_pipelines.model import BatchSettings
from flow_pipelines.provider import Purpose
from flow_pipelines.providers import profile
from flow_pipelines_tests.faults.crash import night as scenes
from flow_pipelines_tests.faults.crash.effects import KILLED, Effects
from flow_pipelines_tests.faults.crash.forking import Ended, fork
from flow_pipelines_tests.faults.crash.harness import PRICE, CrashHarness
from flow_pipelines_tests.faults.crash.night import Known
from flow_pipelines_tests.faults.crash.verdict import judge

COPIES = 6
"""Of a request whose key makes them replays: their distance doubles, from 2 minutes to 90."""
AFTER_DEATH_SECONDS = 61.0
"""Until every lease and claim of a dead process is over."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A night, and the deaths that come before the one that is enumerated."""

    name: str
    rows: int = scenes.ROWS
    troubled: bool = False
    refused: bool = False
    """Every row is, alike, until somebody mends their prompts."""
    until: str = ""
    """The first effect of this name is the last that is enumerated; empty: all are."""
    first_death: Callable[[Sequence[str]], int] | None = None
    """From the instants of an undisturbed process; None: the first process is enumerated."""


def _second_purchase(instants: Sequence[str]) -> int:
    bought = [n for n, name in enumerate(instants, 1) if name.startswith("after transport.buy")]
    return bought[1]


SCENES = (
    Scene(name="night"),
    Scene(name="restart", first_death=_second_purchase),
    Scene(name="trouble", rows=scenes.TROUBLED_ROWS, troubled=True),
    Scene(name="refused", rows=scenes.REFUSED_ROWS, refused=True, until="ledger.record_receipt"),
)


@dataclass(kw_only=True)
class Report:
    """What one purpose's share of a scene's kill points showed."""

    provider: str
    scene: str
    points: int = 0
    """Kill points that exist."""
    tried: int = 0
    violations: list[str] = field(default_factory=list)
    unresolved_after: list[str] = field(default_factory=list)
    """Kill points that left an unresolved submission."""
    unasked_after: list[str] = field(default_factory=list)
    """Kill points before anything was bought, after which the night had to be asked for again."""
    effects: set[str] = field(default_factory=set)
    """Names of the effects that have kill points, tried in this run or not."""


_REFUSAL = "after ledger.reject_submission"
_INTENDED = {"after ledger.begin_submission"}
_SENT = {"before ledger.record_receipt"}
_INTENT = {
    *_INTENDED,
    *_SENT,
    "after ledger.record_receipt",
    "after ledger.park_submission",
    "after ledger.return_to_plan",
    _REFUSAL,
}


def _repeats(before: str, name: str) -> bool:
    """Return whether nothing happened outside between two instants that follow each other."""
    return name.startswith("before ") and before.startswith("after ")


class Enumeration:
    """One scene on one harness."""

    def __init__(self, harness: CrashHarness, scene: Scene, known: Known) -> None:
        self.harness, self.scene, self.known = harness, scene, known
        self.report = Report(provider=harness.provider, scene=scene.name)
        self._nights = 0
        harness.lay_out(scene.rows)

    def run(self, *, every: Callable[[int], bool], twice: bool) -> Report:
        """Try the kill points whose number `every` picks.

        After an effect and before the next one the world outside is the same, for nothing but
        watched effects changes it; `twice` tries both instants all the same.
        """
        first, every_instant = self._baseline()
        instants = self._enumerated(every_instant)
        points = [
            number
            for number, name in enumerate(instants, 1)
            if twice or number == 1 or not _repeats(instants[number - 2], name)
        ]
        self.report.points = len(points)
        self.report.effects = {name.split(" ", 1)[1] for name in every_instant}
        for index, death in enumerate(points):
            if every(index):
                self._try(first, instants[:death])
        return self.report

    def _enumerated(self, instants: Sequence[str]) -> Sequence[str]:
        if not self.scene.until:
            return instants
        return instants[: instants.index(f"after {self.scene.until}") + 1]

    def _baseline(self) -> tuple[list[int], Sequence[str]]:
        """Return the death that comes first, and the instants of the process that is enumerated."""
        (undisturbed,) = self._play([])
        self._judge("without any death", undisturbed.instants, undisturbed)
        if self.scene.first_death is None:
            return [], undisturbed.instants
        first = self.scene.first_death(undisturbed.instants)
        _, restarted = self._play([first])
        self._judge("without a second death", undisturbed.instants[:first], restarted)
        return [first], restarted.instants

    def _try(self, first: list[int], reached: Sequence[str]) -> None:
        *dead, last = self._play([*first, len(reached)])
        point, found = f"#{len(reached)} {reached[-1]}", self.report.violations
        self.report.tried += 1
        for one in dead:
            if one.status != KILLED:
                found.append(f"{point}: not killed, ended with {one.status}: {one.problem}")
        if tuple(reached) != dead[-1].instants:
            found.append(f"{point}: did otherwise before it than when undisturbed")
        result = self._judge(point, reached, last)
        if result.get("unresolved"):
            self.report.unresolved_after.append(point)
        if result.get("unasked"):
            self.report.unasked_after.append(point)

    def _judge(self, point: str, reached: Sequence[str], last: Ended) -> Mapping[str, Any]:
        """Note everything that must not be after the last process has ended."""
        found = self.report.violations
        if last.status or last.result is None:
            found.append(f"{point}: the last process ended with {last.status}: {last.problem}")
            return {}
        found += [f"{point}: {one}" for one in last.result["violations"]]
        found += [f"{point}: {one}" for one in self._unexpected(reached, last.result)]
        return last.result

    def _unexpected(self, reached: Sequence[str], result: Mapping[str, Any]) -> Iterator[str]:
        """Say what may be after some deaths only, and was after this one."""
        if result["unasked"] and "after ledger.mark_night" in reached:
            yield "a night that was marked had to be asked for again"
        if self.scene.troubled:
            return
        succeeded, unresolved = result["states"].get("succeeded", 0), result["unresolved"]
        if succeeded + unresolved != self.scene.rows:
            yield f"ended as {result['states']}"
        allowed = self._may_be_unresolved(reached)
        if unresolved > allowed:
            yield f"{unresolved} unresolved, {allowed} may be"
        if result["billed"] - succeeded > unresolved:
            yield f"{result['billed']} billed, {succeeded} succeeded, {unresolved} unresolved"
        if result["refused"] > self._refused_at_most(reached):
            yield f"{result['refused']} requests were refused"

    def _refused_at_most(self, reached: Sequence[str]) -> int:
        """Count the refusals that stop a night, and those of a row whose refusal was not noted."""
        if not self.scene.refused:
            return 0
        lost = self._is_refusing(reached) and self._may_be_unresolved(reached)
        copies = COPIES if profile(self.harness.provider).capabilities.replays else 0
        return REFUSED_ALIKE + lost * (1 + copies)

    def _is_refusing(self, reached: Sequence[str]) -> bool:
        """Return whether no stop was noted: what is sent is refused.

        There is no run to be found then, and that a copy is refused proves nothing of the first.
        """
        return self.scene.refused and reached.count(_REFUSAL) < REFUSED_ALIKE

    def _may_be_unresolved(self, reached: Sequence[str]) -> int:
        """Count deaths between intent and receipt at a provider that cannot tell."""
        known = profile(self.harness.provider).capabilities
        refusing = self._is_refusing(reached)
        tells = (known.replays or known.find) and not refusing
        steps = [name for name in reached if name in _INTENT or "transport.buy" in name]
        last = steps[-1] if steps else ""
        allowed = 0 if self.scene.first_death is None or tells else 1
        if last in _SENT or last.startswith("after transport.buy"):
            return allowed + (not tells)
        if last in _INTENDED or last.startswith("before transport.buy"):
            return allowed + (not known.replays or refusing)
        return allowed

    def _play(self, deaths: Sequence[int]) -> list[Ended]:
        """Run one process after the other on a fresh night; the last one lives and judges."""
        self._nights += 1
        harness, name = self.harness, f"{self.scene.name}-{self._nights}"
        harness.begin_anew()
        ended = []
        for number, death in enumerate([*deaths, None]):
            ended.append(fork(self._process(name, number, death)))
            harness.clock.advance(AFTER_DEATH_SECONDS)
        harness.forget(name)
        return ended

    def _prepare(self) -> None:
        self.harness.control.reset()
        if self.scene.troubled:
            scenes.make_trouble(self.harness, self.known)
        if self.scene.refused:
            scenes.refuse_all(self.harness, self.known)

    def _work(self, settings: BatchSettings, ports: Ports, number: int) -> bool:
        """Work on the night as one process does; True: it had to be asked for again."""
        unasked = False
        if number:
            unasked = scenes.restart(settings, ports, f"restart-{number}")
        elif self.scene.refused:
            scenes.buy(settings, ports, "run-0")
        else:
            scenes.one_run(settings, ports, "run-0")
        if self.scene.troubled and not number:
            scenes.by_sensors(settings, ports, "sensor-0")
        if self.scene.refused:
            scenes.mend(self.harness, settings, ports, f"mended-{number}")
        return unasked

    def _budget(self) -> Decimal | None:
        if not self.scene.troubled:
            return None
        return scenes.TROUBLED_BUDGET_RUNS * Decimal(self.known.price_usd)

    def _process(
        self, name: str, number: int, death: int | None
    ) -> Callable[[Callable[[str], None]], Mapping[str, Any] | None]:
        def process(tell: Callable[[str], None]) -> Mapping[str, Any]:
            if number == 0:
                self._prepare()
            ports = self.harness.open_ports(name, Effects(death, tell))
            settings = self.harness.settings(budget_usd=self._budget())
            unasked = self._work(settings, ports, number)
            return judge(self.harness, ports, name, unasked=unasked)

        return process


def known_of(harness: CrashHarness) -> Known:
    """Return the stand-in's names of the requests that buy, poll and download."""
    harness.lay_out(1)
    harness.begin_anew()

    def probe(tell: Callable[[str], None]) -> Mapping[str, Any]:
        ports = harness.open_ports("probe", Effects(None, tell))
        planned = scenes.plan_night(harness.settings(), scenes.NIGHT.partition_key, ports)
        ports.provider.take_turn(Purpose.SUBMIT)
        first = next(ports.ledger.each_submission(scenes.NIGHT))
        receipt = ports.provider.submit(submit_request(ports, first))
        submit = harness.control.requests()[-1].operation
        harness.clock.advance(120)
        report = ports.provider.poll(receipt.provider_run_id, planned.workflow)
        poll = harness.control.requests()[-1].operation
        with ports.provider.fetch(report.outputs[0], max_bytes=10_000_000) as download:
            download.read()
        return {
            "submit": submit,
            "poll": poll,
            "fetch": harness.control.requests()[-1].operation,
            "price_usd": str(ports.provider.estimate_usd(planned.workflow, PRICE)),
        }

    ended = fork(probe)
    if ended.result is None:
        raise RuntimeError(ended.problem)
    return Known(**ended.result)
