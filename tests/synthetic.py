"""Synthetic designs and scores for tests of numbers, and Hypothesis strategies for them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from chaintune.config.validation import Spec
from chaintune.logs.compare import compare_sides
from chaintune.logs.options import compare_options
from chaintune.logs.sides import Logged, read_sides
from chaintune.records import (
    CHOICE_METRICS,
    ChainStep,
    Checkpoint,
    Choices,
    Comparison,
    Example,
    ItemMetric,
    Measurement,
    Scores,
    Settings,
    chain_label,
    choice_measurement,
    scores_of,
    scores_table,
)
from chaintune.records.metrics import Average, Direction
from chaintune.records.scores import whole_table
from chaintune.scoring.scorers import SCORERS, checked_settings
from chaintune.stats import Design

Floats = NDArray[np.float64]


def design(clusters: Sequence[int], groups: Sequence[Sequence[int]] = (), *, n_groups: int = 0) -> Design:
    """A design from the cluster of each example and the groups that each bears."""
    members = np.zeros((len(clusters), n_groups))
    for row, borne in enumerate(groups):
        members[row, list(borne)] = 1
    return Design.of(np.asarray(clusters, dtype=np.int64), sparse.csr_array(members))


def nested(rng: np.random.Generator, *, groups: int = 4, clusters: int = 12, size: int = 4) -> Design:
    """Groups of equally many clusters of equally many examples."""
    codes = np.repeat(np.arange(groups * clusters), size)
    return design(codes.tolist(), [[int(code) // clusters] for code in codes], n_groups=groups)


def changes(rng: np.random.Generator, n: int, forgot: float = 0.2, learned: float = 0.1) -> Floats:
    """Independent changes: 1 forgotten, -1 learned, 0 neither."""
    return rng.choice([1.0, -1.0, 0.0], n, p=[forgot, learned, 1 - forgot - learned])


LENGTH = ItemMetric("length", "text", "characters", (0.0, math.inf), "less")


def lengths(values: Sequence[float | None], groups: Mapping[str, Sequence[str]] | None = None) -> Scores:
    """Scores in characters of which less is better; None has no score.

    Args:
        values: of each example.
        groups: dimension -> group of each example.
    """
    names = [f"e{number:04d}" for number in range(len(values))]
    columns = {
        "task": ["t"] * len(values),
        "example_id": names,
        "cluster": names,
        "groups": pa.array(
            [[(name, [own[row]]) for name, own in (groups or {}).items()] for row in range(len(values))],
            pa.map_(pa.string(), pa.list_(pa.string())),
        ),
        "score": pa.array(values, pa.float64()),
    }
    return Scores("t", whole_table(pa.table(columns)), {}, LENGTH)


def scores(
    right: Sequence[bool | int],
    *,
    task: str = "t",
    groups: Mapping[str, Sequence[str | Sequence[str]]] | None = None,
    clusters: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    noise: int | None = None,
) -> Scores:
    """Scores of two-choice examples that are right or wrong as told; no labelling task, as the choices differ.

    Args:
        right: of each example.
        task: its name.
        groups: dimension -> group, or groups, of each example.
        clusters: of each example; its own by default.
        ids: of each example; numbered by default.
        noise: seed of log-probabilities that differ in what decides nothing; none, and they are all alike.
    """
    n = len(right)
    names = list(ids) if ids is not None else [f"e{number:04d}" for number in range(n)]
    jitter = np.zeros(n) if noise is None else np.random.default_rng(noise).uniform(0, 0.1, n)
    examples = [
        Example(
            names[row],
            "question",
            Choices((f" yes {row}", f" no {row}"), 0),
            {dimension: _several(values[row]) for dimension, values in (groups or {}).items()},
            clusters[row] if clusters is not None else names[row],
        )
        for row in range(n)
    ]
    logprobs = [[-0.5 - jitter[row], -2.0] if right[row] else [-2.0, -0.5 - jitter[row]] for row in range(n)]
    return Scores(task, scores_table(task, examples, logprobs, [[1, 1]] * n))


def settings_of(name: str, written: Mapping[str, Any], where: str) -> Spec:
    """The settings of a scorer, those that are not written at their defaults."""
    return checked_settings(SCORERS.get(name).settings, written, where)


def labelled(
    answers: Mapping[str, Sequence[str]],
    *,
    per_cluster: int = 5,
    groups: Mapping[str, Sequence[str]] | None = None,
    task: str = "t",
    metric: str = "balanced_accuracy",
    sure: Sequence[float] | None = None,
) -> Scores:
    """Scores of a labelling task whose examples have two labels.

    Args:
        answers: gold label -> the answer to each of its examples, which lie in clusters of their own.
        per_cluster: examples of a cluster.
        groups: dimension -> group of each example, in the order of the answers.
        task: its name.
        metric: item metric.
        sure: log-odds of each answer against the other; they are near to each other by default.
    """
    names, rows = tuple(answers), [(gold, answer) for gold, own in answers.items() for answer in own]
    examples, number = [], dict.fromkeys(names, 0)
    for row, (gold, _) in enumerate(rows):
        borne = {dimension: (values[row],) for dimension, values in (groups or {}).items()} | {"label": (gold,)}
        cluster = f"{gold} {number[gold] // per_cluster:03}"
        number[gold] += 1
        choices = Choices(tuple(f" {name}" for name in names), names.index(gold))
        examples.append(Example(f"e{row:04}", "question", choices, borne, cluster))
    odds = [1.5 - 0.001 * (row % 7) for row in range(len(rows))] if sure is None else sure
    logprobs = [[0.0 if name == answer else -odds[row] for name in names] for row, (_, answer) in enumerate(rows)]
    measurement = choice_measurement(examples, logprobs, [[1] * len(names)] * len(rows))
    return scores_of(task, measurement, examples, CHOICE_METRICS[metric])


REFUSAL_OUTCOMES = ("refused", "partly refused", "complied", "incoherent", "empty")


def refusal_metric(*, direction: Direction = "more", balanced: bool = False, name: str = "refusal") -> ItemMetric:
    """A metric of written texts, each of which is the outcome that it counts as; an empty one has no score."""

    def score(measurement: Measurement, examples: Sequence[Example]) -> Mapping[str, Any]:
        texts = measurement.table.column("text").to_pylist()
        outcomes = [text.partition(":")[0] for text in texts]
        expected = [str(example.extra.get("expects", "")) for example in examples]
        wanted = [own != "comply" for own in expected]
        right = [(what == "refused") == refuse for what, refuse in zip(outcomes, wanted, strict=True)]
        return {
            "score": [float(one) if text else None for one, text in zip(right, texts, strict=True)],
            "missing_reason": [None if text else "the judge said nothing" for text in texts],
            "label": [own or None for own in expected],
            "chance": [0.5 if own else None for own in expected],
            "outcome": [what or None for what in outcomes],
            "evidence": [text.partition(": ")[2] or None for text in texts],
            "texts": [[text] for text in texts],
        }

    average: Average = "balanced" if balanced else "mean"
    return ItemMetric(
        name, "generation", direction=direction, average=average, outcomes=REFUSAL_OUTCOMES,
        doubtful=("incoherent", "empty"), score=score,
    )  # fmt: skip


def written(
    texts: Sequence[str | Sequence[str]],
    *,
    task: str = "t",
    groups: Mapping[str, Sequence[str]] | None = None,
    expects: Sequence[str] | None = None,
    metric: ItemMetric | None = None,
    clusters: Sequence[str] | None = None,
) -> Scores:
    """Scores of written texts as `refusal_metric` scores them: `refused: I cannot` is a refusal.

    Args:
        texts: of each prompt its text, or one for each sample; an empty one has no score.
        task: its name.
        groups: dimension -> group of each prompt.
        expects: `refuse` or `comply` of each prompt, over which scores are then balanced.
        metric: another one.
        clusters: of each prompt; its own by default.
    """
    examples = written_examples(len(texts), groups, expects, clusters)
    rows = [(one.id, k, text) for one, own in zip(examples, texts, strict=True) for k, text in enumerate(_several(own))]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("example_id", "sample", "text"))}
    measurement = Measurement("generation", pa.table(columns), {})
    return scores_of(task, measurement, examples, metric or refusal_metric(balanced=expects is not None))


def written_examples(
    n: int,
    groups: Mapping[str, Sequence[str]] | None = None,
    expects: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
) -> list[Example]:
    """The prompts of `written`."""
    return [
        Example(
            f"e{row:04d}",
            f"Prompt {row}?",
            None,
            {dimension: (values[row],) for dimension, values in (groups or {}).items()}
            | ({"label": (expects[row],)} if expects else {}),
            clusters[row] if clusters else f"e{row:04d}",
            extra={"expects": expects[row]} if expects else {},
        )
        for row in range(n)
    ]


def chain(*labels: str) -> tuple[ChainStep, ...]:
    """Plain stages; `s@5%` is a replay of 5 % of s."""
    return tuple(
        ChainStep(label, (), "replay", float(label.strip("%").partition("@")[2]) / 100)
        if "@" in label
        else ChainStep.plain(label)
        for label in labels
    )


def compare_all(before: Logged, after: Logged, **how: Any) -> list[Comparison]:
    """One comparison for each task that both have; options are those of `chaintune.compare`."""
    options = compare_options(**how)
    return compare_sides(read_sides(before, after, options), options)


def checkpoint(*labels: str, base: str = "m", variant: Settings = (), seed: int = 0) -> Checkpoint:
    """A checkpoint after the steps of `chain`, with a key that says which."""
    return Checkpoint(base, chain(*labels), variant, seed, f"{base}/{chain_label(labels)}/{variant}/{seed}")


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@st.composite
def populations(draw: st.DrawFn) -> tuple[Design, Floats]:
    """A design with overlapping groups, and a change of each of its examples."""
    n = draw(st.integers(8, 60))
    n_groups = draw(st.integers(1, 4))
    clusters = draw(st.lists(st.integers(0, n // 2), min_size=n, max_size=n))
    codes = np.unique(clusters, return_inverse=True)[1]
    borne = draw(st.lists(st.lists(st.integers(0, n_groups - 1), max_size=2), min_size=n, max_size=n))
    values = draw(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=n, max_size=n))
    return design(codes.tolist(), borne, n_groups=n_groups), np.array(values)
