"""What is asked of a checkpoint, and the key by which the store knows the answer."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from chaintune.plan.nodes import KlNode, ScoreNode, Split
from chaintune.records import Choices, Task, canonical_digest
from chaintune.records.choice import CHOICE
from chaintune.records.generation import GENERATION
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.measures import MEASURES, Measure
from chaintune.scoring.measures.own_turns import OWN_TURNS
from chaintune.study.serve import Serve
from chaintune.tasks.free import is_open
from chaintune.tuning.objectives import targets_of

MEASUREMENT_FORMAT = 4
# Of what a chat template renders, in the keys of that alone.
RENDERED_FORMAT = 2
KL_FORMAT = 1


def own_question(task: Task) -> tuple[str, str]:
    """The measure by which a checkpoint gives its own answer to a task's training examples, and a digest of these.

    Of choices it is the likeliest, by the measurement that targeted replay reads too; of any other it writes a text.
    """
    name = CHOICE if targets_of(task.train) == {Choices} else GENERATION
    name = OWN_TURNS if all(map(is_open, task.train)) else name
    return name, MEASURES.get(name).digest(task.train)


def measured_content(task: Task, split: Split, measure: Measure) -> list[Any]:
    """What of a task determines the measurement of a checkpoint on a split: the measure, and what is asked.

    Neither groups nor what is right are asked, nor what the task is called, so that another of these, or of the item
    metric, reads the same one.
    """
    return [measure.content(), measure.digest(task.test if split == "test" else task.train)]


def measurement_key(
    checkpoint_key: str, measured: list[Any], precision: str, backend: str | list[Any], *, asks_twice: bool
) -> str:
    """The address of a measurement in the store.

    Args:
        checkpoint_key: of what is asked.
        measured: what `measured_content` says.
        precision: of the weights; empty where they are not here.
        backend: that computes, or what determines the numbers of a server that is started.
        asks_twice: whether some examples are asked a second way.
    """
    return canonical_digest(
        {
            "format": MEASUREMENT_FORMAT,
            "kind": "measurement",
            "checkpoint": checkpoint_key,
            "measured": measured,
            "precision": precision,
            "backend": BACKENDS.get(backend).content() if isinstance(backend, str) else backend,
            "asks_twice": asks_twice,
        }
    )


def divergence_key(checkpoint: str, parent: str, examples: str, precision: str, rendered: Mapping[str, Any]) -> str:
    """The address of a divergence in the store, of a stage from its parent and of any model from another alike.

    Args:
        checkpoint: key of the later model.
        parent: of the earlier one.
        examples: digest of what both are asked.
        precision: of the weights.
        rendered: which chat templates render the examples; empty where none does.
    """
    payload = {"format": KL_FORMAT, "kind": "kl", "checkpoint": checkpoint, "parent": parent, **rendered}
    return canonical_digest(payload | {"examples": examples, "precision": precision})


def addressed(node: ScoreNode, measured: list[Any], backend: str, serve: Serve | None = None) -> ScoreNode:
    """The node of a measurement with its key, which everything else of it determines."""
    measured = [*measured, node.template, RENDERED_FORMAT] if node.template else measured
    measured = [*measured, {"ends": list(node.ends)}] if node.ends else measured
    measured = [*measured, {"compared": True}] if node.compared else measured
    by = serve.content() if serve and node.served else backend
    key = measurement_key(node.checkpoint_key, measured, node.precision, by, asks_twice=node.asks_twice)
    return replace(node, key=key)


def through_server(node: ScoreNode, serve: Serve, others: Iterable[ScoreNode]) -> ScoreNode:
    """The node, measured by a server where its measure is; a sample of a base by our own scorer too, once a measure."""
    served = serve.takes(node.measure)
    compared = {(one.task, one.split) for one in others if one.compared and one.measure == node.measure}
    is_first = not compared - {(node.task, node.split)}
    return replace(node, served=served, compared=served and node.asks_twice and is_first)


def divergence_between(node: ScoreNode, parent: ScoreNode, task: Task) -> KlNode:
    """The node that measures how far one model is from another, on the answers of a task that has right ones."""
    rendered = {"templates": [node.template]} if node.template else {}
    keys = (node.checkpoint_key, parent.checkpoint_key)
    return KlNode(
        key=divergence_key(*keys, task.test_digest, node.precision, rendered),
        checkpoint_key=node.checkpoint_key,
        parent_key=parent.checkpoint_key,
        base=node.base,
        base_key=node.base_key,
        chain=(),
        task=task.name,
        seed=0,
        precision=node.precision,
        tokens=2 * node.tokens,
        called=f"KL of {node.called} to {parent.called}",
    )
