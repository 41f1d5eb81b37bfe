"""Two processes on the CPU (gloo) train and score what one process does, within a stated tolerance."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from chaintune.errors import DataError, StageError
from chaintune.execution.processes.job import Job
from chaintune.execution.processes.launch import score_on_devices, tune_on_devices
from chaintune.models import load, save
from chaintune.plan.nodes import MEASUREMENT_FILE, ScoreNode
from chaintune.records import CHOICE_METRICS, Measurement, PeftSettings, Recipe, Regulariser, scores_of
from chaintune.records.preference import REFERENCE
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from chaintune.tuning.optimizer import Step
from chaintune.tuning.tune import tune
from tests import tiny

STUDY = Path(__file__).parents[2] / "studies" / "smoke.yaml"

EXAMPLES = tiny.examples(30)
RECIPE = Recipe(learning_rate=5e-3, epochs=1.5, batch_size=8, weight_decay=0.1, share_prefixes=False, devices=2)

# Sums in another order. In six steps weights move by up to 0.016.
WEIGHTS_OFF = 1e-5
LOSSES_OFF = 1e-5
SCORES_OFF = 1e-3


@dataclass(frozen=True)
class Trained:
    weights: dict[str, torch.Tensor]
    losses: list[float]
    norms: list[float]
    numbers: dict[str, Any]


def job(folder: Path, model: Path, recipe: Recipe, **changes: Any) -> Job:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    base = Job("tune", model, None, "fp32", "balls", EXAMPLES, out, scratch, recipe=recipe, alone=True)
    return replace(base, **changes)


def several(asked: Job) -> Trained:
    steps: list[Step] = []
    numbers = tune_on_devices(asked, steps.append)
    return trained(asked.out, steps, numbers)


def one(asked: Job) -> Trained:
    steps: list[Step] = []
    tuned = tune(
        load(asked.weights, precision=asked.precision),
        asked.examples,
        task=asked.task,
        recipe=asked.recipe,
        seed=asked.seed,
        log=asked.out / "steps.jsonl",
        protected=asked.protected,
        on_step=steps.append,
    )
    save(tuned.loaded, asked.out)
    return trained(asked.out, steps, {"train_tokens": tuned.train_tokens, "steps": tuned.steps})


def trained(out: Path, steps: list[Step], numbers: dict[str, Any]) -> Trained:
    (file,) = out.glob("*model.safetensors")
    return Trained(load_file(file), [step.loss for step in steps], [step.gradient_norm for step in steps], numbers)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


def off(left: Trained, right: Trained) -> float:
    assert left.weights.keys() == right.weights.keys()
    return max(float((left.weights[name] - right.weights[name]).abs().max()) for name in left.weights)


def peft(settings: dict[str, Any]) -> dict[str, Any]:
    return {"method": "peft", "peft": PeftSettings.of(settings)}


WAYS: dict[str, dict[str, Any]] = {
    "full": {},
    "full as trees": {"share_prefixes": True},
    "lora": {"method": "lora", "lora_rank": 4},
    "dora": peft({"peft_type": "LORA", "r": 4, "use_dora": True}),
    "oft": peft({"peft_type": "OFT", "oft_block_size": 4}),
    "ia3": peft({"peft_type": "IA3"}),
    "vera": peft({"peft_type": "VERA", "r": 8}),
    "loha": peft({"peft_type": "LOHA", "r": 4}),
    "a head": peft({"peft_type": "LORA", "r": 4, "modules_to_save": ["lm_head"]}),
    "three to a share": {"batch_size": 7, "micro_batch_size": 3},
    "l2sp": {"regulariser": Regulariser("l2sp", (("strength", 3.0),))},
    "ewc": {"regulariser": Regulariser("ewc", (("examples", 4), ("strength", 1e3)))},
    "ema": {"regulariser": Regulariser("ema", (("decay", 0.5),))},
    "sam": {"regulariser": Regulariser("sam", (("rho", 0.05),))},
}


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True], ids=["DDP", "FSDP"])
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_as_one(way: str, shard: bool, model: Path, tmp_path: Path) -> None:
    if shard and way == "sam":
        pytest.skip("refused: see test_what_cannot_be_sharded_is_refused")
    recipe = replace(RECIPE, **WAYS[way])
    protected = tiny.examples(4, rule="box", task="boxes") if way == "ewc" else ()
    alone = one(job(tmp_path / "one", model, recipe, protected=protected))
    both = several(job(tmp_path / "two", model, recipe, protected=protected, shard=shard))
    assert off(alone, both) < WEIGHTS_OFF
    assert both.losses == pytest.approx(alone.losses, abs=LOSSES_OFF)
    assert both.norms == pytest.approx(alone.norms, rel=1e-4)
    assert both.numbers["train_tokens"] == alone.numbers["train_tokens"]
    assert both.numbers["steps"] == alone.numbers["steps"]


PREFERRING: dict[str, dict[str, Any]] = {
    "full": {},
    "full as trees": {"share_prefixes": True},
    "lora": {"method": "lora", "lora_rank": 4},
    "oft": peft({"peft_type": "OFT", "oft_block_size": 4}),
    "three to a share": {"batch_size": 7, "micro_batch_size": 3},
    "ipo": {"loss": "ipo"},
}


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True], ids=["DDP", "FSDP"])
@pytest.mark.parametrize("way", PREFERRING)
def test_two_processes_prefer_as_one(way: str, shard: bool, model: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, objective="dpo", **PREFERRING[way])
    pairs = tiny.pairs(30)
    # Some were measured before, as those of whole tasks are; about the others the stage asks, as of a dose.
    pairs = [replace(pair, extra={REFERENCE: [-9.0, -8.0]}) if k % 3 == 0 else pair for k, pair in enumerate(pairs)]
    alone = one(job(tmp_path / "one", model, recipe, examples=pairs))
    both = several(job(tmp_path / "two", model, recipe, examples=pairs, shard=shard))
    assert off(alone, both) < WEIGHTS_OFF
    assert both.losses == pytest.approx(alone.losses, abs=LOSSES_OFF)
    assert both.numbers["train_tokens"] == alone.numbers["train_tokens"]
    assert alone.losses[-1] < alone.losses[0]


@pytest.mark.slow
def test_pieces_of_bf16_weights_are_trained_as_the_whole(model: Path, tmp_path: Path) -> None:
    alone = one(job(tmp_path / "one", model, RECIPE, precision="bf16"))
    both = several(job(tmp_path / "two", model, RECIPE, precision="bf16", shard=True))
    assert {weight.dtype for weight in both.weights.values()} == {torch.bfloat16}
    assert both.losses == pytest.approx(alone.losses, rel=5e-3)  # a bf16 number has 8 bits


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "bloom"])  # along trees, and prompt by prompt
def test_two_processes_score_bit_for_bit_as_one(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # which sums are made depends on it
    folder = tiny.write_model(tmp_path / "model", architecture)
    examples = tiny.examples(700)
    told: list[int] = []
    asked = job(tmp_path, folder, RECIPE, kind="score", examples=examples, out=tmp_path / "measurement.parquet")
    assert score_on_devices(asked, 2, told.append) == {"examples": 700, "sharded": False}
    alone = tiny.score(load(folder, precision="fp32"), examples, task="balls")
    together = scores_of("balls", Measurement.read(asked.out), examples, CHOICE_METRICS["accuracy"])
    assert together.table.equals(alone.table)
    assert told == sorted(told)
    assert 0 < told[-1] <= 700


@pytest.mark.slow
def test_an_error_is_the_one_of_a_single_process(model: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, learning_rate=1e30)
    with pytest.raises(StageError, match="became") as alone:
        one(job(tmp_path / "one", model, recipe))
    with pytest.raises(StageError) as both:
        several(job(tmp_path / "two", model, recipe))
    assert str(both.value) == str(alone.value)
    with pytest.raises(DataError, match="a stage needs at least one training example, got none"):
        several(job(tmp_path / "three", model, recipe, examples=[]))


@pytest.mark.slow
def test_a_killed_process_ends_them_all(model: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(_: Step) -> None:
        if not killed:
            # The launcher's own command names the program too.
            rank = next(process for process in started() if "torch.distributed.run" not in process.cmdline())
            killed.append(rank.pid)
            rank.kill()

    with pytest.raises(StageError, match=r"one of the 2 processes was killed.*Signal 9"):
        tune_on_devices(job(tmp_path, model, replace(RECIPE, epochs=500)), kill)
    assert killed
    assert not started()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tune", "score"])
def test_no_process_imports_what_lies_in_the_current_folder(
    kind: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, ran = tmp_path / "planted", tmp_path / "ran"
    planted.mkdir()
    # Of Python itself, installed, and this program.
    for name in ("random", "safetensors", "torch", "transformers", "chaintune"):
        text = f"open({str(ran)!r}, 'a').write({name!r})\nraise ImportError('planted')\n"
        (planted / f"{name}.py").write_text(text)
    monkeypatch.chdir(planted)
    if kind == "tune":
        assert several(job(tmp_path / "tune", model, replace(RECIPE, epochs=0.5))).numbers["steps"]
    else:
        scored = job(tmp_path, model, RECIPE, kind="score", out=tmp_path / "measurement.parquet")
        assert score_on_devices(scored, 2, lambda _: None)["examples"] == len(EXAMPLES)
    assert not ran.exists(), ran.read_text()


def started() -> list[Any]:
    return list(psutil.Process().children(recursive=True))


@pytest.mark.slow
def test_a_study_runs_on_several_devices(tmp_path: Path) -> None:
    tiny.write_smoke(tmp_path)
    places = [
        f"base={tmp_path / 'model'}",
        *(f"tasks.{name}.path={tmp_path / name}.jsonl" for name in ("balls", "boxes")),
    ]
    found = []
    for devices in (1, 2):
        changes = ["chains=[[balls]]", f"recipe.devices={devices}", "precision=fp32"]
        session = prepare(Study.from_yaml(STUDY, [*places, *changes]), FolderStore(tmp_path / f"store-{devices}"))
        outcome = session.run(tmp_path / f"out-{devices}").outcome
        assert outcome.complete, [result.cause for result in outcome.of("failed")]
        entries = {entry.info["title"]: entry.path for entry in session.store.entries("score")}
        found.append({title: Measurement.read(path / MEASUREMENT_FILE) for title, path in entries.items()})
        assert {node.devices for node in session.plan.nodes if isinstance(node, ScoreNode)} == {devices}
    assert len(found[0]) == 4
    for title, alone in found[0].items():
        pairs = zip(logprobs(alone), logprobs(found[1][title]), strict=True)
        assert max(abs(left - right) for left, right in pairs) < SCORES_OFF, title


def logprobs(measurement: Measurement) -> list[float]:
    return [value for row in measurement.table["log_probabilities"].to_pylist() for value in row]
