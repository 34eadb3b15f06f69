"""Lets libraries read once a process what they read anew for each project, instance and client.

Two thirds of what loading a test's project takes is a description of every installed component;
half of what an empty instance takes is reading the scripts of migrations that it need not run;
an S3 client reads megabytes of botocore's descriptions. None of it changes while tests run.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
import dagster as dg
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster.components.core import load_defs

_describe = cache(load_defs.get_library_json_enriched_defs)
_read = ScriptDirectory.from_config
_scripts: dict[str, ScriptDirectory] = {}


def _described(tree: Any) -> dg.Definitions:
    return dg.Definitions(metadata=_describe(None).metadata, component_tree=tree)


def _read_once(config: Config) -> ScriptDirectory:
    location = config.get_main_option("script_location") or ""
    if not location.startswith("dagster:"):
        return _read(config)
    if location not in _scripts:
        _scripts[location] = _read(config)
    return _scripts[location]


load_defs.get_library_json_enriched_defs = _described
ScriptDirectory.from_config = _read_once
botocore.session.create_loader = cache(botocore.session.create_loader)
