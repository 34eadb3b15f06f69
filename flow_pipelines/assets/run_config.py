"""What a person may ask of a run of our assets, beyond what they do by themselves."""

from typing import Any

import dagster as dg
from pydantic import Field, field_validator

_WORDS = ("none", "failed", "changed", "all")


class ProviderRunsConfig(dg.Config):
    """What a person may ask of one run beyond submitting what is planned."""

    regenerate: Any = Field(
        default="none",
        description=(
            "Buy rows of the partition again, on purpose: none, failed (rows without a picture), "
            "changed (rows that differ from what was bought), all, or {prompt_ids: [...]}. Costs "
            "money. Retries of this run do not buy again."
        ),
    )
    limit: int | None = Field(
        default=None, ge=1, description="Submit at most so many rows; the others stay planned."
    )

    @field_validator("regenerate")
    @classmethod
    def _known_scope(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _WORDS:
            return value
        ids = value.get("prompt_ids") if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(ids, list) or not ids:
            raise ValueError(
                f"regenerate must be one of {', '.join(_WORDS)}, or {{prompt_ids: [id, …]}} with "
                "at least one id"
            )
        return {"prompt_ids": [str(prompt_id) for prompt_id in ids]}


class CostReportConfig(dg.Config):
    """What a person may ask of one run."""

    rebuild: bool = Field(
        default=False,
        description="Sum up the whole ledger, and not only what changed since the last report.",
    )
