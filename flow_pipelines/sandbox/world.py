"""Everything that the stand-ins share: clock, runs, meter, limits, faults, pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from flow_pipelines.sandbox.courier import Courier, Letter, Signer, Writer
from flow_pipelines.sandbox.faults import Action, Faults
from flow_pipelines.sandbox.life import Life, Run
from flow_pipelines.sandbox.limits import Limits, Standing
from flow_pipelines.sandbox.meter import Meter, Reading
from flow_pipelines.sandbox.pictures import Studio
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines.sandbox.wire import Dialect


class World:
    """One sandbox's state, in this process only."""

    def __init__(self, settings: SandboxSettings, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.now = now
        self.meter = Meter(settings.max_requests)
        self.life = Life(now, self._bill, settings.max_runs)
        self.limits = Limits()
        self.faults = Faults(settings.tuning.seed)
        self.studio = Studio()
        self.courier = Courier(now)
        self.tuning = settings.tuning
        self.configure()

    def configure(self, **changes: Any) -> Tuning:
        """Change how the stand-ins behave, from the next request on.

        Raises: ValueError, naming a setting that does not exist or cannot be that.
        """
        unknown = set(changes) - {one.name for one in fields(Tuning)}
        if unknown:
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
        tuning = replace(self.tuning, **changes)
        if min(tuning.slots, tuning.time_scale, tuning.median_seconds, tuning.window_seconds) <= 0:
            raise ValueError("slots, time_scale, median_seconds and window_seconds are above 0")
        self.tuning = self.life.tuning = tuning
        self.studio.max_side = tuning.max_picture_side
        return tuning

    def keys(self, dialect: Dialect) -> dict[str, str]:
        """Return the accepted keys of a provider with their labels."""
        keys = self.settings.keys.get(dialect.name) or (dialect.default_key,)
        return {key: f"{dialect.name}-key-{number}" for number, key in enumerate(keys, 1)}

    def take_turn(self, dialect: Dialect, account: str) -> Standing:
        """Count one request of `account` under its rate limit."""
        limit = self.tuning.requests_per_window
        return self.limits.take(
            (dialect.name, account),
            self.now(),
            limit=dialect.requests_per_minute if limit is None else limit,
            window=self.tuning.window_seconds,
        )

    def wait(self, run: Run, patience_seconds: float) -> bool:
        """Block until a run has ended (a synchronous call's way); False: patience ran out."""
        deadline = time.monotonic() + patience_seconds
        while not run.state(self.now()).ended:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def call_back(
        self,
        run: Run,
        url: str,
        write: Writer,
        pauses: Sequence[float] = (),
        sign: Signer | None = None,
    ) -> None:
        """Post what `write` gives to `url` when `run` has ended; again after each pause."""
        provider = run.order.provider
        text = f"{url} {run.order.label}"
        fault = self.faults.pick(provider, "callback", text, _any_action)
        self.courier.take(
            Letter(
                url=url,
                due=lambda: run.ends_at,
                write=write,
                pauses=pauses,
                sign=sign,
                fault=fault,
            )
        )

    def readings(self, providers: Sequence[str]) -> dict[str, Reading]:
        """Read the meters."""
        return {name: self.meter.reading(name, self.life.spending(name)) for name in providers}

    def reset(self) -> None:
        """Forget runs, bills, requests, counts and faults; behavior stays as it was told."""
        self.life.reset()
        self.meter.reset()
        self.limits.reset()
        self.faults.clear()
        self.courier.reset()

    def _bill(self, run: Run) -> None:
        self.meter.bill(run.order.provider, run.order.label or run.order.request_hash)


def _any_action(action: Action) -> bool:
    del action
    return True
