"""The settings of a prompt batch that money and time depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """A prompt batch as `defs.yaml` gives it, without anything of Dagster."""

    name: str
    provider: str
    resource: str
    workflow: str
    """File (relative to `base_dir`), s3:// URI, workflow id or slug: the provider knows which."""
    base_dir: str = "."
    """Folder of the batch's `defs.yaml`; relative files are read from here."""
    prompts: str | None = None
    """Prompt table: file relative to `base_dir` or s3:// URI, may hold `{partition_key}`;
    None: the table comes from an upstream asset."""
    prompts_asset: str | None = None
    """Key of the upstream asset, slash separated."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Provider parameter → template (text) or literal (anything else)."""
    defs_file: str | None = None
    """Path of the `defs.yaml`, for messages; None when built in Python."""
    defs_name: str | None = None
    """Name of the component there, where it is not the batch's own."""
    defs_path: tuple[str | int, ...] = ()
    """Where below `attributes` the batch is written; empty: it is all of them."""
    time_partitioned: bool = False
    runs_per_prompt: int = 1
    budget_usd: Decimal | None = None
    """Of one partition."""
    daily_budget_usd: Decimal | None = None
    """Of the provider over all batches, by UTC day of the intent."""
    price_usd_per_run: Decimal | None = None
    """Where the provider states no price."""
    run_timeout_seconds: float = 3600.0
    inline_wait_seconds: float = 600.0
    allow_identical: bool = False
    stop_after_failures: int = 10
    """When the first so many ended provider runs all failed, nothing more is sent."""
