"""Progress of a night as observations of `<name>/provider_runs`: at most ten a generation."""

import dagster as dg

from flow_pipelines.lifecycle import NightProgress

MOST = 10
"""Of one generation of a partition: one for each tenth of its rows that has ended."""


def observation(progress: NightProgress, partition_key: str | None) -> dg.AssetObservation:
    """Return an observation of a night's progress: numbers that Dagster plots, and a sentence.

    `partition_key` is None without partitions.
    """
    end = progress.expected_end_at
    return dg.AssetObservation(
        asset_key=_asset(progress),
        partition=partition_key,
        description=progress.in_words(),
        metadata={
            "generation": progress.generation,
            "percent": progress.percent,
            "rows": progress.rows,
            "done": progress.succeeded,
            "failed": progress.failed,
            "in_flight": progress.in_flight,
            "planned": progress.planned,
            "cost_usd": float(progress.cost_usd),
            **({"expected_end": dg.MetadataValue.timestamp(end.timestamp())} if end else {}),
        },
    )


def last_observed_tenth(
    instance: dg.DagsterInstance, progress: NightProgress, partition_key: str | None
) -> int:
    """Return the last tenth of this generation that the event log has already.

    A cursor can be reset, and a tick that died has stored its events but no cursor.
    """
    stored = instance.fetch_observations(
        dg.AssetRecordsFilter(
            asset_key=_asset(progress),
            asset_partitions=None if partition_key is None else [partition_key],
        ),
        limit=MOST,
    )
    events = [record.event_log_entry.asset_observation for record in stored.records]
    return max((_tenth(event, progress.generation) for event in events if event), default=0)


def _tenth(event: dg.AssetObservation, generation: int) -> int:
    numbers = [event.metadata.get(name) for name in ("generation", "percent")]
    known = [number.value for number in numbers if isinstance(number, dg.IntMetadataValue)]
    # Anybody may report an observation; one without these numbers is not ours.
    return (known[1] or 0) // MOST if len(known) == len(numbers) and known[0] == generation else 0


def _asset(progress: NightProgress) -> dg.AssetKey:
    return dg.AssetKey([progress.night.batch, "provider_runs"])
