"""Frozen values that travel between rooms. No torch, no configuration, no behaviour beyond reading.

Words follow the glossary in `docs/explanation/definitions.md`.
"""

from chaintune.records.adapter import REFUSED_TYPES, PeftSettings, starts_plain
from chaintune.records.answers import NO_ANSWERS, Answers
from chaintune.records.audit import Audit
from chaintune.records.checkpoint import Chain, ChainStep, Checkpoint, Settings, chain_label, variant_label
from chaintune.records.choice import CHOICE_METRICS, Metric, choice_measurement
from chaintune.records.comparison import Auc, Bounds, Comparison, Disparity, GroupComparison, SecondLine
from chaintune.records.curvature import CheckpointCurvature, Curvature, Space
from chaintune.records.examples import (
    Chat,
    Choices,
    Example,
    Message,
    Preference,
    Reference,
    Role,
    Target,
    canonical_digest,
    examples_digest,
)
from chaintune.records.figures import Figure, Section
from chaintune.records.gate import Answer, BudgetStatistic, Gate, Judgement, Tier
from chaintune.records.generation import (
    GeneratedText,
    Generation,
    Remember,
    ScorerRef,
    Texts,
    generation_measurement,
)
from chaintune.records.items import ITEMS_SCHEMA, items_table, plain_scores
from chaintune.records.likelihood import LIKELIHOOD_METRICS, likelihood_measurement
from chaintune.records.measurements import Measurement
from chaintune.records.metrics import ItemMetric
from chaintune.records.mitigations import Limits, MitigationRef, Recommendation, Who
from chaintune.records.overlap import GradientOverlap
from chaintune.records.power import GroupPower, SimulatedPower
from chaintune.records.preference import PREFERENCE_METRICS, preference_measurement
from chaintune.records.recipe import Recipe, Regulariser, Resources
from chaintune.records.results import (
    ALL_SEEDS,
    CheckpointScores,
    Estimate,
    ForgettingFrom,
    ResultRow,
    RowKey,
    SeedVariance,
    Verdict,
    pooled,
    rows_to_polars,
)
from chaintune.records.scores import SCORES_SCHEMA, Scores, scores_of, scores_table
from chaintune.records.series import Series
from chaintune.records.task import Task

__all__ = [
    "ALL_SEEDS",
    "CHOICE_METRICS",
    "ITEMS_SCHEMA",
    "LIKELIHOOD_METRICS",
    "NO_ANSWERS",
    "PREFERENCE_METRICS",
    "REFUSED_TYPES",
    "SCORES_SCHEMA",
    "Answer",
    "Answers",
    "Auc",
    "Audit",
    "Bounds",
    "BudgetStatistic",
    "Chain",
    "ChainStep",
    "Chat",
    "Checkpoint",
    "CheckpointCurvature",
    "CheckpointScores",
    "Choices",
    "Comparison",
    "Curvature",
    "Disparity",
    "Estimate",
    "Example",
    "Figure",
    "ForgettingFrom",
    "Gate",
    "GeneratedText",
    "Generation",
    "GradientOverlap",
    "GroupComparison",
    "GroupPower",
    "ItemMetric",
    "Judgement",
    "Limits",
    "Measurement",
    "Message",
    "Metric",
    "MitigationRef",
    "PeftSettings",
    "Preference",
    "Recipe",
    "Recommendation",
    "Reference",
    "Regulariser",
    "Remember",
    "Resources",
    "ResultRow",
    "Role",
    "RowKey",
    "ScorerRef",
    "Scores",
    "SecondLine",
    "Section",
    "SeedVariance",
    "Series",
    "Settings",
    "SimulatedPower",
    "Space",
    "Target",
    "Task",
    "Texts",
    "Tier",
    "Verdict",
    "Who",
    "canonical_digest",
    "chain_label",
    "choice_measurement",
    "examples_digest",
    "generation_measurement",
    "items_table",
    "likelihood_measurement",
    "plain_scores",
    "pooled",
    "preference_measurement",
    "rows_to_polars",
    "scores_of",
    "scores_table",
    "starts_plain",
    "variant_label",
]
