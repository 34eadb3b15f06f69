"""`flow-pipelines demo`: last night's batch, bought from stand-ins, in a real Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from flow_pipelines.cli.demo_nights import (
    NightOfDemo,
    Progress,
    bought_meanwhile,
    find_nights,
    is_cut,
    open_demo_ledger,
    print_result,
)
from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import Children, ended_by_signals
from flow_pipelines.cli.services import (
    DagsterServices,
    RunningSandbox,
    clean_environment,
    start_sandbox,
)
from flow_pipelines.cli.webserver import UNFINISHED, Webserver
from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger import RunLedger

NIGHT_SECONDS = 300.0
"""How long the demo's night may take; about 40 s are usual."""
QUIET_SECONDS = 15.0
"""How long Dagster may take afterwards to end the runs that draw reports."""
IN_A_MINUTE = ("--median-seconds", "2")
"""Provider runs quick enough that a whole night takes about a minute."""
UI_PORT = 3000
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended before it was done."""


def run_demo(root: Path, *, port: int | None, leave: bool) -> int:
    """Run the demo in `root` and return its exit code; 0: pictures, and none failed.

    Raises: ConfigurationError, ServiceFailed.
    """
    console = Console()
    home = Home(root)
    home.prepare()
    try:
        with ended_by_signals(), home.occupied():
            demo = _Demo(home, console, SystemClock())
            return demo.run(UI_PORT if port is None else port, leave=leave)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return INTERRUPTED


@dataclass
class _Demo:
    home: Home
    console: Console
    clock: Clock

    def run(self, port: int, *, leave: bool) -> int:
        """Start everything, follow the night, then serve until Ctrl-C or `leave`."""
        self._drop_cut_night()
        with Children(self.home.logs, self.clock) as children:
            self.console.print("Starting the stand-ins, a bucket and Dagster …")
            environment = clean_environment(self.home, {})
            sandbox = start_sandbox(self.home, children, environment, *IN_A_MINUTE)
            services = DagsterServices(self.home, children, sandbox.environment)
            webserver = services.start(port)
            ledger = open_demo_ledger(self.home, self.clock)
            self.console.print(f"Dagster's UI: [link={webserver.url}]{webserver.url}[/link]")
            left_over = {run.run_id for run in webserver.runs(statuses=UNFINISHED)}
            nights = find_nights(webserver)
            complete = self._follow(webserver, ledger, nights, children)
            if complete:
                self._settle(webserver, left_over)
                nights += (later := bought_meanwhile(nights, find_nights(webserver), ledger))
                complete = self._watch(webserver, ledger, later, children)
            fine = self._show(ledger, nights, sandbox) and complete
            if leave:
                return 0 if fine else 1
            self._serve(webserver, children)
        return 0 if fine else 1

    def _drop_cut_night(self) -> None:
        """Start over where a former demo ended in the middle of a night.

        The stand-ins forget their runs when they end, so what was in flight can never arrive.
        """
        if is_cut(self.home, self.clock):
            self.console.print("The last demo was cut short, and its stand-ins are gone: anew.")
            self.home.forget()

    def _follow(
        self,
        webserver: Webserver,
        ledger: RunLedger,
        nights: Sequence[NightOfDemo],
        children: Children,
    ) -> bool:
        """Launch what is not bought yet and watch it; False: it was not done in time."""
        missing = [night for night in nights if not night.is_done(ledger)]
        for night in nights:
            if night not in missing:
                self.console.print(f"{night.night}: already bought; nothing is bought twice.")
        for night in missing:
            night.bought_now = True
            webserver.launch(night.schedule, night.request)
            self.console.print(f"{night.night}: launched as {night.schedule.name} does.")
        return self._watch(webserver, ledger, missing, children)

    def _watch(
        self,
        webserver: Webserver,
        ledger: RunLedger,
        nights: Sequence[NightOfDemo],
        children: Children,
    ) -> bool:
        """Watch nights until they are done; False: they were not in time."""
        deadline = self.clock.monotonic() + NIGHT_SECONDS
        progress = Progress(self.console, nights)
        with progress.bars:
            while not all(night.is_done(ledger) for night in nights):
                children.check()
                progress.update(ledger)
                if self.clock.monotonic() > deadline:
                    self.console.print(f"Not done after {NIGHT_SECONDS:.0f} s; see {webserver.url}")
                    return False
                self.clock.sleep(0.5)
            progress.update(ledger)
        return True

    def _settle(self, webserver: Webserver, left_over: set[str]) -> None:
        """Wait, bounded, for the runs of this session; an earlier one's may never end."""
        deadline = self.clock.monotonic() + QUIET_SECONDS
        while self.clock.monotonic() < deadline:
            if {run.run_id for run in webserver.runs(statuses=UNFINISHED)} <= left_over:
                return
            self.clock.sleep(0.5)

    def _show(
        self, ledger: RunLedger, nights: Sequence[NightOfDemo], sandbox: RunningSandbox
    ) -> bool:
        results = [night.result(ledger, sandbox.environment) for night in nights]
        return print_result(self.console, results, sandbox.control.state(), self.home)

    def _serve(self, webserver: Webserver, children: Children) -> None:
        self.console.print(f"Look around at {webserver.url}; Ctrl-C ends everything.")
        try:
            while True:
                children.check()
                self.clock.sleep(0.5)
        except KeyboardInterrupt:
            self.console.print("Stopping …")
