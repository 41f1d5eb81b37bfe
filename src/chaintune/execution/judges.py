"""The models that scorers ask: opened, held against what they judge, and what of them a plan needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from chaintune.config.validation import Spec
from chaintune.errors import ConfigError, DataError
from chaintune.execution.bases import BaseModel, open_base, open_classifier
from chaintune.execution.sizing import about_tokens
from chaintune.files.names import shown_names
from chaintune.models import ALIASES, Precision, Reader
from chaintune.models.chat import has_template, template_text
from chaintune.models.classifiers import PRECISION
from chaintune.models.digest import tokenizer_digest
from chaintune.plan.judging import TaskJudge
from chaintune.plan.nodes import Split
from chaintune.records import Example, ScorerRef, Task, canonical_digest
from chaintune.records.examples import Chat
from chaintune.scoring.backends import AS_USUAL, BACKENDS, DEFAULT, Served, Serving, backend_of
from chaintune.scoring.reading import measures_of
from chaintune.scoring.scorers.judgements import asks_of, judge_digest, questions_digest, reads_probabilities
from chaintune.scoring.scorers.metric import configured
from chaintune.scoring.scorers.scorer import Scorer
from chaintune.store.store import Store


@dataclass(frozen=True, slots=True)
class OpenJudges:
    """The scorers of some tasks that ask a model.

    Attributes:
        by_task: name of a task -> its scorers with a model.
        models: name of each model -> the model, ready to be loaded.
    """

    by_task: dict[str, list[TaskJudge]] = field(default_factory=dict)
    models: dict[str, BaseModel] = field(default_factory=dict)


def judges_of(
    tasks: Iterable[Task],
    judged: Mapping[str, BaseModel],
    store: Store,
    *,
    precision: Precision,
    trust_remote_code: bool = False,
    serving: Serving = AS_USUAL,
) -> OpenJudges:
    """The scorers of tasks that ask a model, each model opened and found to be none of those that are judged.

    Raises:
        ConfigError: a judge would judge itself; a scorer's settings are invalid, or do not fit its model.
        DataError: a question is longer than the judge's context.
        ModelError: a model cannot be loaded.
    """
    judges = OpenJudges()
    for task in tasks:
        if not any(measure.generation for measure in measures_of(task)):
            continue
        for ref in task.scorers:
            scorer, settings = configured(ref, f"task '{task.name}': ")
            if scorer.model is None:
                continue
            name = scorer.model(settings)
            if backend_of(name) != DEFAULT:  # a name says enough, before its server is asked
                _check_not_judged(task, scorer, BaseModel(name, "", None), judged)
            model = (
                open_classifier(name)
                if asks_of(scorer).is_classifier
                else open_base(name, store, trust_remote_code=trust_remote_code)
            )
            _check_not_judged(task, scorer, model, judged)
            if model.weights is not None:
                asks_of(scorer).check(model.weights, settings)
            called = _called(model, judged, judges.models)
            judges.models[called] = model
            reader = None if model.weights is None or model.is_classifier else model.reader()
            own = _own_precision(model, precision)
            judges.by_task.setdefault(task.name, []).append(
                _task_judge(
                    task, ref, scorer, settings, (called, model, own, reader), _ids_of(model, settings, serving)
                )
            )
    return judges


def _task_judge(
    task: Task,
    ref: ScorerRef,
    scorer: Scorer,
    settings: Spec,
    of: tuple[str, BaseModel, str, Reader | None],
    ids: list[Any],
) -> TaskJudge:
    called, model, precision, reader = of
    splits: dict[Split, Sequence[Example]] = {"train": task.train, "test": task.test}
    backend = ["classifier", "1"] if model.is_classifier else BACKENDS.get(model.backend).content()
    return TaskJudge(
        scorer=ref,
        measure=scorer.name,
        base=called,
        base_key=model.key,
        precision=precision,
        judge=judge_digest(scorer, settings, [model.key, precision, backend, *_asked_by(reader), *ids]),
        questions={split: questions_digest(scorer, settings, examples) for split, examples in splits.items()},
        tokens={split: _tokens(task, examples, scorer, settings, reader) for split, examples in splits.items()},
    )


def _check_not_judged(task: Task, scorer: Scorer, judge: BaseModel, judged: Mapping[str, BaseModel]) -> None:
    for name, model in judged.items():
        if judge.key == model.key or (_names(judge) & _names(model)):
            raise ConfigError(
                f"task '{task.name}': scorer '{scorer.name}' asks '{judge.name}', which is the model '{name}' that is "
                "judged, and no model judges itself; name another judge"
            )


def _names(model: BaseModel) -> set[str]:
    """What a model is called, where that says which one it is; nothing of a folder or a file, whose content does."""
    if model.weights is None:
        served = model.reference.rpartition("#")[2].casefold()
        return {served, served.rpartition("/")[2]}
    name = model.name.partition("@")[0].casefold()
    hub_id = ALIASES[name].hub_id.casefold() if name in ALIASES else name
    is_hub_id = hub_id.count("/") == 1 and "+" not in hub_id and not model.name.startswith((".", "/", "~"))
    return {name, hub_id, hub_id.rpartition("/")[2]} if is_hub_id else set()


def _called(model: BaseModel, judged: Mapping[str, BaseModel], judges: Mapping[str, BaseModel]) -> str:
    """What results call a judge: no other model has that name."""
    plain = shown_names([model.name])[model.name]
    same = next((name for name, other in judges.items() if other.key == model.key), "")
    names = chain([plain], (f"{plain} {number}" for number in count(2)))
    return same or next(name for name in names if name not in judged and name not in judges)


def _own_precision(model: BaseModel, precision: Precision) -> str:
    if model.weights is None:
        return ""
    return PRECISION if model.is_classifier else precision


def _asked_by(reader: Reader | None) -> list[Any]:
    """What of a language model that is files determines how it is asked and answers, beside its content's key."""
    if reader is None:
        return []
    chat = Chat()
    template = template_text(reader.tokenizer, chat) if has_template(reader.tokenizer, chat) else ""
    return [canonical_digest(template), list(reader.ends)]


def _ids_of(model: BaseModel, settings: Spec, serving: Serving) -> list[Any]:
    """What makes the token ids by which a model behind a server is asked; nothing of one that answers in words."""
    served = BACKENDS.get(model.backend).opens
    if model.weights is not None or not reads_probabilities(settings) or not isinstance(served, Served):
        return []
    reader = served.reader(model.reference, serving)
    return [{"tokenizer": tokenizer_digest(Path(reader.tokenizer.name_or_path))}] if reader else []


def _tokens(task: Task, examples: Sequence[Example], scorer: Scorer, settings: Any, reader: Reader | None) -> int:
    """What a judge reads and writes for a split at most, if no two texts are alike."""
    longest, asks = task.generation.max_new_tokens, asks_of(scorer)
    questions = [asks.question(example, "-", settings) for example in examples]
    tokens = [about_tokens(question) for question in questions]
    if reader is not None and examples:
        tokens = [len(ids) for ids in reader.tokenizer(questions, verbose=False)["input_ids"]]
        room = reader.context_tokens
        # Training examples are judged where groups are replayed by what they lost, and few studies do.
        if room is not None and examples == task.test and max(tokens) + longest > room:
            worst = max(range(len(tokens)), key=tokens.__getitem__)
            raise DataError(
                f"task '{task.name}', example '{examples[worst].id}': the question of scorer '{scorer.name}' has "
                f"{tokens[worst]} tokens, with a text of {longest} more than the judge's context of {room}; name a "
                "judge that reads more"
            )
    return sum(own + longest + asks.written_tokens(settings) for own in tokens) * task.generation.samples
