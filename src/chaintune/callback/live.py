"""Scores a model in the middle of its training, and leaves it as it was.

No weight is copied or moved, and modes of all modules and random states are put back, so training goes on to the same
weights, bit for bit, as without scoring.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from chaintune.errors import BrokenModelError, ConfigError, ModelError
from chaintune.models.chat import chat_facts
from chaintune.models.encoding import Encoded, encode_of, prompts_of, tell_special_tokens
from chaintune.models.processes import Rank
from chaintune.models.undisturbed import caches_kept, modes_kept, random_states_kept
from chaintune.records import Example, Generation, ItemMetric, Scores, Task, Texts, scores_of
from chaintune.scoring.backends.backend import Ability
from chaintune.scoring.generation import generate
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.scoring.measures import MEASURES, Asking, Measure
from chaintune.scoring.reading import metrics_of
from chaintune.scoring.scorers.metric import check_trusted, scorer_of

_ABILITIES: frozenset[Ability] = frozenset({"log-probabilities", "text"})


@dataclass(frozen=True, slots=True)
class EncodedTask:
    """The test examples of a task as one tokenizer reads them, sorted by id.

    Attributes:
        name: of the task.
        examples: that are scored.
        encoded: the same as token ids; none where texts are written.
        about: identifies these examples, for the provenance.
        metric: that scores them.
        prompts: token ids of the prompts behind which texts are written; none where nothing is.
        generation: how texts are written.
        tokenizer: that read the examples.
    """

    name: str
    examples: tuple[Example, ...]
    encoded: tuple[Encoded, ...]
    about: Mapping[str, str]
    metric: ItemMetric
    prompts: tuple[tuple[int, ...], ...] = ()
    generation: Generation = field(default_factory=Generation)
    tokenizer: Any = None

    @property
    def measure(self) -> Measure:
        """How the model is asked."""
        return MEASURES.get(self.metric.measure)


def encode_task(task: Task, tokenizer: Any, context_tokens: int | None) -> EncodedTask:
    """A task's test examples as token ids.

    Raises:
        ConfigError: the task is measured by more than log-probabilities and texts, or a model of its own judges texts.
        DataError: the measure does not take an example, one is longer than the model's context, or its answers cannot
            be told apart by the tokenizer.
        ModelError: an example is a conversation, and the model has no chat template.
    """
    check_trusted([task])
    metric = metrics_of(task)[0]
    _check_judged_without_model(task, metric)
    measure = MEASURES.get(metric.measure)
    if missing := measure.needs - _ABILITIES:
        raise ConfigError(
            f"task '{task.name}': measure '{measure.name}' needs {' and '.join(sorted(missing))}, and of a model in "
            "training only log-probabilities and texts are asked for; name another measure"
        )
    examples = tuple(sorted(task.test, key=lambda example: example.id))
    measure.check(examples, task.name)
    tell_special_tokens(tokenizer, examples, task=task.name)
    about = {"task_version": task.version, "test_digest": task.test_digest, **chat_facts(tokenizer, task, examples)}
    about |= {"other_way_of": task.other_way_of} if task.other_way_of else {}
    if measure.generation:
        new_tokens = task.generation.max_new_tokens
        prompts = tuple(prompts_of(tokenizer, examples, context_tokens, new_tokens, task=task.name))
        return EncodedTask(task.name, examples, (), about, metric, prompts, task.generation, tokenizer)
    encoded = tuple(encode_of(tokenizer, examples, context_tokens, task=task.name))
    return EncodedTask(task.name, examples, encoded, about, metric)


def _check_judged_without_model(task: Task, metric: ItemMetric) -> None:
    """Refuse a scorer that decides and asks a model."""
    for ref in task.scorers:
        scorer = scorer_of(ref)
        if scorer.name == metric.name and scorer.model is not None:
            raise ConfigError(
                f"task '{task.name}': scorer '{ref.name}' asks a model of its own, and a training holds one model; "
                "watch by a scorer of words, such as 'refusal', and judge the checkpoints' texts with this one later"
            )


def score_live(model: Any, task: EncodedTask, *, batch_tokens: int | None = None, **about: str) -> Scores | None:
    """The scores of a model in training, which is left as it was.

    Where torch.distributed runs, each process scores its share of the task, or writes all of its texts, and all get the
    whole; so all have to call this together.

    Args:
        model: a causal language model whose weights this process holds whole, or shares with the others by FSDP2.
        task: whose examples are scored.
        batch_tokens: tokens that go through the model together; None is what suits the device.
        about: provenance.

    Returns:
        None when what the model says is no number.

    Raises:
        ModelError: out of memory, also with less through the model at once.
    """
    precision = {"precision": str(model.dtype).removeprefix("torch.")}
    if task.measure.generation:
        try:
            asked = _Computed(precision, texts=_texts(model, task, batch_tokens))
        except BrokenModelError:
            return None
    else:
        share = Rank.here()
        with undisturbed(model):
            rows = answer_logprobs(model, task.encoded, batch_tokens=batch_tokens, share=share)
        whole = share.merged(rows, next(model.parameters()).device)
        if any(np.isnan(row).any() for row in whole):
            return None
        tokens = [[len(answer) for answer in item.continuations] for item in task.encoded]
        asked = _Computed(precision, whole, tokens)
    measurement = task.measure.record(asked, task.examples, Asking(task.name, generation=task.generation))
    return scores_of(task.name, measurement, task.examples, task.metric, {**task.about, **about})


def _texts(model: Any, task: EncodedTask, batch_tokens: int | None) -> Texts:
    """What the model writes behind each prompt of a task."""
    names = [example.id for example in task.examples]
    with undisturbed(model), caches_kept(model):
        return generate(model, task.tokenizer, task.prompts, task.generation, names=names, batch_tokens=batch_tokens)


@dataclass(frozen=True, slots=True)
class _Computed:
    """A backend that has what is asked of a task's examples, in their order, already."""

    about: Mapping[str, str]
    logprobs: list[list[float]] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)
    texts: Texts = field(default_factory=list)

    def answer_logprobs(self, *_: Any, **__: Any) -> tuple[list[list[float]], list[list[int]]]:
        """The log-probabilities that it has."""
        return self.logprobs, self.tokens

    def ended_logprobs(self, *_: Any, **__: Any) -> tuple[list[list[float]], list[list[int]]]:
        """Nothing; it is stages that ask for references.

        Raises:
            ModelError: always.
        """
        raise ModelError("a model in training is not asked for log-probabilities of ended answers; take 'preference'")

    def generate(self, *_: Any, **__: Any) -> Texts:
        """The texts that it has."""
        return self.texts

    def rounding(self, *_: Any) -> str:
        """Nothing, as a model in training is asked once."""
        return ""


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Within this context a model may be evaluated; its modules' modes and all random states are put back after it."""
    devices = {weight.device for weight in model.parameters() if weight.device.type not in ("cpu", "meta")}
    kind = next((device.type for device in devices), "cuda")
    try:
        with modes_kept(model), random_states_kept([device.index or 0 for device in devices], kind=kind):
            yield
    finally:
        # A cast made while no gradients were wanted must not be met by the next step.
        torch.clear_autocast_cache()
