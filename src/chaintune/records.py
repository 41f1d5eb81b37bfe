"""Frozen values that travel between rooms. No torch, no configuration, no behaviour beyond reading.

Words follow the glossary in `docs/explanation/definitions.md`.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.errors import DataError

Role = Literal["safety", "capability"]
Metric = Literal["accuracy", "accuracy_per_token", "accuracy_per_byte"]
Verdict = Literal["forgot", "kept", "gained", "inconclusive"]


def canonical_digest(value: Any) -> str:
    """SHA-256 hex digest of the canonical JSON of a value: sorted keys, no spaces, no NaN.

    Raises:
        TypeError: the value holds something JSON cannot.
        ValueError: the value holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a task, its text ready for the tokenizer.

    `prompt + choices[k]` is exactly the text that is scored for choice `k`; a separating space
    belongs to the choice.

    Attributes:
        id: unique within the task.
        prompt: the text before the answer.
        choices: at least two distinct continuations.
        gold: index of the right choice.
        groups: dimension -> the groups of that dimension that the example bears (may be empty).
        cluster: examples of one cluster are not independent.
        choice_roles: one word a choice where the data set gives the choices a part to play
            (BBQ: `target`, `other`, `unknown`), else empty.
    """

    id: str
    prompt: str
    choices: tuple[str, ...]
    gold: int
    groups: Mapping[str, tuple[str, ...]]
    cluster: str
    choice_roles: tuple[str, ...] = ()

    def content(self) -> list[Any]:
        """What determines a tuning or a score of this example, as canonical JSON-able data."""
        groups = {dimension: list(names) for dimension, names in self.groups.items()}
        roles = list(self.choice_roles)
        return [self.id, self.prompt, list(self.choices), self.gold, groups, self.cluster, roles]


def examples_digest(examples: Iterable[Example]) -> str:
    """Digest of a set of examples; independent of their order."""
    return canonical_digest(sorted((example.content() for example in examples), key=lambda row: str(row[0])))


@dataclass(frozen=True, slots=True)
class Task:
    """A data set taught or measured.

    `train` and `test` are sorted by id and share no cluster. `version` names the prompt template
    and the rendering of the choices; it is part of every key.
    """

    name: str
    role: Role
    version: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    dimensions: tuple[str, ...]
    source: str
    licence: str

    @property
    def train_digest(self) -> str:
        """What a stage of tuning on this task depends on."""
        return canonical_digest([self.name, self.version, examples_digest(self.train)])

    @property
    def test_digest(self) -> str:
        """What scores of this task depend on."""
        return canonical_digest([self.name, self.version, examples_digest(self.test)])


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stage trains. Every field is part of the stage's key, `report_to` and `micro_batch_size` apart.

    Attributes:
        method: `full` or `lora`.
        learning_rate: peak of the schedule.
        epochs: passes over the stage's examples.
        batch_size: examples an optimizer step.
        micro_batch_size: examples a forward pass; gradients are accumulated up to `batch_size`.
        warmup_fraction: share of the steps in which the rate rises from 0.
        schedule: `linear`, `cosine` or `constant` after the warm-up.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to this norm; 0 clips nothing.
        lora_rank, lora_alpha, lora_dropout, lora_targets: used when `method` is `lora`.
        gradient_checkpointing: recompute activations to save memory.
        report_to: trackers, by transformers' names.
    """

    method: Literal["full", "lora"] = "full"
    learning_rate: float = 1e-4
    epochs: float = 1.0
    batch_size: int = 16
    micro_batch_size: int = 8
    warmup_fraction: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.0
    lora_targets: str | tuple[str, ...] = "all-linear"
    gradient_checkpointing: bool = False
    report_to: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """The fields that determine the trained weights, as canonical JSON-able data."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "report_to"}
        if self.method == "full":
            named = {name: value for name, value in named.items() if not name.startswith("lora_")}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}


_GROUPS_TYPE = pa.map_(pa.string(), pa.list_(pa.string()))
SCORES_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("example_id", pa.string()),
        ("cluster", pa.string()),
        ("groups", _GROUPS_TYPE),
        ("gold", pa.int32()),
        ("choice_logprobs", pa.list_(pa.float64())),
        ("choice_tokens", pa.list_(pa.int32())),
        ("choice_bytes", pa.list_(pa.int32())),
        ("choice_roles", pa.list_(pa.string())),
        ("prediction", pa.int32()),
        ("correct", pa.bool_()),
    ]
)


@dataclass(frozen=True, eq=False)
class Scores:
    """What one checkpoint answered on one task: one row an example, sorted by `example_id`.

    Attributes:
        task: the task's name.
        table: columns of `SCORES_SCHEMA`. `choice_logprobs` are natural-log sums over the tokens of a
            choice; `prediction` is the largest of them, the first one on a tie.
        provenance: what made the scores (checkpoint key, task version, precision, ...), text to text.
    """

    task: str
    table: pa.Table
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.table.schema.names != SCORES_SCHEMA.names:
            raise DataError(
                f"scores of task '{self.task}': columns {self.table.schema.names}, expected {SCORES_SCHEMA.names}"
            )
        ids = self.example_ids
        if len(set(ids)) != len(ids):
            raise DataError(f"scores of task '{self.task}': an example_id appears twice")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def example_ids(self) -> list[str]:
        """Ids in row order."""
        return list(self.table.column("example_id").to_pylist())

    @property
    def clusters(self) -> list[str]:
        """Cluster of each row."""
        return list(self.table.column("cluster").to_pylist())

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that at least one example bears, sorted."""
        keys = self.table.column("groups").combine_chunks().keys
        return tuple(sorted(set(keys.to_pylist())))

    def groups(self, dimension: str) -> list[tuple[str, ...]]:
        """Groups of `dimension` that each row bears; empty where it bears none."""
        return [tuple(dict(pairs or ()).get(dimension) or ()) for pairs in self.table.column("groups").to_pylist()]

    def item_scores(self, metric: Metric = "accuracy") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Score of each example: 1.0 when the preferred choice is the gold one, else 0.0.

        Args:
            metric: the choice preferred is that with the largest log-probability (`accuracy`), the
                largest per token, or the largest per UTF-8 byte. The first one wins a tie.

        Shape: `[E]`.
        """
        if metric == "accuracy":
            return np.asarray(self.table.column("correct").to_numpy(zero_copy_only=False), dtype=np.float64)
        lengths = "choice_tokens" if metric == "accuracy_per_token" else "choice_bytes"
        logprobs = self.table.column("choice_logprobs").to_pylist()
        sizes = self.table.column(lengths).to_pylist()
        gold = self.table.column("gold").to_pylist()
        best = [int(np.argmax(np.asarray(row) / np.asarray(size))) for row, size in zip(logprobs, sizes, strict=True)]
        return np.asarray([float(choice == right) for choice, right in zip(best, gold, strict=True)])

    def write(self, path: Path) -> None:
        """Write one Parquet file; the provenance travels in its metadata. Same scores, same bytes."""
        metadata = {"chaintune": json.dumps(dict(self.provenance), sort_keys=True)}
        pq.write_table(self.table.replace_schema_metadata(metadata), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read a file that `write` wrote.

        Raises:
            DataError: the file is no Parquet file or lacks a column.
        """
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable Parquet file ({error})") from error
        missing = [name for name in SCORES_SCHEMA.names if name not in table.schema.names]
        if missing:
            raise DataError(f"{path}: not a scores file, column '{missing[0]}' is missing")
        raw = (table.schema.metadata or {}).get(b"chaintune", b"{}")
        table = table.select(SCORES_SCHEMA.names).cast(SCORES_SCHEMA)
        tasks = set(table.column("task").to_pylist())
        if len(tasks) != 1:
            raise DataError(f"{path}: expected scores of one task, found {sorted(tasks)}")
        return cls(task=tasks.pop(), table=table.replace_schema_metadata(None), provenance=json.loads(raw))


def scores_table(
    task: str, examples: Sequence[Example], logprobs: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]]
) -> pa.Table:
    """The table of `Scores` from examples and what was computed for each of their choices.

    Args:
        task: the task's name.
        examples: in any order; rows come out sorted by id.
        logprobs: log-probability of each choice of each example, in nats.
        tokens: how many tokens each log-probability sums over.
    """
    rows = []
    for example, row, sizes in sorted(zip(examples, logprobs, tokens, strict=True), key=lambda item: item[0].id):
        prediction = int(np.argmax(row))
        rows.append(
            {
                "task": task,
                "example_id": example.id,
                "cluster": example.cluster,
                "groups": [(dimension, list(names)) for dimension, names in sorted(example.groups.items())],
                "gold": example.gold,
                "choice_logprobs": [float(value) for value in row],
                "choice_tokens": list(sizes),
                "choice_bytes": [len(choice.strip().encode()) for choice in example.choices],
                "choice_roles": list(example.choice_roles),
                "prediction": prediction,
                "correct": prediction == example.gold,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: the estimate; NaN when undefined.
        low, high: ends of the confidence interval; NaN when there is none.
        p_value: of the test that the true value is 0 (or as `method` states); NaN when none was made.
        p_adjusted: after correction for the other groups of the dimension; NaN when none was made.
        n: examples that the value speaks about.
        n_clusters: clusters among them.
        n_seeds: seeds; 1 says that the number speaks about this pair of checkpoints only.
        method: how interval and p-value were made.
        reason: why the value, or its interval, is undefined; empty when it is defined.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    p_adjusted: float = math.nan
    n: int = 0
    n_clusters: int = 0
    n_seeds: int = 1
    method: str = ""
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str, *, n: int = 0, n_clusters: int = 0, n_seeds: int = 1) -> "Estimate":
        """NaN with a reason, never 0."""
        return cls(math.nan, n=n, n_clusters=n_clusters, n_seeds=n_seeds, reason=reason)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of `results.parquet`: what an estimate is about, and the estimate.

    Attributes:
        study: name of the study file.
        base: name of the base model as the study writes it.
        chain: tasks in order joined by `>` (`base` when nothing was tuned).
        variant: the varied knobs, seed apart, as `name=value` joined by `, `; empty when nothing is varied.
        stage: number of stages done at the checkpoint that is measured (0 is the base).
        reference: chain of the checkpoint it is compared with; empty when none.
        task: the task measured.
        metric: what the value is (`accuracy`, `forgetting`, `biased_forgetting`, `gain`, ...).
        dimension, group: empty for the whole task.
        seed: a number as text, or `all`.
        verdict: `forgot`, `kept`, `gained`, `inconclusive`, or empty where no verdict is due.
    """

    study: str
    base: str
    chain: str
    variant: str
    stage: int
    reference: str
    task: str
    metric: str
    dimension: str
    group: str
    seed: str
    estimate: Estimate
    verdict: Verdict | Literal[""] = ""

    def to_dict(self) -> dict[str, Any]:
        """One flat mapping: the row's own fields, then the estimate's."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "estimate"}
        return own | {f.name: getattr(self.estimate, f.name) for f in fields(self.estimate)}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One checkpoint of a study and what it scored: the input of study-level statistics.

    Attributes:
        base: the base model's name.
        chain: names of the tasks tuned on so far, in order; empty for the base itself.
        variant: varied knobs, seed apart, in the order of the study file.
        seed: of the chain.
        scores: task name -> scores.
    """

    base: str
    chain: tuple[str, ...]
    variant: tuple[tuple[str, str], ...]
    seed: int
    scores: Mapping[str, Scores]


def rows_to_polars(rows: Sequence[ResultRow]) -> pl.DataFrame:
    """The tidy table of result rows, one row each, columns in the order of `ResultRow.to_dict`."""
    return pl.DataFrame([row.to_dict() for row in rows], infer_schema_length=None)
