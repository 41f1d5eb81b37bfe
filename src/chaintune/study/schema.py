"""The schema of a study file, and the sentence for each invalid value."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, cast, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SkipValidation,
    ValidationError,
    create_model,
    field_serializer,
)

from chaintune.config.source import KeyPath, Source, dotted
from chaintune.config.validation import Names, Real, Seed, Spec, Whole, as_list, as_name, as_names, check, note
from chaintune.errors import DataError, nearest
from chaintune.records import ForgettingFrom, Metric, Recipe, Resources, Role, ScorerRef
from chaintune.records.amounts import Amount
from chaintune.records.results import MOST_RESAMPLES, SeedVariance
from chaintune.registry import Registry
from chaintune.scoring.backends import BACKENDS, DEFAULT
from chaintune.study.data_spec import ColumnSpec, SplitSpec
from chaintune.study.peft_spec import PeftSpec
from chaintune.study.serve import ServeSpec, as_serve
from chaintune.study.stage_settings import STAGE_FIELDS, StageSettings
from chaintune.tasks import DataOptions
from chaintune.tasks.chat import RunMode
from chaintune.tasks.sizes import NONE, parse_size
from chaintune.tuning.objectives import OBJECTIVES

# The checkpoints at which a task is measured that some chain teaches.
MeasuredAt = Literal["all checkpoints", "own chains"]
Kl = bool | Literal["first stages"]
_MOST_EXAMPLES = 10_000_000
TASK_NAME = re.compile(r"(lm_eval:)?[A-Za-z0-9][A-Za-z0-9_-]*")


def _as_size(value: Any) -> int | str | None:
    """A size that the tasks understand; `all` is None."""
    if value == "all":
        return None
    try:
        parse_size(value, "")
    except DataError as error:
        raise ValueError(str(error).removeprefix(": ")) from error
    text = " ".join(str(value).split())
    return int(text) if text.isdigit() else text


def _as_margin(value: Any) -> Any:
    """A margin as it is written, once it can be read."""
    if value is not None and Amount.of(value).value < 0:
        raise ValueError(f"expected 0 or more, got {value!r}")
    return value


def _as_scorers(value: Any) -> list[ScorerRef]:
    """Scorers as they are written: a name, a mapping of a name to its settings, or several of these."""
    scorers: list[ScorerRef] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(one, ScorerRef):
            scorers.append(one)
            continue
        named = {one: {}} if isinstance(one, str) else one
        settings = next(iter(named.values()), None) if isinstance(named, dict) and len(named) == 1 else ()
        if settings is not None and not isinstance(settings, dict):
            raise ValueError(
                f"expected the name of a scorer, such as refusal, or one with settings, {{regex: {{pattern: ...}}}}, "
                f"got {one!r}"
            )
        scorers.append(ScorerRef(str(*named), settings or {}))
    return scorers


def _as_names_or_none(value: Any) -> Any:
    """One name or several, as several; text without a letter is none."""
    return [] if value == "" else value if isinstance(value, list | dict) else [value]


def _part_or_whole(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"expected a whole number of GPUs, or a part of one such as 0.5, got {gpus:g}")
    return gpus


NamesOrNone = Annotated[list[Annotated[str, BeforeValidator(as_name)]], BeforeValidator(_as_names_or_none)]
Size = Annotated[int | str | None, BeforeValidator(_as_size)]


def _name_in(registry: Registry[Any]) -> BeforeValidator:
    def check_name(name: Any) -> Any:
        if not isinstance(name, str) or name not in registry.names:
            raise ValueError(f"{name!r} is no valid value; {nearest(str(name), registry.names)}")
        return name

    return BeforeValidator(check_name)


_RECIPE_LIMITS: Mapping[str, Any] = {
    "objective": Annotated[str, _name_in(OBJECTIVES)] | None,
    "beta": Annotated[Real, Field(gt=0, le=1_000)],
    "label_smoothing": Annotated[Real, Field(ge=0, lt=0.5)],
    "learning_rate": Annotated[Real, Field(gt=0, lt=10)],
    "epochs": Annotated[Real, Field(gt=0, le=100_000)],
    "batch_size": Annotated[Whole, Field(ge=1, le=_MOST_EXAMPLES)],
    "micro_batch_size": Annotated[Whole, Field(ge=0, le=_MOST_EXAMPLES)],
    "warmup_fraction": Annotated[Real, Field(ge=0, lt=1)],
    "weight_decay": Annotated[Real, Field(ge=0)],
    "max_grad_norm": Annotated[Real, Field(ge=0)],
    "lora_rank": Annotated[Whole, Field(ge=1, le=100_000)],
    "lora_alpha": Annotated[Real, Field(gt=0)],
    "lora_dropout": Annotated[Real, Field(ge=0, lt=1)],
    "peft": PeftSpec | None,
    "devices": Annotated[Whole, Field(ge=1, le=10_000)],
    "cpus": Annotated[Real, Field(ge=0, le=1_000_000)],
    "gpus": Annotated[Real, Field(ge=0, le=1_000_000), AfterValidator(_part_or_whole)],
    "memory_gb": Annotated[Real, Field(ge=0, le=1_000_000)],
    "report_to": Annotated[tuple[str, ...], BeforeValidator(as_names)],
}


def _as_mode(value: Any) -> Any:
    """What YAML takes for a truth value as the word that was written."""
    return ("on" if value else "off") if isinstance(value, bool) else value


class TaskSpec(Spec):
    """One task of a study.

    Attributes:
        role: needed for a user's own data; a registered task knows its own.
        train, test: a number, `N per DIMENSION`, `all` (None), or `none`, which teaches or measures nothing.
        path, test_path, use, hub, config, split, columns, unusable, lm_eval, fewshot, include_path: where the data is;
            see `tasks.DataOptions`.
        free: conversations that a model begins itself, in place of data.
        only: dimension -> groups: examples of others are neither taught nor tested.
        test_share: share of the clusters that are tested, where the data has no split.
        seed: of the split into train and test.
        recipe: fields in which stages on this task differ from the study's recipe.
        measure: how checkpoints are asked, the first deciding verdicts; none is what suits the examples.
        metric: what scores an example, the first deciding verdicts; none is the study's, or what suits the examples.
        labelling: whether answers are labels, scored by balanced accuracy; None where every example offers the same.
        special_tokens: whether special tokens written in the texts are read as such, and not as text.
        chat: whether prompts are turns that the model's chat template renders, or asked both ways; None is the study's.
        system: the first turn of every conversation that has no system text.
        chat_template: a file with the template that renders, in place of the model's own, or the name of one of several
            that the model has.
        labels: file with people's labels of texts that checkpoints wrote.
        margin: up to how large a loss counts as none: a share, or a number with a unit; None is the usual.
        scorer: what judges the texts that are written, the first deciding: a name, or a name with its settings.
        max_new_tokens, samples, temperature, generation_seed, stop: how texts are written; see `records.Generation`.
            None is the task's own, or the usual.
    """

    role: Role | None = None
    train: Size = None
    test: Size = None
    path: str | None = None
    test_path: str | None = None
    use: str | None = None
    hub: str | None = None
    config: str | None = None
    split: str | SplitSpec | None = None
    columns: ColumnSpec | None = None
    unusable: Literal["error", "skip"] | None = None
    lm_eval: str | None = None
    fewshot: Annotated[Whole, Field(ge=0, le=1_000)] | None = None
    include_path: str | None = None
    free: Annotated[Whole, Field(ge=1, le=_MOST_EXAMPLES)] | None = None
    only: Annotated[dict[str, Names], Field(min_length=1)] | None = None
    test_share: Annotated[Real, Field(gt=0, le=1)] | None = None
    seed: Seed = 0
    recipe: SkipValidation[dict[str, Any]] = Field(default_factory=dict)  # `check_recipe` looks at it
    measure: NamesOrNone = Field(default_factory=list)
    metric: NamesOrNone = Field(default_factory=list)
    labelling: bool | None = None
    special_tokens: bool = False
    chat: Annotated[RunMode | None, BeforeValidator(_as_mode)] = None
    system: str = ""
    chat_template: str | None = None
    margin: Annotated[float | str | None, BeforeValidator(_as_margin)] = None
    labels: str | None = None
    scorer: Annotated[list[ScorerRef], BeforeValidator(_as_scorers)] = Field(default_factory=list)
    max_new_tokens: Annotated[Whole, Field(ge=1, le=1_000_000)] | None = None
    samples: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    temperature: Annotated[Real, Field(ge=0, le=1_000)] | None = None
    generation_seed: Seed | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], as_list] | None = None

    @field_serializer("scorer")
    def _written_scorers(self, scorers: list[ScorerRef]) -> list[str | dict[str, Any]]:
        return [one.written() for one in scorers]

    @property
    def is_taught(self) -> bool:
        """Whether it has examples to teach."""
        return self.train != NONE

    @property
    def is_tested(self) -> bool:
        """Whether checkpoints are measured on it."""
        return self.test != NONE

    def generation(self) -> dict[str, Any]:
        """The settings of how texts are written that are named."""
        names = ("max_new_tokens", "samples", "temperature", "stop")
        named = {name: value for name in names if (value := getattr(self, name)) is not None}
        named |= {"stop": tuple(named["stop"])} if "stop" in named else {}
        return named | ({} if self.generation_seed is None else {"seed": self.generation_seed})

    def data(self) -> DataOptions:
        """The options of where the data is."""
        options = self.model_dump(include=set(DataOptions.__annotations__), exclude_none=True)
        return cast("DataOptions", options)


class CurvatureSpec(Spec):
    """Settings of the curvature of each chain's first checkpoint, on the training examples of its task.

    Attributes:
        examples: on which the loss is taken.
        space: of the directions: all weights, or those of an adapter.
        batches: parts of the examples whose curvatures show how sure it is; 0 for none.
        tolerance: relative error of the largest eigenvalue, where the iteration ends.
        basis: directions that are kept at once.
    """

    examples: Annotated[Whole, Field(ge=1, le=_MOST_EXAMPLES)] = 16
    space: Literal["full", "lora"] = "full"
    batches: Annotated[Whole, Field(ge=0, le=_MOST_EXAMPLES)] = 4
    tolerance: Annotated[Real, Field(gt=0, lt=1)] = 0.01
    basis: Annotated[Whole, Field(ge=3, le=1_000)] = 6


class StudySpec(Spec):
    """The keys of a study file. Tasks, chains, recipes, knobs and mitigations are read one by one.

    Attributes:
        base: the model, or several: a Hub id, a folder, a `.gguf` file, BASE+ADAPTER, or an alias.
        tasks: name -> what is taught and measured; of a known task the name is enough.
        chains: `both orders`, `all orders`, `all orders of N`, `20 random orders`, or a list of chains, each a list of
            tasks.
        recipe: how a stage trains.
        seed: of training, where `vary` has no seeds.
        vary: knob -> its values, which are crossed: `seed`, `recipe.FIELD`, `tasks.NAME.recipe.FIELD`, or whole
            recipes, each with a `name` if it is to have one in results. `seed: 3` is three seeds.
        precision: number format of the weights; `auto` is bf16 where the device has it.
        backend: that computes the models.
        metric: what scores an example of tasks that say none.
        chat: how tasks are asked that say nothing: in the model's chat template (`on`), as plain text (`off`), both
            ways, or as their examples suggest (`auto`).
        keep: which checkpoints stay in the store: all, those that end a chain, or none.
        measured_at: where a task that chains teach is measured: everywhere, or in these chains and at the base alone.
        allow_overlap: take what is taught and also tested; the results say what is.
        level: of confidence intervals.
        resamples: of the bootstrap and the permutation tests.
        forgetting_from: the checkpoint that forgetting is counted from.
        seed_variance: over what the variance between seeds is estimated together.
        mitigations: what holds forgetting back or brings back what was lost, an item each.
        curvature: measure the curvature of each chain's first checkpoint.
        kl: measure how far each stage, or each chain's first, moved the model on the task that it taught.
        allow_unused: weights in a base's files that the model may leave out.
        serve: a command that starts a server for each checkpoint that is measured through it.
    """

    base: Annotated[Names, Field(min_length=1)]
    tasks: Annotated[dict[Any, Any], Field(min_length=1)]
    chains: Any
    recipe: SkipValidation[dict[str, Any]] = Field(default_factory=dict)  # `check_recipe` looks at it
    seed: Seed = 0
    vary: Any = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    backend: Annotated[str, _name_in(BACKENDS)] = DEFAULT
    metric: Metric | Literal["auto"] = "auto"
    chat: Annotated[RunMode, BeforeValidator(_as_mode)] = "auto"
    keep: Literal["all", "final", "none"] = "all"
    measured_at: MeasuredAt = "all checkpoints"
    allow_overlap: bool = False
    level: Annotated[Real, Field(gt=0.5, lt=1)] = 0.95
    resamples: Annotated[Whole, Field(ge=100, le=MOST_RESAMPLES)] = 10_000
    forgetting_from: ForgettingFrom = "trained"
    seed_variance: SeedVariance = "over_groups"
    mitigations: list[Any] = Field(default_factory=list)
    curvature: CurvatureSpec | None = None
    kl: Kl = False
    allow_unused: NamesOrNone = Field(default_factory=list)
    serve: Annotated[ServeSpec | None, BeforeValidator(as_serve)] = None


@cache
def recipe_model() -> type[BaseModel]:
    """The keys of a recipe: the fields of `StageSettings`, so that a new field there is a new key here."""
    hints = get_type_hints(Recipe) | get_type_hints(Resources)
    usual = StageSettings().to_mapping()
    typed: dict[str, Any] = {name: (_RECIPE_LIMITS.get(name) or hints[name], usual[name]) for name in STAGE_FIELDS}
    return create_model("RecipeSpec", __base__=Spec, **typed)


def check_tasks(source: Source) -> dict[str, TaskSpec | None]:
    """Every task that the file names; None for one with problems."""
    written = source.data.get("tasks")
    if not isinstance(written, dict):
        return {}  # the problem is reported with the other keys
    for name in written:
        _check_name(name, source)
    return {
        str(name): check(TaskSpec, or_empty(value), ("tasks", str(name)), source) for name, value in written.items()
    }


def or_empty(value: Any) -> Any:
    """What is written, or an empty mapping where nothing is."""
    return {} if value is None or (isinstance(value, str | list) and not value) else value


def _check_name(name: Any, source: Source) -> None:
    if not isinstance(name, str):
        source.report(
            ("tasks", str(name)), f"expected a name, got the {type(name).__name__} {name!r}; put it in quotes"
        )
    elif not TASK_NAME.fullmatch(name) or name == "base":
        file = "; a file of your own is named by tasks.NAME.path=FILE" if "." in name else ""
        valid = f"use letters, digits, '-' and '_', and not 'base'{file}"
        source.report(("tasks", name), f"{name!r} cannot name a task; {valid}")


def check_recipe(value: Any, path: KeyPath, source: Source, *, at_value: bool = False) -> dict[str, Any]:
    """The recipe fields that are written, with their types; empty, with the problems noted, when one is wrong.

    Args:
        value: a mapping of recipe fields.
        path: where it stands.
        source: of the study file.
        at_value: the value of the only field stands at `path` itself, as in `vary`.
    """
    if isinstance(value, list) and path[0] in ("recipe", "tasks"):
        several = (
            f"several recipes are varied: write the list under vary, as 'vary: {{{dotted(path)}: [{{...}}, {{...}}]}}'"
        )
        source.report(path, f"expected a mapping of recipe fields, got a list; {several}")
        return {}
    if not isinstance(value, dict):
        source.report(path, f"expected a mapping of recipe fields, got {value!r}")
        return {}
    model = recipe_model()
    try:
        return model.model_validate(value).model_dump(exclude_unset=True)
    except ValidationError as error:
        note(error, model, path, source, at_value=at_value)
        return {}
