"""How large the texts and the models of a study are, known before anything runs."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from chaintune.errors import DataError
from chaintune.execution.bases import BaseModel
from chaintune.models import Precision, Reader
from chaintune.models.chat import chat_facts
from chaintune.models.encoding import (
    check_lengths,
    encode_examples,
    encode_of,
    encode_prompts,
    errors_of,
    prompts_of,
    tell_special_tokens,
)
from chaintune.models.folders import weight_shapes
from chaintune.plan.facts import TaskTokens
from chaintune.records import Example, Recipe, Task
from chaintune.records.audit import UNUSED, template_unused
from chaintune.scoring.measures.measure import evenly_spaced
from chaintune.scoring.reading import measures_of
from chaintune.scoring.trees import distinct_tokens
from chaintune.tasks.left_out import note_left_out
from chaintune.tuning.objectives import Tokenized, objective_of, targets_of, with_objective
from chaintune.tuning.tokenized import count_tokens, longest_tokens
from chaintune.tuning.trainable import adapter_bytes

_LOG = logging.getLogger(__name__)
_CHARACTERS_A_TOKEN = 4


def about_tokens(text: str) -> int:
    """About how many tokens a text has for a model whose tokenizer is not here."""
    return 1 + len(text) // _CHARACTERS_A_TOKEN


def task_tokens(task: Task, readers: Sequence[Reader]) -> TaskTokens:
    """How many tokens a task has for the first of several models, after a check that each can read every example.

    Raises:
        DataError: an example is longer than a model's context.
    """
    for reader in readers:
        tell_special_tokens(reader.tokenizer, (*task.train, *task.test), task=task.name)
    first, *_ = [_tokens(task, reader) for reader in readers]
    return first


def chat_of(tasks: Iterable[Task], readers: Mapping[str, Reader]) -> dict[tuple[str, str], dict[str, str]]:
    """Base and task -> what its scores keep of chat templates, as `chat_facts` has it.

    Raises:
        ModelError: examples have to be rendered, and a base has no template.
    """
    facts: dict[tuple[str, str], dict[str, str]] = {}
    for task in tasks:
        for base, reader in readers.items():
            with errors_of(task.name):
                facts[base, task.name] = chat_facts(reader.tokenizer, task, (*task.train, *task.test))
    return facts


def usable(tasks: Iterable[Task], readers: Iterable[Reader]) -> dict[str, Task]:
    """The tasks by name; of those that say so, without the examples that one of several models cannot read.

    The source of such a task tells how many were left out, and why the first was.

    Raises:
        DataError: no example of a split is left.
    """
    several = list(readers)
    return {task.name: _usable(task, several) if task.skips_unusable else task for task in tasks}


def _usable(task: Task, readers: Sequence[Reader]) -> Task:
    problems: dict[str, str] = {}
    for reader in readers:
        try:
            _tokens(task, reader)
        except DataError:
            problems |= _problems(task, reader)
    if not problems:
        return task
    train, test = (tuple(one for one in part if one.id not in problems) for part in (task.train, task.test))
    for name, before, after in (("train", task.train, train), ("test", task.test, test)):
        if before and not after:
            reason = problems[before[0].id]
            raise DataError(
                f"task '{task.name}': no example of its {name} split can be read, as '{before[0].id}': {reason}"
            )
    left_out = Counter({f"a text that a model cannot read ({next(iter(problems.values()))})": len(problems)})
    note = note_left_out(task.name, left_out, len(task.train) + len(task.test))
    return replace(task, train=train, test=test, source=task.source + note)


def _problems(task: Task, reader: Reader) -> dict[str, str]:
    """The ids of the examples that a model cannot read, with the reasons."""
    problems = {}
    for taught, examples in ((True, task.train), (False, task.test)):
        for example in examples:
            alone = replace(task, train=(example,) if taught else (), test=() if taught else (example,))
            try:
                _tokens(alone, reader)
            except DataError as error:
                problems[example.id] = str(error).removeprefix(f"task '{task.name}': ")
    return problems


def tell_unused(facts: Mapping[tuple[str, str], Mapping[str, str]]) -> str:
    """Say once which tasks models with a chat template were asked without it; the sentence for results, or nothing."""
    unused = [at for at, own in facts.items() if own.get("chat") == UNUSED]
    if not unused:
        return ""
    models, tasks = (list(dict.fromkeys(names)) for names in zip(*unused, strict=True))
    sentence = template_unused(tasks, models)
    _LOG.warning("%s", sentence)
    return f"{sentence}."


def _tokens(task: Task, reader: Reader) -> TaskTokens:
    # What a model would answer where only a scorer can judge it is not known beforehand.
    to_train, to_test = ([one for one in part if one.answers] for part in (task.train, task.test))
    if task.test and all(measure.generation for measure in measures_of(task)):
        to_test = []  # its answers are no part of the question
    with errors_of(task.name):
        taught = _tokenized(task.train, reader, task=task.name)
        train = encode_examples(reader.tokenizer, to_train)
        asked = encode_prompts(reader.tokenizer, [one for one in task.train if not one.answers])
    if taught:
        check_lengths(task.train, list(map(longest_tokens, taught)), reader.context_tokens, task=task.name)
    test = encode_of(reader.tokenizer, to_test, reader.context_tokens, task=task.name)
    return TaskTokens(
        count_tokens(taught),
        {"train": distinct_tokens(train), "test": distinct_tokens(test)},
        written_tokens(task, task.test, reader),
        written_tokens(task, [task.test[place] for place in evenly_spaced(len(task.test))], reader),
        sum(map(len, asked)),
    )


def written_tokens(task: Task, examples: Sequence[Example], reader: Reader) -> int:
    """Tokens that are read and at most written where texts are asked for; 0 of a task that is not asked so.

    Raises:
        DataError: a prompt with the longest text is longer than the model's context.
    """
    if not examples or not any(measure.generation for measure in measures_of(task)):
        return 0
    generation = task.generation
    prompts = prompts_of(reader.tokenizer, examples, reader.context_tokens, generation.max_new_tokens, task=task.name)
    return sum(map(len, prompts)) + len(prompts) * generation.samples * generation.max_new_tokens


def tell_sampling(tasks: Iterable[Task], readers: Mapping[str, Reader]) -> None:
    """Say of each model that is to write texts how its own generation configuration would have it, to no effect."""
    writing = [task.name for task in tasks if task.test and any(measure.generation for measure in measures_of(task))]
    for base, reader in readers.items():
        if writing and reader.sampling:
            settings = ", ".join(f"{name} {value}" for name, value in reader.sampling)
            _LOG.warning(
                "model '%s': its generation_config.json says %s, which has no part here: texts of %s are written as "
                "the task says, greedily unless it names a temperature; of that file only the tokens that end a text "
                "count",
                base,
                settings,
                ", ".join(f"'{name}'" for name in writing),
            )


def _tokenized(examples: Sequence[Example], reader: Reader, *, task: str) -> Sequence[Tokenized]:
    """What a stage reads of each example, under the objective that takes their targets; nothing where it cannot."""
    targets = targets_of(examples)
    if type(None) in targets:  # nothing to learn, only to be measured
        return []
    objective = objective_of(with_objective(Recipe(), targets, task=task))
    return objective.encode(reader.tokenizer, examples)


def parameters_of(base: BaseModel) -> int:
    """How many weights a base has, read from its files' headers."""
    return sum(math.prod(shape) for shape in weight_shapes(base.folder).values())


def stage_bytes(base: BaseModel, recipe: Recipe | None, precision: Precision) -> int:
    """Size of a checkpoint: every weight at the precision, or the adapter of a recipe as it lies on the base.

    Raises:
        ConfigError: PEFT refuses the adapter, on any model or on this one, or could not merge it.
        StageError: the base has no layers of the names that the adapter is for, or ties them.
    """
    if recipe is None:
        return parameters_of(base) * (2 if precision == "bf16" else 4)
    return adapter_bytes(base.load(base.folder, precision=precision, on_meta=True).model, recipe)
