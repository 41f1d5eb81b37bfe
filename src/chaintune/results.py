"""Results of a finished run as values: its rows, its checkpoints with their models and scores, and what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.errors import ConfigError, DataError, ModelError, StoreError, nearest, require
from chaintune.files.reading import read_json
from chaintune.records import ALL_SEEDS, Audit, Recommendation, ResultRow, Scores, rows_to_polars
from chaintune.records.amounts import USUAL_MARGIN
from chaintune.records.checkpoint import BASE, named_variant
from chaintune.scoring.score_files import indexed_scores
from chaintune.shown import Shown
from chaintune.stats import Adjustment, Reference
from chaintune.store.address import open_store
from chaintune.store.store import Store, hidden

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from chaintune.execution.state import RunOutcome
    from chaintune.study.study import Study

RESOLVED = "study.resolved.yaml"
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class StudyCheckpoint:
    """A checkpoint of a finished run: where its weights lie, the model, and what it scored.

    Attributes:
        base: name of the base model as results have it.
        chain: label of its chain, `base` of the base itself.
        variant: what differs between the study's chains of this name; empty where nothing does.
        seed: a number as text; empty of the base.
        key: address of its weights.
        folder: of the run.
        address: of the store that holds the weights; None is the default store.
    """

    base: str
    chain: str
    variant: str
    seed: str
    key: str
    folder: Path
    address: Store | Path | str | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, lora, seed 1`."""
        return ", ".join(filter(None, (self.chain, self.variant, self.seed and f"seed {self.seed}")))

    @property
    def study(self) -> "Study":
        """The study as it was run."""
        from chaintune.study.study import Study  # reading scores needs none

        return Study.from_yaml(self.folder / RESOLVED)

    @property
    def path(self) -> Path:
        """The folder of its weights on this machine: a whole model, or an adapter alone.

        Raises:
            StoreError: the weights are not in the store.
        """
        if entry := open_store(self.address).get("stage", self.key):
            return entry.path.resolve()
        weights, adapter = self.files()
        return (adapter or weights).resolve()

    def files(self, *, trust_remote_code: bool = False) -> tuple[Path, Path | None]:
        """The folder of the weights, and that of the adapter on top of them if there is one.

        Args:
            trust_remote_code: run Python code that comes with the model.

        Raises:
            ModelError: the base cannot be opened, or is no longer the one that the run began with.
            StoreError: the weights are not in the store.
        """
        from chaintune.execution.bases import open_base  # loads torch

        study, store = self.study, open_store(self.address)
        entry = store.get("stage", self.key)
        if entry and not (entry.path / ADAPTER_CONFIG).is_file():
            return entry.path, None
        bases = read_json(self.folder / "provenance.json").get("bases", {})
        named = self.base if entry else next((name for name, key in bases.items() if key == self.key), "")
        if not named:
            raise StoreError(f"checkpoint '{self.title}': {self._where_kept(study, store)}")
        how: dict[str, Any] = {"allow_unused": study.allow_unused, "trust_remote_code": trust_remote_code}
        base = open_base(study.located(named), store, study.backend, **how)
        if base.key != bases.get(named, base.key):
            raise ModelError(
                f"checkpoint '{self.title}': the model '{named}' has changed since the run, so that what was trained "
                "from it would answer otherwise; put back what it was, or run the study again"
            )
        return base.folder, entry.path if entry else base.adapter

    def _where_kept(self, study: "Study", store: Store) -> str:
        lack = f"its weights are not in the store {hidden(store.address)}"
        if study.keep == "all":
            return f"{lack}; name the store that the run used (--store, in Python store=), or run the study again"
        if study.keep == "final":
            return f"{lack}, as 'keep: final' keeps the ends of chains alone; set 'keep: all' and run the study again"
        return f"{lack}, as 'keep: none' keeps none; set 'keep: final' (ends of chains) or 'keep: all' and run it again"

    def load(self, *, precision: str = "auto", trust_remote_code: bool = False) -> tuple[Any, Any]:
        """The model, ready to be asked, and its tokenizer.

        Args:
            precision: `auto`, `bf16` or `fp32`.
            trust_remote_code: run Python code that comes with the model.

        Raises:
            ModelError: it cannot be loaded.
            StoreError: the weights are not in the store.
        """
        from chaintune import models

        weights, adapter = self.files(trust_remote_code=trust_remote_code)
        how: dict[str, Any] = {"trust_remote_code": trust_remote_code, "allow_unused": self.study.allow_unused}
        chosen = models.resolve_precision(precision)
        loaded = models.load(weights, adapter=adapter, precision=chosen, trainable=False, **how)
        return loaded.model, loaded.tokenizer

    def scores(self, task: str) -> Scores:
        """What it scored on the test examples of a task.

        Raises:
            ConfigError: it was not scored on such a task.
        """
        own = {name: path for (key, name), path in indexed_scores(self.folder).items() if key == self.key}
        if task not in own:
            raise ConfigError(f"checkpoint '{self.title}': no scores on '{task}'; {nearest(task, own)}")
        return Scores.read(own[task])

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it was scored on."""
        return tuple(name for key, name in indexed_scores(self.folder) if key == self.key)


def chosen_checkpoint(
    known: Sequence[StudyCheckpoint],
    chain: str,
    *,
    base: str | None = None,
    variant: str | None = None,
    seed: int | str | None = None,
) -> StudyCheckpoint:
    """The one checkpoint that is meant, as `StudyResults.checkpoint` has it.

    Raises:
        ConfigError: there is none, or several with different weights.
    """
    label = ">".join(part.strip() for part in chain.split(">"))
    left = [one for one in known if one.chain == label]
    if not left:
        raise ConfigError(f"checkpoint '{chain}': {nearest(label, [one.chain for one in known])}")
    several = []
    for what, named in (("base", base), ("variant", variant), ("seed", None if seed is None else str(seed))):
        keys: dict[str, set[str]] = {}
        for one in left:
            keys.setdefault(getattr(one, what), set()).add(one.key)
        meant = list(keys) if named is None else [_meant(chain, what, named, list(keys))]
        if len({frozenset(keys[name]) for name in meant}) > 1:
            several.append(f"its {what} (--{what}, in Python checkpoint(..., {what}=)): {'; '.join(meant)}")
        left = [one for one in left if getattr(one, what) == meant[0]]
    if several:
        raise ConfigError(f"checkpoint '{chain}': there are several; name one by {', and by '.join(several)}")
    return left[0]


def _meant(chain: str, what: str, named: str, names: Sequence[str]) -> str:
    """The one name that is meant, of a base or a variant also by a part that no other has."""
    if what == "variant":
        return named_variant(named, names)
    exact = [name for name in names if name == named]
    meant = exact or [name for name in names if what == "base" and named in name]
    if len(meant) != 1:
        raise ConfigError(f"checkpoint '{chain}': {what} '{named}' is none of it; {nearest(named, names)}")
    return meant[0]


@dataclass(frozen=True, slots=True, repr=False)
class StudyResults(Shown):
    """The results of a study.

    Attributes:
        rows: of `results.parquet`.
        outcome: what became of each node; nothing where results were read back.
        folder: where everything was written.
        level: of the intervals.
        store: that holds the checkpoints, or its address; None is the default store.
    """

    rows: tuple[ResultRow, ...]
    outcome: "RunOutcome"
    folder: Path
    level: float = 0.95
    store: Store | Path | str | None = None

    def __repr__(self) -> str:
        return f"StudyResults({len(self.rows)} rows in {str(self.folder)!r}; print shows what they say)"

    def to_polars(self) -> "pl.DataFrame":
        """The rows as a table, a column for each field of the row and of its estimate."""
        return rows_to_polars(self.rows)

    def to_pandas(self) -> "pd.DataFrame":
        """The same for pandas."""
        require("pandas frames", "pandas")
        return self.to_polars().to_pandas()

    def to_dict(self) -> list[dict[str, Any]]:
        """The same as plain data, one mapping a row."""
        return [row.to_dict() for row in self.rows]

    def checkpoints(self) -> list[StudyCheckpoint]:
        """Every checkpoint that was measured, each once, the base among them."""
        found: dict[tuple[str, ...], StudyCheckpoint] = {}
        for row in self.rows:
            if row.metric != "accuracy" or not row.checkpoint_keys or (row.seed == ALL_SEEDS and row.chain != BASE):
                continue
            varied = ("", "") if row.chain == BASE else (row.variant, row.seed)
            place = (row.base, row.chain, *varied)
            found.setdefault(place, StudyCheckpoint(*place, row.checkpoint_keys[0], self.folder, self.store))
        return list(found.values())

    def checkpoint(
        self, chain: str, *, base: str | None = None, variant: str | None = None, seed: int | None = None
    ) -> StudyCheckpoint:
        """The checkpoint at the end of a chain: its folder, its model, its scores.

        Args:
            chain: its label, `bbq>csqa`; `base` is the base itself.
            base: name of the base where there are several, or a part of it that no other has.
            variant: the same of the variant.
            seed: of several.

        Raises:
            ConfigError: there is none, or several.
        """
        return chosen_checkpoint(self.checkpoints(), chain, base=base, variant=variant, seed=seed)

    def compare(
        self,
        before: str | StudyCheckpoint,
        after: str | StudyCheckpoint,
        *,
        by: str | Sequence[str] = (),
        reference: Reference = "overall",
        level: float | None = None,
        margin: float | str = USUAL_MARGIN,
        adjust: Adjustment = "minp",
        resamples: int = 10_000,
        seed: int = 0,
        chosen_of: int = 1,
        power: bool = False,
    ) -> Audit:
        """The forgetting between any two checkpoints of the run, on every task that both were scored on.

        Args:
            before: a checkpoint, or the label of its chain.
            after: the same.
            by: dimensions whose groups are compared; `a x b` crosses two.
            reference: what biased forgetting is relative to, the `overall` forgetting or that of the `rest`.
            level: of the intervals; None is the study's.
            margin: a loss up to it counts as none.
            adjust: correction for several groups of a dimension: `minp`, `holm` or `bh`.
            resamples: random halves of the clusters that are drawn.
            seed: of the draws.
            chosen_of: how many checkpoints the later one was chosen of by these very scores.
            power: simulate comparisons like this one, to tell how often they show a loss.

        Raises:
            ConfigError: there is no such checkpoint or dimension.
            DataError: the two were scored on no task in common.

        Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
        """
        from chaintune.logs.compare import compare_sides
        from chaintune.logs.options import compare_options
        from chaintune.logs.sides import read_sides

        one, other = (self.checkpoint(side) if isinstance(side, str) else side for side in (before, after))
        common = [task for task in one.tasks if task in other.tasks]
        if not common:
            raise DataError(f"checkpoints '{one.title}' and '{other.title}' were scored on no task in common")
        scores = [{task: side.scores(task) for task in common} for side in (one, other)]
        options = compare_options(
            by=by, reference=reference, level=self.level if level is None else level, margin=margin, adjust=adjust,
            resamples=resamples, seed=seed, chosen_of=chosen_of, power=power,
        )  # fmt: skip
        own, others = (list(side.values()) for side in scores)
        return Audit(tuple(compare_sides(read_sides(own, others, options), options)), None, *scores)


@dataclass(frozen=True, slots=True)
class Mitigations(Shown):
    """The results of bringing back a lost task, and the model that was written.

    Attributes:
        results: of every dose or fraction, as a study's.
        choice: the recommended one, or that none is; of several recipes the one with the smallest.
        written: chain of the model that was written; empty when none was.
        model: its folder; None when none was written.
    """

    results: StudyResults
    choice: Recommendation
    written: str
    model: Path | None

    def to_polars(self) -> "pl.DataFrame":
        """Every row as a table."""
        return self.results.to_polars()

    def to_pandas(self) -> "pd.DataFrame":
        """The same for pandas."""
        return self.results.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """The choice and every row as plain data."""
        model = str(self.model) if self.model else None
        return {"choice": self.choice.to_dict(), "model": model, "rows": self.results.to_dict()}
