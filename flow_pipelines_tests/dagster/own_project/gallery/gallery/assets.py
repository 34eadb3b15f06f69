"""What this project makes itself: captions before the pictures, a list for the printer after."""

import dagster as dg
import pandas as pd

NIGHTS = dg.DailyPartitionsDefinition(start_date="2026-01-01")


@dg.asset(key_prefix="marketing", partitions_def=NIGHTS)
def captions(context: dg.AssetExecutionContext) -> pd.DataFrame:
    """The captions of a night."""
    night = context.partition_key
    names = ["harbour", "market"]
    return pd.DataFrame({"prompt_id": names, "prompt": [f"{name} on {night}" for name in names]})


@dg.asset(
    ins={
        "manifest": dg.AssetIn(["posters", "images"]),
        "captions": dg.AssetIn(["marketing", "captions"]),
    },
    partitions_def=NIGHTS,
)
def print_list(manifest: pd.DataFrame, captions: pd.DataFrame) -> pd.DataFrame:
    """What the printer gets: a row a picture, with its caption."""
    pictures = manifest[["prompt_id", "s3_uri", "sha256", "cost_usd"]]
    return captions.merge(pictures, on="prompt_id", validate="one_to_many")
