"""An engine that computes nothing and counts what it was asked; also a program to be killed in the middle."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.errors import StageError
from chaintune.execution.compute import Report, StageInputs
from chaintune.execution.events import Progress
from chaintune.execution.run import run_plan
from chaintune.files import atomic
from chaintune.plan.facts import TaskTokens
from chaintune.plan.nodes import MEASUREMENT_FILE, CurvatureNode, JudgementNode, KlNode, ScoreNode, StageNode
from chaintune.plan.plan import Plan, compile_plan
from chaintune.records import Choices, Curvature, Example, Task, choice_measurement
from chaintune.records.generation import Keep
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study

if TYPE_CHECKING:
    from chaintune.runs.output import Prepared

BASE_KEY = "0" * 64


def example(task: str, number: int, *, text: str = "") -> Example:
    return Example(
        f"{task}-{number:03}",
        f"{text}question {number}?",
        Choices((" yes", " no"), number % 2),
        {"side": ("left",)},
        str(number),
    )


def make_task(name: str, *, train: int = 8, test: int = 4, text: str = "") -> Task:
    rows = [example(name, number, text=text) for number in range(train + test)]
    return Task(
        name,
        "safety" if name == "a" else "capability",
        "1",
        tuple(rows[:train]),
        tuple(rows[train:]),
        ("side",),
        "made up",
        "CC0",
    )


def make_study(names: str = "ab", **keys: Any) -> Study:
    tasks = {name: {"role": "capability", "path": f"{name}.jsonl"} for name in names}
    plain = {"base": "tiny", "tasks": tasks, "chains": "all orders"}
    return Study.from_mapping(plain | keys)


def make_plan(study: Study, tasks: Mapping[str, Task] | None = None, *, tokens: TaskTokens | None = None) -> Plan:
    tasks = tasks or {name: make_task(name) for name in study.tasks}
    return compile_plan(
        study,
        base_keys={base: BASE_KEY if base == "tiny" else base[0] * 64 for base in study.bases},
        tasks=tasks,
        precision="fp32",
        count_tokens=lambda task: (
            tokens or TaskTokens(100 * len(task.train), {"train": 10 * len(task.train), "test": 10 * len(task.test)})
        ),
        stage_bytes=lambda _base, _recipe: 1_000,
        contents={stage: (("checkpoint", stage.path or "x"),) for stage in study.external},
    )


def make_prepared(study: Study, store: FolderStore, tasks: dict[str, Task]) -> "Prepared":
    """A study made ready, whose base lies in the store's folder."""
    from chaintune.execution.bases import BaseModel
    from chaintune.runs.output import Prepared  # loads torch, which the engine does not need

    bases = {name: BaseModel(name, BASE_KEY, store.root) for name in study.bases}
    return Prepared(study, store, tasks, bases, "fp32", make_plan(study, tasks))


class DummyEngine:
    """Weights are text: the parent's and one line more. Scores depend on the weights and on nothing else."""

    def __init__(self, folder: Path, *, hook: Callable[[str, str], None] | None = None) -> None:
        self.base = folder / "base"
        self.base.mkdir(parents=True, exist_ok=True)
        (self.base / "weights").write_text("base\n")
        self.calls: list[str] = []
        self.hook = hook or (lambda _when, _what: None)

    def __call__(self, _store: object) -> "DummyEngine":
        """The engine wherever one is to be built."""
        return self

    def base_folder(self, base: str) -> Path:
        assert base
        return self.base

    def stop_servers(self) -> None:
        """It starts none."""

    def tune(
        self, *, node: StageNode, inputs: StageInputs, out: Path, report: Callable[[Progress], None]
    ) -> dict[str, Any]:
        self.calls.append(f"tune {'>'.join(node.chain)}")
        read = "".join((inputs.parents[key] / "weights").read_text() for key in node.parents)
        read += "".join(str((inputs.scores[key] / MEASUREMENT_FILE).exists()) for key in node.measurements)
        (out / "weights").write_text(read + f"{sorted(inputs.tasks)} {node.seed} {node.chain[-1]}\n")
        report(Progress(node, 1, 2, "steps", 4.0, 0.25))
        self.hook("tune", ">".join(node.chain))
        return {"train_tokens": node.tokens, "final_loss": 0.5}

    def score(
        self,
        *,
        node: ScoreNode,
        checkpoint: Path | None,
        task: Task,
        out: Path,
        report: Callable[[Progress], None],
        keep: Keep,  # noqa: ARG002
    ) -> dict[str, Any]:
        assert checkpoint
        self.calls.append(f"score {'>'.join(node.chain) or 'base'} on {node.title.split(' on ')[1]}")
        size = -1.0 - len((checkpoint / "weights").read_text()) / 100
        examples = task.test if node.split == "test" else task.train
        measurement = choice_measurement(examples, [[size, -1.5] for _ in examples], [[1, 1] for _ in examples])
        measurement.write(out / MEASUREMENT_FILE)
        report(Progress(node, len(examples), len(examples), "examples"))
        self.hook("score", ">".join(node.chain) or "base")
        return {"score_tokens": node.tokens}

    def judge(self, *, node: JudgementNode, **_: Any) -> dict[str, Any]:
        raise NotImplementedError(node.title)

    def measure_curvature(self, *, node: CurvatureNode, checkpoint: Path, task: Task, out: Path) -> dict[str, Any]:
        self.calls.append(f"curve {'>'.join(node.chain)} on {task.name}")
        size = float(len((checkpoint / "weights").read_text()))
        found = Curvature(
            task.name, node.space, size, size, 0.0, 0.0, 0.0, (), 1.0, 0.0, node.examples, node.examples, 8, 8, 8, 0.0,
            node.examples_seed,
        )  # fmt: skip
        (out / "curvature.json").write_text(json.dumps(found.to_dict()))
        return {}

    def measure_overlap(self, *, node: Any, checkpoint: Path, tasks: Any, out: Path) -> dict[str, Any]:
        """No study of these tests asks for it."""
        raise NotImplementedError

    def measure_kl(
        self, *, node: KlNode, checkpoint: Path, parent: Path, task: Task, out: Path, report: Report
    ) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def tuned(self) -> list[str]:
        return [call.removeprefix("tune ") for call in self.calls if call.startswith("tune")]


def failing(chain: str) -> Callable[[str, str], None]:
    """A hook whose stage diverges."""

    def hook(when: str, what: str) -> None:
        if (when, what) == ("tune", chain):
            raise StageError("the loss is NaN at step 3")

    return hook


def main() -> None:
    """Run a study in `FOLDER`; stop for good at `WHEN` `WHAT`, having written `stopped`, until killed."""
    folder, when, what, keep = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]

    def stop() -> None:
        (folder / "stopped").write_text("")
        while when != "never":
            time.sleep(0.05)

    def hook(now: str, chain: str) -> None:
        with (folder / "calls").open("a") as stream:
            stream.write(f"{now} {chain}\n")
        time.sleep(0.01)
        if (now, chain) == (when, what):
            stop()

    if when == "publish":
        publish = atomic.publish

        def slow_publish(partial: Path, final: Path) -> None:
            manifest = json.loads((partial / "manifest.json").read_bytes())
            if manifest["info"]["title"] == what:
                stop()
            publish(partial, final)

        atomic.publish = slow_publish
    study = make_study("ab", keep=keep)
    tasks = {name: make_task(name) for name in study.tasks}
    engine = DummyEngine(folder / f"engine{os.getpid()}", hook=hook)
    store = FolderStore(folder / "store")
    run_plan(make_plan(study, tasks), store=store, engine=engine, out=folder / "out", tasks=tasks)


if __name__ == "__main__":
    main()
