"""The component that users write YAML for."""

from flow_pipelines.component.prompt_batch import PromptBatchComponent

__all__ = ["PromptBatchComponent"]
