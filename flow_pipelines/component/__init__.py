"""The components that users write YAML for."""

from flow_pipelines.component.comparison import PromptComparisonComponent
from flow_pipelines.component.prompt_batch import PromptBatchComponent
from flow_pipelines.component.shared import BatchSource

__all__ = ["BatchSource", "PromptBatchComponent", "PromptComparisonComponent"]
