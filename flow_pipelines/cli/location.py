"""A Dagster code location as commands see it: its batches, and its accounts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import dagster as dg

from flow_pipelines.assets import Batch
from flow_pipelines.component import BatchSource
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError
from flow_pipelines.resources import (
    ImageStoreResource,
    ProviderResource,
    default_resources,
)
from flow_pipelines.resources.ports import OpenAccounts

OURS = "flow_pipelines.definitions"

_Resource = TypeVar("_Resource", ProviderResource, ImageStoreResource)


class Accounts:
    """The resources of a code location, each made ready when it is asked for."""

    def __init__(
        self, resources: Mapping[str, Any] | None = None, batches: Collection[str] | None = None
    ) -> None:
        """Take these; without any, those that the environment gives.

        `batches` are the prompt batches of the code location; None: nobody knows them.
        """
        self._resources = default_resources() if resources is None else resources
        self.of_location = resources is not None
        self.batches = batches

    @classmethod
    def of(cls, module: str | None) -> Self:
        """Take those of a module's definitions; None: those that the environment gives."""
        if not module:
            return cls()
        location = load_location(module)
        return cls(location.resources or {}, [batch.name for batch in batches_of(location)])

    def provider_keys(self) -> Sequence[str]:
        """Return the resource key of every account of a provider."""
        named = self._resources.items()
        return [key for key, resource in named if isinstance(resource, ProviderResource)]

    def get(self, key: str, kind: type[_Resource]) -> _Resource:
        """Return the resource under `key`, with its variables filled in.

        Raises: ConfigurationError, where there is none of that kind, or a variable is not set.
        """
        resource = self._resources.get(key)
        if not isinstance(resource, kind):
            known = ", ".join(sorted(self._resources))
            raise ConfigurationError(
                f"no {kind.__name__} under the key {key!r}; known keys: {known}. Give --module, "
                "if another module of definitions has it"
            )
        try:
            ready = resource.process_config_and_initialize()
        except dg.DagsterInvalidConfigError as error:
            message = "; ".join(fault.message for fault in error.errors)
            raise ConfigurationError(f"resource {key!r}: {message}") from None
        return ready if isinstance(ready, kind) else resource

    def opened(self, ledger: RunLedger, log: Callable[[str], None]) -> OpenAccounts:
        """Return what opens these accounts on a ledger. Raises: ConfigurationError."""
        image_store = self.get("image_store", ImageStoreResource)

        def find(key: str) -> ProviderResource:
            return self.get(key, ProviderResource)

        return OpenAccounts(ledger, image_store, find, log)


def load_location(module: str) -> dg.Definitions:
    """Import a module and return its definitions, as Dagster would. Runs the module's code.

    Raises: ConfigurationError, for a module without exactly one; whatever the module raises.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"there is no module {module} here; give --module the module of your definitions, "
            "such as my_project.definitions"
        ) from error
    return _definitions(module, vars(loaded))


def _definitions(module: str, names: Mapping[str, Any]) -> dg.Definitions:
    # What @dg.definitions makes of a function has no public type.
    lazy = [value for value in names.values() if type(value).__name__ == "LazyDefinitions"]
    found = lazy or [value for value in names.values() if isinstance(value, dg.Definitions)]
    if len(found) != 1:
        raise ConfigurationError(
            f"module {module} has {len(found)} definitions; one is needed: a function under "
            "@dg.definitions, or a dg.Definitions"
        )
    made_or_function = found[0]
    try:
        is_made = isinstance(made_or_function, dg.Definitions)
        definitions = made_or_function if is_made else made_or_function()
    except Exception as error:
        own_error = _own_error_within(error)
        if own_error is None:
            raise
        raise own_error from None
    if not isinstance(definitions, dg.Definitions):
        raise ConfigurationError(f"module {module} gives no dg.Definitions")
    return definitions


def _own_error_within(error: BaseException) -> FlowPipelinesError | None:
    """Return the error that is ours: Dagster wraps it in errors of its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, FlowPipelinesError):
        cause = cause.__cause__ or cause.__context__
    return cause


def batches_of(definitions: dg.Definitions) -> Sequence[Batch]:
    """Return every prompt batch that the components of a code location have built, by name."""
    tree = definitions.component_tree
    components = tree.get_all_components(of_type=BatchSource) if tree else []  # type: ignore[type-abstract]
    batches = [batch for component in components for batch in component.built]
    return sorted(batches, key=lambda batch: batch.name)


def find_batch(definitions: dg.Definitions, name: str) -> Batch:
    """Return a prompt batch. Raises: ConfigurationError, naming those that there are."""
    batches = batches_of(definitions)
    for batch in batches:
        if batch.name == name:
            return batch
    known = ", ".join(batch.name for batch in batches) or "none"
    raise ConfigurationError(
        f"no prompt batch {name!r} here; known: {known}. Give --module, if another module of "
        "definitions has it"
    )
