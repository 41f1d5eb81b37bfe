"""What several processes on one machine do together, as plain data that travels from the one that starts them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from chaintune.models import Precision
from chaintune.records import Example, PeftSettings, Recipe, Regulariser
from chaintune.scoring.backends import DEFAULT

JOB, RESULT = "job.json", "result.json"
# Tells the processes which one started them.
PARENT = "CHAINTUNE_PARENT_PROCESS"


@dataclass(frozen=True, slots=True)
class Job:
    """A stage to be trained, or a checkpoint to be scored, by several processes.

    Attributes:
        kind: which of the two.
        weights, adapter: folders of the model that is read.
        precision: it is held in.
        trust_remote_code: whether the user said so.
        allow_unused: patterns of weights that the model may leave out.
        task: named in errors and scores.
        examples: that are taught, or scored.
        out: folder that the checkpoint is written into, or file of the measurement.
        scratch: folder where the processes tell how far they are and what went wrong.
        recipe, seed, replayed, protected, report_to: of a stage, as `tune` takes them.
        alone: whether a new adapter may be stored without the weights under it.
        shard: whether the weights are spread over the processes; None is where one device has not room for them.
        chat_template: of the tokenizer, in place of the one that lies beside the weights; None is none.
        backend: of a measurement: a name of `chaintune.scoring.backends.BACKENDS`.
        measure, provenance, measure_rounding, batch_tokens: of a measurement, as `measure_checkpoint` takes them.
    """

    kind: Literal["tune", "score"]
    weights: Path
    adapter: Path | None
    precision: Precision
    task: str
    examples: Sequence[Example]
    out: Path
    scratch: Path
    trust_remote_code: bool = False
    allow_unused: Sequence[str] = ()
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    replayed: Sequence[Example] = ()
    protected: Sequence[Example] = ()
    report_to: Sequence[str] = ()
    alone: bool = False
    shard: bool | None = None
    chat_template: Any = None
    backend: str = DEFAULT
    measure: str = "choice"
    provenance: Mapping[str, str] = field(default_factory=dict)
    measure_rounding: bool = False
    batch_tokens: int | None = None

    def write(self) -> Path:
        """Write the job into its scratch folder; the file to hand to the processes."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("examples", "replayed", "protected"):
            plain[name] = [example.content() for example in plain[name]]
        plain["recipe"] = asdict(self.recipe)
        path = self.scratch / JOB
        path.write_text(json.dumps(plain, default=_plain), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> "Job":
        """The job of a file."""
        plain = json.loads(path.read_text(encoding="utf-8"))
        for name in ("examples", "replayed", "protected"):
            plain[name] = tuple(map(Example.from_content, plain[name]))
        for name in ("weights", "adapter", "out", "scratch"):
            plain[name] = None if plain[name] is None else Path(plain[name])
        for name in ("report_to", "allow_unused"):
            plain[name] = tuple(plain[name])
        return cls(**plain | {"recipe": _recipe(plain["recipe"])})

    def progress_file(self, rank: int) -> Path:
        """Where a process tells how many examples it has scored."""
        return self.scratch / f"scored-{rank}"

    def error_file(self, rank: int) -> Path:
        """Where a process tells what went wrong."""
        return self.scratch / f"error-{rank}.json"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot travel in a job")


def _recipe(plain: dict[str, Any]) -> Recipe:
    targets = plain["lora_targets"]
    regulariser = plain["regulariser"]
    if regulariser is not None:
        options = tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in regulariser["options"])
        regulariser = Regulariser(regulariser["kind"], options)
    lora_targets = tuple(targets) if isinstance(targets, list) else targets
    peft = plain["peft"] and PeftSettings(**plain["peft"])
    return Recipe(**plain | {"lora_targets": lora_targets, "peft": peft, "regulariser": regulariser})
