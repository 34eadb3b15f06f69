"""What a sandbox can be told: where it listens, and how its world behaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DEFAULT_PORT = 8700
DEFAULT_BUCKET_PORT = 8701
DEFAULT_BUCKET = "flow-pipelines-sandbox"


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How the stand-ins behave; may be changed while they run."""

    seed: int = 0
    """Decides every drawn duration and failure, together with the request itself."""
    median_seconds: float = 8.0
    """Median time a run spends running, not counting its time in the queue."""
    sigma: float = 0.5
    """Spread of that time: the standard deviation of its logarithm."""
    time_scale: float = 1.0
    """How many times faster than life runs go; 100 turns 8 s into 80 ms. FloTime is not scaled."""
    slots: int = 4
    """Runs of one key that run at the same time; the others wait in the queue."""
    failure_rate: float = 0.0
    """Share of runs that fail by themselves."""
    requests_per_window: int | None = None
    """Rate limit of one key; None: what the provider documents."""
    window_seconds: float = 60.0
    """Length of a rate limit window, by the wall clock."""
    checkpoints: Sequence[str] | None = None
    """Models that Floyo's hosts have, as `ckpt_name` says them; None: whatever a graph names."""
    cached_outputs: Literal["none", "same"] = "none"
    """What a run with a graph that ran before gives back: nothing, or the same pictures."""
    undocumented_run_list: bool = True
    """Whether Floyo answers `GET /runs`, which its documentation does not mention."""
    comflowy_token_seconds: float = 3600.0
    """How long an access token of Comflowy is good for; 0: not for a single request."""
    comflowy_token_is_jwt: bool = False
    """Whether Comflowy's tokens are JWT, which say when they end, or say nothing."""
    flora_idempotency: Literal["replay_current", "replay_stored", "duplicate_409"] = "replay_stored"
    """Which of FLORA's three accounts of what a copy of a request does is the true one."""
    flora_idempotency_lag_seconds: float = 0.0
    """How long after a run was accepted its key is not known yet: copies are not coalesced."""
    flora_webhook_secrets: Sequence[str] = ("whsec_sandbox_0123456789abcdef",)
    """What FLORA signs its webhooks with, newest first; two while the secret is changed."""
    extra_outputs: Sequence[str] = ()
    """Kinds of `files.KINDS`: one of each beside a run's pictures, at Floyo and Comflowy."""
    comflowy_links_signed_in_path: bool = False
    """Whether a link's signature is in its path and not in its query, so that no part lasts."""
    max_picture_side: int = 1024
    """Pictures are drawn at the workflow's size, but no larger than this, in pixels."""


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """Everything that is fixed when a sandbox starts."""

    host: str = "127.0.0.1"
    """Address, or name of one, to listen on; 0.0.0.0: all of this machine's."""
    https: bool = False
    """Whether the stand-ins speak https; the bucket, which is sent no key, never does."""
    certificate: Path | None = None
    """What https is served with; without `key`: where the sandbox's own is written."""
    key: Path | None = None
    port: int = DEFAULT_PORT
    """0 takes any free port, here and for the bucket."""
    bucket_port: int = DEFAULT_BUCKET_PORT
    bucket: str = DEFAULT_BUCKET
    bucket_folder: Path | None = None
    """Where the bucket's objects live as files; None: a folder that goes away with the sandbox."""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Accepted API keys by provider; a provider that is not named accepts its default key."""
    tuning: Tuning = field(default_factory=Tuning)
    max_runs: int = 100_000
    """Runs that are remembered; the oldest are forgotten first, their bills are not."""
    max_requests: int = 50_000
    """Requests that the log remembers; counts go on."""
