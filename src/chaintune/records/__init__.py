"""Frozen values that travel between rooms. No torch, no configuration, no behaviour beyond reading.

Words follow the glossary in `docs/explanation/definitions.md`.
"""

from chaintune.records.audit import Audit
from chaintune.records.comparison import Comparison, Disparity, GroupComparison
from chaintune.records.curvature import CheckpointCurvature, Curvature, LossLine, Space
from chaintune.records.examples import (
    Choices,
    Example,
    Message,
    Preference,
    Reference,
    Role,
    Target,
    Task,
    canonical_digest,
    examples_digest,
)
from chaintune.records.figures import Figure, Section
from chaintune.records.gate import Answer, Gate, Judgement, Measure, Tier
from chaintune.records.items import ITEMS_SCHEMA, ItemScores, items_table
from chaintune.records.mitigations import Choice, Limits, MitigationRef, Who
from chaintune.records.recipe import Recipe, Regulariser
from chaintune.records.results import Estimate, Measured, ResultRow, Verdict, rows_to_polars
from chaintune.records.scores import SCORES_SCHEMA, Metric, Scores, scores_table

__all__ = [
    "ITEMS_SCHEMA",
    "SCORES_SCHEMA",
    "Answer",
    "Audit",
    "CheckpointCurvature",
    "Choice",
    "Choices",
    "Comparison",
    "Curvature",
    "Disparity",
    "Estimate",
    "Example",
    "Figure",
    "Gate",
    "GroupComparison",
    "ItemScores",
    "Judgement",
    "Limits",
    "LossLine",
    "Measure",
    "Measured",
    "Message",
    "Metric",
    "MitigationRef",
    "Preference",
    "Recipe",
    "Reference",
    "Regulariser",
    "ResultRow",
    "Role",
    "Scores",
    "Section",
    "Space",
    "Target",
    "Task",
    "Tier",
    "Verdict",
    "Who",
    "canonical_digest",
    "examples_digest",
    "items_table",
    "rows_to_polars",
    "scores_table",
]
