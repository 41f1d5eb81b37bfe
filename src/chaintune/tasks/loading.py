"""A task by its name, or from data of the user's own: read, split by cluster, sampled to size, checked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from chaintune.arguments import NAMES, PATH, SIZE, taking
from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.files.reading import user_path
from chaintune.files.rows import kind
from chaintune.records import Choices, Example, Generation, Role, ScorerRef, Task
from chaintune.records.amounts import Amount
from chaintune.records.examples import LABEL
from chaintune.records.generation import GENERATION, function_of
from chaintune.tasks.chat import checked_mode, in_chat, own_system, read_template
from chaintune.tasks.definition import DataOptions, Pool, TaskData
from chaintune.tasks.labelling import is_balanced, labelled
from chaintune.tasks.left_out import note_left_out
from chaintune.tasks.overlap import joined_clusters, shared_items
from chaintune.tasks.sizes import Size, SizeSpec, check_dimension, of_groups, parse_size, take
from chaintune.tasks.sources import read
from chaintune.tasks.splits import split_clusters
from chaintune.tasks.text_labels import read_labels
from chaintune.tasks.unanswered import answered, without_answers

ROLES = ("safety", "capability")
SHOWN = 5


@taking(
    name=str,
    role=str,
    train=SIZE,
    test=SIZE,
    seed=Integral,
    chat=str,
    system=str,
    chat_template=PATH,
    measure=NAMES,
    metric=NAMES,
    path=PATH,
    test_path=PATH,
    hub=str,
    config=str,
    lm_eval=str,
    fewshot=Integral,
    include_path=PATH,
    free=Integral,
)
def load(
    name: str,
    *,
    role: Role | None = None,
    train: Size = None,
    test: Size = None,
    seed: int = 0,
    only: Mapping[str, str | Sequence[str]] | None = None,
    test_share: float | None = None,
    measure: str | Sequence[str] = (),
    metric: str | Sequence[str] = (),
    labelling: bool | None = None,
    special_tokens: bool = False,
    chat: str | None = None,
    system: str = "",
    chat_template: Path | str | None = None,
    margin: float | str | None = None,
    scorers: str | Sequence[str | ScorerRef] = (),
    labels: Path | str | None = None,
    generation: Mapping[str, Any] | None = None,
    allow_overlap: bool = False,
    ask_train: bool = False,
    path: Path | str | None = None,
    test_path: Path | str | None = None,
    rows: Any = None,
    hub: str | None = None,
    config: str | None = None,
    split: str | Mapping[str, str] | None = None,
    columns: Mapping[str, Any] | None = None,
    unusable: Literal["error", "skip"] | None = None,
    use: str | None = None,
    lm_eval: str | None = None,
    fewshot: int | None = None,
    include_path: Path | str | None = None,
    free: int | None = None,
) -> Task:
    """The task of this name, or the task that a file of your own, a Hub data set or lm-eval holds.

    Args:
        name: of a known task; `lm_eval:` and the name of a task there; or any other name for data of your own.
        role: `safety` or `capability`; a known task has one, data of your own needs one.
        train: how many examples are taught: None for all, a number, `30 per category`, or `none`.
        test: how many are tested; also `power 10` or `power 10 per category`, for what shows a loss of 10 points
            with 80 % power at the flips of `tasks.power.FLIPS`.
        seed: of the split and of the samples.
        only: dimension -> groups: examples of others are neither taught nor tested.
        test_share: share of the clusters that are tested, more than 0 and at most 1, where the data
            has no test split of its own; 1 teaches nothing.
        measure: how checkpoints are asked, one or several, the first deciding; none is what suits the examples.
        metric: what scores an example, one or several, the first deciding; none is the measure's first.
        labelling: whether answers are labels, scored by balanced accuracy; None where every example offers the same.
        special_tokens: whether special tokens written in the texts, as a chat template writes them, are read as such;
            else they are text like any other.
        chat: whether prompts are turns that the model's chat template renders: `on`, `off`, or `auto` (None), which
            leaves choices and texts alone as they are; see `chat.in_chat`.
        system: a system text, the first turn of every conversation without one.
        chat_template: a file with the template that renders, in place of the model's own, or the name of one of several
            that the model has.
        margin: up to how large a loss counts as none, as a share of the score or as text with a unit, `0.05 nats`; None
            is 0.02 of shares, and none of other units.
        scorers: what judges texts that are written, one or several, the first deciding; where some are named and no
            measure, it is `generation`; none is the known task's own. `FILE.py:function` is one of your own; it
            runs where it is given as `ScorerRef(..., trusted=True)`.
        labels: file with people's labels of texts that checkpoints wrote: columns `id`, `text` and `label`.
        generation: in what the writing of texts differs from the known task's or the usual; keys are the fields of
            `records.Generation`.
        allow_overlap: take data of your own whose train and test splits share examples.
        ask_train: the training examples are those that are asked, in place of the tested ones, and none is taught.
        path: of a file of your own, or of a known task's data in the shape that it is published in.
        test_path: of a file of your own with what is tested; `path` then holds what is taught.
        rows: in place of `path`, a table in memory: a frame of pandas or polars, a Hugging Face data set, or a list
            of mappings; a mapping of split to table, such as a `DatasetDict`, keeps its splits.
        hub: a data set on the Hub, `owner/name`.
        config: its configuration.
        split: its split, or the part of a file, that is cut by cluster, or `train` and `test` -> split.
        columns: which column holds what; see `columns.resolve_columns`.
        unusable: `error`, or `skip` to leave out rows that cannot be used, or that a model of the run cannot read,
            counted; of known data faulty rows are left out and counted in any case.
        use: a known task, whose data it is, under another name.
        lm_eval: a task of lm-evaluation-harness; a name that begins with `lm_eval:` says the same.
        fewshot: samples that lm-eval puts in front of each question.
        include_path: a folder with lm-eval task files of your own.
        free: how many conversations a model begins itself, in place of any data.

    Raises:
        ConfigError: the arguments do not go together.
        DataError: the data is missing, malformed, or too small.
    """
    what = f"task '{name}'"
    for flag, value in (("special_tokens", special_tokens), ("allow_overlap", allow_overlap), ("labelling", labelling)):
        if not isinstance(value, bool) and not (value is None and flag == "labelling"):
            raise ConfigError(f"{what}: {flag} must be true or false, got {kind(value)}")
    mode = checked_mode("auto" if chat is None else chat, what)
    if special_tokens and mode == "on":
        raise ConfigError(f"{what}: 'special_tokens' are of prompts that are rendered already; leave 'chat: on' out")
    template = read_template(chat_template, what) if chat_template else ""
    own_role = None if role is None else _checked_role(what, role)
    sizes = {"train": parse_size(train, f"{what}, train"), "test": parse_size(test, f"{what}, test")}
    if sizes["train"] and sizes["train"].points:
        raise DataError(f"{what}, train: '{train}': power is a matter of what is tested; write a number of examples")
    left = [split for split, size in sizes.items() if size is None or not size.is_none]
    if not left:
        raise ConfigError(f"{what}: 'train: none' and 'test: none' leave nothing of it; give one of them a size")
    data: DataOptions = {
        "path": path, "test_path": test_path, "rows": rows, "hub": hub, "config": config, "split": split,
        "columns": columns, "unusable": unusable, "use": use, "lm_eval": lm_eval, "fewshot": fewshot,
        "include_path": include_path, "free": free,
    }  # fmt: skip
    options = {option: value for option, value in data.items() if value is not None}
    source = read(name, own_role, options, generated=bool(scorers) or GENERATION in _names(measure))
    source = labelled(of_groups(source, only, what) if only else source, labelling, what)
    if ask_train:
        sizes["test"] = sizes["test"] if "test" not in left else None
    elif without_answers(source.pool, sizes, what):
        sizes["train"], left = SizeSpec(0), ["test"]
    whole, notes = _parts(name, source, seed, test_share, allow_overlap=allow_overlap, left=left)
    balanced = is_balanced(source.dimensions, _names(metric), (*source.pool.examples, *(source.pool.test or ())))
    _check_power(sizes["test"], whole["test"], _names(measure), what)
    taken = _samples(name, source, whole, sizes, seed=seed, balanced=balanced)
    if ask_train:
        taken = {"train": (), "test": _left_to_ask(taken["train"], what)}
    taken["train"] = answered(taken["train"], sizes["train"], what, notes)
    if special_tokens:
        taken = {split: tuple(replace(one, special_tokens=True) for one in part) for split, part in taken.items()}
    if system and (own := own_system([*taken["train"], *taken["test"]])):
        notes.append(f"{number_of(own, 'conversation keeps its', 'conversations keep their')} own system text")
    how: dict[str, Any] = {"system": system, "template": template, "what": what, "continued": source.continued}
    taken = {split: tuple(in_chat(part, mode, **how)) for split, part in taken.items()}
    return Task(
        name=name,
        role=own_role or source.role or "capability",
        version=source.version,
        train=taken["train"],
        test=taken["test"],
        dimensions=source.dimensions,
        source=source.pool.source + note_left_out(name, Counter(), 0, notes),
        licence=source.licence,
        measures=_names(measure) or ((GENERATION,) if scorers else ()),
        metrics=_names(metric),
        balance=source.balance,
        known=source.known if source.known != name else "",
        chat=mode,
        skips_unusable=unusable == "skip",
        margin=None if margin is None else _checked_margin(what, margin),
        generation=_generation(source, generation or {}, what),
        scorers=_scorers(scorers) or ((ScorerRef(source.scorer),) if source.scorer else ()),
        labels=None if labels is None else read_labels(user_path(labels)),
    )


def _left_to_ask(train: tuple[Example, ...], what: str) -> tuple[Example, ...]:
    if not train:
        raise DataError(
            f"{what}: all its examples are tested and none is left to train on; 'test_share: 0.5' sets half "
            "of them apart (--set tasks.NAME.test_share=0.5)"
        )
    return train


def _checked_margin(what: str, margin: float | str) -> Amount:
    try:
        return Amount.of(margin)
    except ValueError as error:
        raise ConfigError(f"{what}: margin: {error}") from error


def _generation(source: TaskData, settings: Mapping[str, Any], what: str) -> Generation:
    try:
        return replace(source.generation, **settings)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error


def _scorers(scorers: str | Sequence[str | ScorerRef]) -> tuple[ScorerRef, ...]:
    several = [scorers] if isinstance(scorers, str) else scorers
    return tuple(with_source(ScorerRef(one) if isinstance(one, str) else one) for one in several if one)


def with_source(ref: ScorerRef) -> ScorerRef:
    """A scorer that is a function with the text of its file, which goes to other machines and into keys; others as is.

    Raises:
        ConfigError: the file cannot be read.
    """
    file, name = function_of(ref.name)
    if not name or ref.source:
        return ref
    try:
        return replace(ref, source=user_path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"scorer '{ref.name}': its file cannot be read ({error})") from error


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(filter(None, [names] if isinstance(names, str) else names))


def _check_power(size: SizeSpec | None, tested: Sequence[Example], measures: Sequence[str], what: str) -> None:
    """Refuse a size by the power of shares for what is measured in nats."""
    if not (size and size.points):
        return
    from chaintune.tasks.power import counts_flips  # loads scipy, which other sizes do not need

    if not counts_flips(tested, measures):
        raise DataError(
            f"{what}, test: '{size}': power is known of shares of what is right, and reference answers are measured in "
            "nats; write a number of examples"
        )


def sample_test(task: Task, size: Size, *, seed: int = 0) -> Task:
    """The task with a sample of its test examples, the same ones as `load` takes of the same split.

    Args:
        task: as it is.
        size: None for all of them, a number, or `40 per category`.
        seed: of the sample.

    Raises:
        DataError: the size is none, or there are fewer examples.
    """
    whole, parsed = {"train": task.train, "test": task.test}, parse_size(size, f"task '{task.name}', test")
    balanced = is_balanced(task.dimensions, task.metrics, task.test)
    return replace(task, test=_sample(whole, "test", parsed, task=task.name, data=task, seed=seed, balanced=balanced))


def _samples(
    task: str,
    data: TaskData,
    whole: Mapping[str, Sequence[Example]],
    sizes: Mapping[str, SizeSpec | None],
    *,
    seed: int,
    balanced: bool,
) -> dict[str, tuple[Example, ...]]:
    """What is taken of each split; what neither has enough of is told at once, with how the data were divided."""
    taken, problems = dict[str, tuple[Example, ...]](), list[str]()
    for split, size in sizes.items():
        try:
            taken[split] = _sample(whole, split, size, task=task, data=data, seed=seed, balanced=balanced)
        except DataError as error:
            problems.append(str(error))
    if problems and data.pool.test is None and all(whole.values()):
        parts = f"{len(whole['train']):,} to be taught and {len(whole['test']):,} to be tested"
        problems[-1] += f"; the data have no split of their own and give {parts}, 'test_share' another division"
    if problems:
        raise DataError("\n".join(problems))
    return taken


def _sample(
    whole: Mapping[str, Sequence[Example]],
    split: str,
    size: SizeSpec | None,
    *,
    task: str,
    data: TaskData | Task,
    seed: int,
    balanced: bool,
) -> tuple[Example, ...]:
    what = f"task '{task}', {split}"
    check_dimension(size, data.dimensions, what)
    # A group that only the other split has is a group without examples here, not one to pass over.
    both = (example for part in whole.values() for example in part)
    groups = {name for example in both for name in size.groups(example)} if size and size.dimension else set()
    balance = data.balance if split == "test" else ()
    how: dict[str, Any] = {"groups": sorted(groups), "balance": balance, "balanced": balanced}
    part = take(whole[split], size, task=data.known or task, seed=seed, what=what, **how)
    return tuple(sorted(part, key=lambda example: example.id))


def _parts(
    task: str, data: TaskData, seed: int, test_share: float | None, *, allow_overlap: bool, left: Sequence[str]
) -> tuple[Mapping[str, Sequence[Example]], list[str]]:
    """The examples of each split that is left, and what was done about examples that are the same.

    Of data without a split of its own all is left for the only split, unless the task is a known one: its examples are
    tested or taught whatever a study takes of them.
    """
    what, pool = f"task '{task}'", data.pool
    notes: list[str] = []
    _check_ids([*pool.examples, *(pool.test or ())], what)
    share = data.test_share if test_share is None else _checked_share(what, test_share, pool)
    if len(left) == 1 and test_share is None and not data.known:
        share = float("test" in left)
    train, joined = joined_clusters(pool.examples)
    if pool.test is not None:
        test, more = joined_clusters(pool.test)
        joined += more
        if len(left) > 1 or not data.mendable:
            train = _apart(train, test, data, what, notes, allow_overlap=allow_overlap)
            _check_clusters(train, test, what)
    else:
        stratify_by = (
            next((one for one in data.dimensions if one != LABEL), "") if data.stratify_by is None else data.stratify_by
        )
        named = data.known or task
        train, test = split_clusters(train, task=named, seed=seed, test_share=share, stratify_by=stratify_by)
    if joined:
        rows, share_it = number_of(joined, "row has", "rows have"), "shares" if joined == 1 else "share"
        targets = [example.target for example in (*pool.examples, *(pool.test or ()))]
        alike = "prompt and choices" if isinstance(targets[0], Choices) else "prompt"
        notes.append(f"{rows} the {alike} of another and {share_it} its cluster")
    for split, part, emptied_on_purpose in (("train", train, share == 1), ("test", test, False)):
        if not part and not emptied_on_purpose and split in left:
            raise DataError(f"{what}: the {split} split is empty; {_why_empty(pool)}")
    return {split: part if split in left else [] for split, part in (("train", train), ("test", test))}, notes


def _apart(
    train: list[Example], test: Sequence[Example], data: TaskData, what: str, notes: list[str], *, allow_overlap: bool
) -> list[Example]:
    """What is taught, without what is tested; in data of the user's own it is an error."""
    shared = shared_items(train, test)
    if not shared or (data.mendable and allow_overlap):
        return train
    if data.mendable:
        many, (one, other) = number_of(len(shared), "example is", "examples are"), shared[0]
        raise DataError(
            f"{what}: {many} in train and in test, such as '{one}', which is '{other}' there; "
            "what was taught cannot be tested, so remove them from one, or say 'allow_overlap: true' in the study "
            "(allow_overlap=True in Python)"
        )
    one, several = "row of train is tested too and is not taught", "rows of train are tested too and are not taught"
    notes.append(number_of(len(shared), one, several))
    doubled = {name for name, _ in shared}
    return [example for example in train if example.id not in doubled]


def _why_empty(pool: Pool) -> str:
    if pool.test is not None:
        return "the data has a split of its own and puts no row there, or only rows that repeat others"
    clusters = {example.cluster for example in pool.examples}
    rows, where = number_of(len(pool.examples), "row lies", "rows lie"), number_of(len(clusters), "cluster")
    return (
        f"{rows} in {where}, and a cluster is never divided; "
        "give more clusters, or another test_share, or a column 'split'"
    )


def _check_ids(examples: Sequence[Example], what: str) -> None:
    repeated = [name for name, count in Counter(example.id for example in examples).items() if count > 1]
    if repeated:
        many = number_of(len(repeated), "id appears", "ids appear")
        raise DataError(
            f"{what}: {many} in several rows: {_listed(repeated)}; give every row an id of "
            "its own, or, where the data has no id column, remove rows that repeat a prompt and its answers"
        )


def _check_clusters(train: Sequence[Example], test: Sequence[Example], what: str) -> None:
    shared = {example.cluster for example in train} & {example.cluster for example in test}
    if shared:
        many = number_of(len(shared), "cluster lies", "clusters lie")
        raise DataError(
            f"{what}: {many} in both train and test: {_listed(shared)}; "
            "what was taught cannot be tested, so put each cluster in one split, or give one split to be cut by cluster"
        )


def _listed(words: Iterable[str]) -> str:
    ordered = sorted(words)
    rest = len(ordered) - SHOWN
    return ", ".join(f"'{word}'" for word in ordered[:SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def _checked_role(what: str, role: str) -> Role:
    if role not in ROLES:
        raise ConfigError(f"{what}: role '{role}' is not known; {nearest(role, ROLES)}")
    return "safety" if role == "safety" else "capability"


def _checked_share(what: str, share: float, pool: Pool) -> float:
    if isinstance(share, bool) or not isinstance(share, Real):
        raise ConfigError(f"{what}: test_share {share!r} must be a number, more than 0 and at most 1")
    if pool.test is not None:
        raise ConfigError(f"{what}: the data has a test split of its own, so it takes no test_share")
    if not 0 < share <= 1:
        raise ConfigError(f"{what}: test_share {share} must be more than 0 and at most 1")
    return share
