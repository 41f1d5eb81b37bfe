"""A study: base models x chains x recipes x seeds x mitigations, read from a file and checked whole."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from chaintune.config.source import KeyPath, Source, apply_override, as_plain, plain_mapping, read_source
from chaintune.config.validation import check, check_distinct
from chaintune.errors import ConfigError
from chaintune.files.names import shown_names
from chaintune.files.reading import user_path
from chaintune.records import ForgettingFrom, Metric, Recipe, SeedVariance
from chaintune.records.checkpoint import knob_target
from chaintune.records.generation import function_of
from chaintune.scoring.backends import DEFAULT
from chaintune.study.chains import Chain, read_chains
from chaintune.study.external import ChainItem, ExternalStage, task_of
from chaintune.study.knobs import Knob, Knobs, labels_of, read_vary, single_knobs
from chaintune.study.mitigations import MitigationItem, read_mitigations
from chaintune.study.schema import (
    CurvatureSpec,
    Kl,
    MeasuredAt,
    StudySpec,
    TaskSpec,
    check_recipe,
    check_tasks,
    or_empty,
)
from chaintune.study.serve import Serve, serve_of
from chaintune.study.size import check_jobs
from chaintune.study.stage_settings import StageSettings
from chaintune.study.task_spec import PATHS, check_data, folder_of, with_paths
from chaintune.tasks.chat import RunMode

Keep = Literal["all", "final", "none"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One setting of the varied knobs and one seed.

    Attributes:
        labels: what differs between the variants, seed apart, as `(name, value)` in the order of the file.
        knobs: the same with the values themselves, under the names of the file.
        seed: of every stage.
    """

    labels: tuple[tuple[str, str], ...]
    knobs: tuple[Knob, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Study:
    """A study file, resolved: every default filled in, every word expanded.

    Attributes:
        name: of the file, without its suffix.
        bases: names of the base models, as results have them.
        places: name -> where it lies, of those that are paths of this machine.
        tasks: name -> what is taught and measured.
        chains: the steps of each chain, in order: a task's name, or a stage that another program trains.
        stage: what `recipe` says of every stage, where a task's own or a knob does not differ.
        seed: used where `vary` has no seeds.
        vary: knobs in the order of the file, each with its values.
        mitigations: branches after or around a loss.
        precision, metric, keep, level, resamples, forgetting_from, seed_variance, backend: as in the file.
        curvature: how each chain's first checkpoint is measured before it is overwritten; None measures nothing.
        measured_at: the checkpoints at which a task is measured that some chain teaches: all, or those of its own
            chains and the bases.
        kl: whether the divergence of each stage from its parent, or of each chain's first, is measured on the task that
            it taught.
        allow_unused: patterns of weights that a base may leave out.
        allow_overlap: what is taught may also be tested; the results say what is.
        chat: how tasks are asked that do not say it themselves.
        serve: how a server is started for each checkpoint that is measured through one; None starts none.
        gradients: of how many training examples of each task gradients are compared at the base and after each chain's
            first stage, and whether divergences from the base are measured on all tasks there; no key of a file. 0
            measures neither.
    """

    name: str
    bases: tuple[str, ...]
    tasks: Mapping[str, TaskSpec]
    chains: tuple[Chain, ...]
    stage: StageSettings
    seed: int
    vary: tuple[Knobs, ...]
    mitigations: tuple[MitigationItem, ...]
    precision: Literal["auto", "fp32", "bf16"]
    metric: Metric | Literal["auto"]
    keep: Keep
    level: float
    resamples: int
    forgetting_from: ForgettingFrom = "trained"
    seed_variance: SeedVariance = "over_groups"
    backend: str = DEFAULT
    curvature: CurvatureSpec | None = None
    kl: Kl = False
    allow_unused: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    allow_overlap: bool = False
    chat: RunMode = "auto"
    serve: Serve | None = None
    gradients: int = 0
    measured_at: MeasuredAt = "all checkpoints"

    @classmethod
    def from_yaml(cls, path: Path | str, overrides: str | Iterable[str] = ()) -> Self:
        """The study that a YAML file describes.

        Args:
            path: of the file; relative paths in it, of data and of base models, start at its folder.
            overrides: `key=value` with dotted keys, as `--set` takes them; later ones win.

        Raises:
            ConfigError: an invalid value; the message names each, with its line.
        """
        if not isinstance(path, str | os.PathLike):
            raise ConfigError(f"study file {path!r}: expected a path; Study.from_mapping takes a mapping")
        source = read_source(Path(path))
        return cls(**_fields(source, Path(path).stem, overrides))

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], overrides: str | Iterable[str] = (), *, name: str = "study"
    ) -> Self:
        """The study that a mapping with the keys of a study file describes.

        Raises:
            ConfigError: an invalid value; the message names each, with its key.
        """
        if not isinstance(name, str):
            raise ConfigError(f"name {name!r}: expected a name for the study")
        return cls(**_fields(plain_mapping(mapping, name), name, overrides))

    def variants(self) -> list[Variant]:
        """Every setting of the knobs with every seed, the last knob of the file changing fastest."""
        seeds = dict(self.vary).get("seed", (self.seed,))
        varied = {name: values for name, values in self.vary if name != "seed"}
        chosen = [list(zip(varied, several, strict=True)) for several in product(*varied.values())]
        return [
            Variant(labels, tuple(single for knob in knobs for single in single_knobs(*knob)), seed)
            for labels, knobs in zip(labels_of(chosen), chosen, strict=True)
            for seed in seeds
        ]

    @property
    def taught(self) -> frozenset[str]:
        """Names of the tasks of which anything is taught."""
        replayed = {getattr(item.spec, name, None) for item in self.mitigations for name in ("task", "prompts")}
        named = {task_of(item) for chain in self.chains for item in chain}
        return frozenset(filter(None, named | replayed))

    @property
    def external(self) -> tuple[ExternalStage, ...]:
        """The stages that other programs train, each once."""
        items = dict.fromkeys(item for chain in self.chains for item in chain)
        return tuple(item for item in items if isinstance(item, ExternalStage))

    @property
    def recipe(self) -> Recipe:
        """The recipe of every stage whose task or knobs change nothing."""
        return self.stage.recipe

    def recipe_of(self, task: str, variant: Variant | None = None, extra: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of a stage on a task."""
        return self.stage_of(task, variant, extra).recipe

    def stage_of(
        self, task: str, variant: Variant | None = None, extra: Mapping[str, Any] | None = None
    ) -> StageSettings:
        """The settings of a stage on a task.

        The study's recipe, then the knobs of the variant, then the task's own fields and knobs, then
        `extra`: the later one wins.
        """
        knobs = [(knob_target(name), value) for name, value in (variant.knobs if variant else ())]
        chosen = {name: value for (owner, name), value in knobs if not owner}
        chosen |= self.tasks[task].recipe
        chosen |= {name: value for (owner, name), value in knobs if owner == task}
        return self.stage.changed(chosen | dict(extra or {}))

    def located(self, base: str) -> str:
        """The name by which a base is opened on this machine."""
        return self.places.get(base, base)

    def to_mapping(self, folder: Path | None = None) -> dict[str, Any]:
        """The resolved study with the keys of a study file; reading it gives an equal study.

        Args:
            folder: where the file will lie, so that no path in it is one of this machine; None leaves paths in full.
        """
        tasks = {name: as_plain(spec.model_dump(exclude_none=True)) for name, spec in self.tasks.items()}
        for spec in tasks.values():
            spec |= {key: _seen_from(folder, spec[key]) for key in PATHS if key in spec}
            spec["scorer"] = [_scorer_seen_from(folder, scorer) for scorer in spec["scorer"]]
        return {
            "base": [
                "+".join(_seen_from(folder, part) for part in self.located(base).split("+")) for base in self.bases
            ],
            "tasks": tasks,
            "chains": [[_written(item, folder) for item in chain] for chain in self.chains],
            "recipe": as_plain(self.stage.to_mapping()),
            "seed": self.seed,
            "vary": {name: list(map(as_plain, values)) for name, values in self.vary},
            "precision": self.precision,
            "backend": self.backend,
            "metric": self.metric,
            "keep": self.keep,
            "allow_overlap": self.allow_overlap,
            "level": self.level,
            "resamples": self.resamples,
            "forgetting_from": self.forgetting_from,
            "seed_variance": self.seed_variance,
            "mitigations": [
                {item.kind: as_plain(item.spec.model_dump(exclude_none=True))} for item in self.mitigations
            ],
            **({"curvature": self.curvature.model_dump()} if self.curvature else {}),
            **({"kl": self.kl} if self.kl else {}),
            **({"measured_at": self.measured_at} if self.measured_at != "all checkpoints" else {}),
            **({"chat": self.chat} if self.chat != "auto" else {}),
            **({"allow_unused": list(self.allow_unused)} if self.allow_unused else {}),
            **({"serve": self.serve.to_mapping(_seen_from(folder, self.serve.folder))} if self.serve else {}),
        }

    def to_yaml(self, folder: Path | None = None) -> str:
        """The resolved study as a study file, which will lie in a folder; None leaves its paths in full."""
        return yaml.safe_dump(self.to_mapping(folder), sort_keys=False, allow_unicode=True)


def _fields(source: Source, name: str, overrides: str | Iterable[str]) -> dict[str, Any]:
    """The fields of a study, or one error with everything that is wrong."""
    for text in _texts(overrides):
        apply_override(source, text)
    spec = check(StudySpec, source.data, (), source)
    specs = check_tasks(source)
    taught = [name for name, own in specs.items() if own is None or own.is_taught]
    chains = read_chains(source, list(specs), taught)
    recipe = check_recipe(or_empty(source.data.get("recipe")), ("recipe",), source)
    knobs = read_vary(source, list(specs))
    tasks = {task: _task(own, task, source) for task, own in specs.items() if own is not None}
    mitigations = read_mitigations(source, list(specs), chains)
    _check_measured(tasks, mitigations, source)
    bases = source.data.get("base")
    check_distinct(bases if isinstance(bases, list) else [], ("base",), source)
    source.stop_if_wrong()
    assert spec is not None  # noqa: S101 - a problem was noted otherwise
    measured = sum(max(1, len(own.measure)) for own in tasks.values() if own.is_tested)
    check_jobs(source, bases=len(spec.base), measured=measured, chains=chains, knobs=knobs, mitigations=mitigations)
    source.stop_if_wrong()
    set_apart = {"base", "tasks", "chains", "recipe", "vary", "mitigations"}
    plain = {key: getattr(spec, key) for key in StudySpec.model_fields if key not in set_apart}
    shown = shown_names(_located_model(base, folder_of(("base",), source)) for base in spec.base)
    return plain | {
        "name": name,
        "bases": tuple(shown.values()),
        "places": {name: place for place, name in shown.items() if name != place},
        "tasks": tasks,
        "chains": tuple(
            tuple(_located_item(item, folder_of(("chains",), source)) for item in chain) for chain in chains
        ),
        "stage": StageSettings().changed(recipe),
        "vary": tuple(knobs),
        "mitigations": tuple(mitigations),
        "allow_unused": tuple(spec.allow_unused),
        "serve": spec.serve and serve_of(spec.serve, folder_of(("serve",), source)),
    }


def _texts(overrides: Any) -> list[str]:
    texts = [overrides] if isinstance(overrides, str) else list(overrides) if isinstance(overrides, Iterable) else []
    if not isinstance(overrides, Iterable | None) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"overrides {overrides!r}: expected texts such as 'recipe.learning_rate=1e-4'")
    return texts


def _task(spec: TaskSpec, name: str, source: Source) -> TaskSpec:
    """The task with its recipe checked and its paths made to start at the study file's folder."""
    at: KeyPath = ("tasks", name)
    recipe = check_recipe(spec.recipe, (*at, "recipe"), source)
    check_data(spec, name, source)
    return with_paths(spec, name, source).model_copy(update={"recipe": recipe})


def _check_measured(tasks: Mapping[str, TaskSpec], mitigations: Sequence[MitigationItem], source: Source) -> None:
    """Note a study that would measure nothing, and mitigations of what is never measured."""
    tested = [name for name, own in tasks.items() if own.is_tested]
    if tasks and not tested:
        source.report(("tasks",), "every task has 'test: none', so nothing would be measured; give one a size")
    for index, item in enumerate(mitigations):
        if tested and item.task in tasks and item.task not in tested:
            source.report(
                ("mitigations", index, item.kind, "task"),
                f"'{item.task}' has 'test: none', so nothing would show whether it came back; give it a size",
            )


def _located_item(item: ChainItem, folder: Path) -> ChainItem:
    """A step of a chain with the paths of one that is trained elsewhere in full."""
    if isinstance(item, str):
        return item
    if item.path:
        return replace(item, path=_located_model(item.path, folder))
    return replace(item, folder=str((folder / user_path(item.folder)).absolute()))


def _written(item: ChainItem, folder: Path | None) -> Any:
    """A step of a chain as a study file in a folder has it."""
    if isinstance(item, str):
        return item
    path = "+".join(_seen_from(folder, part) for part in item.path.split("+"))
    return replace(item, path=path, folder=_seen_from(folder, item.folder)).to_mapping()


def _scorer_seen_from(folder: Path | None, scorer: Any) -> Any:
    """A scorer as a study file in a folder has it: the file of a function is seen from there."""
    if isinstance(scorer, dict):
        return {_scorer_seen_from(folder, name): _model_seen_from(folder, own) for name, own in scorer.items()}
    return _seen_from(folder, scorer) if function_of(scorer)[1] else scorer


def _model_seen_from(folder: Path | None, settings: Any) -> Any:
    """A scorer's settings as a study file in a folder has them: the folder of its model is seen from there."""
    model = settings.get("model") if isinstance(settings, dict) else None
    return {**settings, "model": _seen_from(folder, model)} if isinstance(model, str) else settings


def _seen_from(folder: Path | None, path: str) -> str:
    """A path of this machine as it is seen from a folder."""
    if folder is None or not Path(path).is_absolute():
        return path
    # The folders above may be links, and `..` leaves where they lead to.
    above, name = os.path.split(path)
    return os.path.relpath(Path(os.path.realpath(above)) / name, os.path.realpath(folder))


def _located_model(name: str, folder: Path) -> str:
    """A model's name, in full where it is a path that starts at a folder; what is no path there is left as it is."""
    path = folder / name
    if os.path.exists(path):  # noqa: PTH110 - also of a name that no file can have
        return str(path.absolute())
    base, plus, adapter = name.rpartition("+")
    return f"{_located_model(base, folder)}+{_located_model(adapter, folder)}" if plus and base and adapter else name
