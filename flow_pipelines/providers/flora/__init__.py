"""FLORA: techniques, saved workflows with typed inputs and a price of their own.

Sources: developer.flora.ai, FLORA's OpenAPI document and SDK (@flora-ai/flora 0.11.0).
"""

from __future__ import annotations

from flow_pipelines.providers.flora.adapter import MAX_LISTED, FloraProvider
from flow_pipelines.providers.flora.callbacks import read_callback
from flow_pipelines.providers.flora.client import FloraClient
from flow_pipelines.providers.flora.media import SIGNED_URL, AssetFile
from flow_pipelines.providers.flora.profile import PROFILE
from flow_pipelines.providers.flora.records import (
    Asset,
    Model,
    ModelParam,
    Port,
    Project,
    RunOutput,
    Technique,
    TechniqueRun,
    Upload,
    Workspace,
)
from flow_pipelines.providers.flora.reports import STATES
from flow_pipelines.providers.flora.workflows import input_type

__all__ = [
    "MAX_LISTED",
    "PROFILE",
    "SIGNED_URL",
    "STATES",
    "Asset",
    "AssetFile",
    "FloraClient",
    "FloraProvider",
    "Model",
    "ModelParam",
    "Port",
    "Project",
    "RunOutput",
    "Technique",
    "TechniqueRun",
    "Upload",
    "Workspace",
    "input_type",
    "read_callback",
]
