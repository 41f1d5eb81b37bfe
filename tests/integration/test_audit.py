"""`chaintune score` and `chaintune audit` on models that exist already, as commands and from Python."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig

import chaintune
from chaintune import tasks
from chaintune.cli import main
from chaintune.errors import ConfigError, DataError, ModelError
from chaintune.execution import bases, engine
from chaintune.execution.events import Event
from chaintune.execution.processes.job import Job
from chaintune.models import load, save
from chaintune.models.adapters import new_adapter
from chaintune.records import Scores, Task
from chaintune.scoring.backends.transformers import TransformersBackend
from chaintune.scoring.checkpoint import measure_checkpoint
from chaintune.scoring.measures import MEASURES
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.conftest import MakeModel

FAST = ["--precision", "fp32"]
COMPARED = ["--resamples", "200"]


class Place(NamedTuple):
    """Models and tasks of these tests."""

    base: str
    other: str
    adapters: tuple[str, ...]
    data: Path

    @property
    def options(self) -> list[str]:
        return [
            part for task in ("balls", "boxes") for part in ("--set", f"tasks.{task}.path={self.data / task}.jsonl")
        ]

    @property
    def known(self) -> list[str]:
        """The option of a task that the base is right in."""
        return ["--set", f"tasks.known.path={self.data / 'known'}.jsonl"]

    def task(self, name: str) -> Task:
        return tasks.load(name, path=self.data / f"{name}.jsonl", role="safety")


@pytest.fixture(scope="module")
def place(model_folder: MakeModel, adapter_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("audited")
    other = tiny.write_model(folder / "other", seed=3)
    for name in ("balls", "boxes"):
        tiny.write_task(folder / f"{name}.jsonl", rule="ball" if name == "balls" else "box")
    base = str(model_folder())
    start = load(Path(base), precision="fp32")
    items = tiny.known_to(start.model, start.tokenizer, tiny.numbered(tiny.numbered(tiny.examples(80, task="known"))))
    tiny.write_task(folder / "known.jsonl", items=items)
    named = write_adapter(folder / "whole", base, modules_to_save=["lm_head"])
    return Place(base, str(other), (f"{base}+{adapter_folder}", f"{base}+{named}"), folder)


def write_adapter(folder: Path, base: str, **options: Any) -> Path:
    """An adapter that changes answers, and may bring whole modules along."""
    loaded = load(Path(base), precision="fp32")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"], **options)
        loaded.model = new_adapter(loaded.model, config)
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                torch.nn.init.normal_(weight, std=0.2)
    save(loaded, folder)
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders whose weights were loaded, in order; a look at the architecture alone is none."""
    seen: list[Path] = []
    usual = vars(bases)["load"]

    def spy(folder: Path, **options: Any) -> Any:
        if not options.get("on_meta"):
            seen.append(folder)
        return usual(folder, **options)

    monkeypatch.setattr(bases, "load", spy)
    return seen


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, printed.out, printed.err


def stored(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("score/*/measurement.parquet")}


class Watch:
    """Counts what becomes of the nodes."""

    def __init__(self, _plan: Any) -> None:
        self.kinds: list[str] = []

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, event: Event) -> None:
        if event.kind != "progress":
            self.kinds.append(event.kind)


def test_score_writes_what_compare_reads(place: Place, tmp_path: Path, capsys: Any, loads: list[Path]) -> None:
    store = ["--store", str(tmp_path / "store")]
    before, after = tmp_path / "before", tmp_path / "after.parquet"
    sizes = ["--test", "12", "--test", "boxes=9"]
    both = ["--task", "balls", "--task", "boxes", *sizes, "--by", "owner"]
    code, out, err = run(capsys, "score", place.base, *both, "--out", str(before), *place.options, *FAST, *store)
    assert code == 0, err
    assert f"wrote {before / 'balls.parquet'}" in out
    assert "balls: owner" in out
    assert "done" in err
    assert "wrote" not in err
    assert {path.name: len(Scores.read(path)) for path in before.iterdir()} == {"balls.parquet": 12, "boxes.parquet": 9}
    arguments = [place.other, "--task", "balls", "--out", str(after), "--test", "12", *place.options[:2], *FAST, *store]
    code, out, err = run(capsys, "score", *arguments, "--json")
    (told,) = json.loads(out)
    assert (told["task"], told["file"], told["accuracy"][0]["n"]) == ("balls", str(after), 12)
    assert len(loads) == 2
    code, out, _ = run(capsys, "compare", str(before / "balls.parquet"), str(after), "--by", "owner", *COMPARED)
    assert code == 0
    assert "Of 12 examples of balls" in out
    code, out, _ = run(capsys, "score", *arguments)
    assert (code, len(loads)) == (0, 2), "the second time everything is in the store"


def test_audit_equals_two_scorings_and_a_comparison(place: Place, tmp_path: Path, capsys: Any) -> None:
    both = ["--task", "balls", "--task", "boxes", *place.options, *FAST, "--store", str(tmp_path / "store")]
    by = ["--by", "owner", *COMPARED, "--format", "json"]
    out = tmp_path / "out"
    code, audited, err = run(capsys, "audit", place.base, place.other, *both, *by, "--out", str(out))
    assert code == 0, err
    assert json.loads((out / "comparison.json").read_text()) == json.loads(audited)
    for report in ("report.md", "report.html"):
        assert "accuracy went from" in (out / report).read_text(encoding="utf-8")
    assert "Colour of the ball?" in (out / "report.html").read_text(encoding="utf-8"), "texts of what flipped"
    assert list((out / "figures").glob("*.svg"))
    for side, model in (("before", place.base), ("after", place.other)):
        run(capsys, "score", model, *both, "--out", str(tmp_path / side))
        for path in (tmp_path / side).iterdir():
            assert path.read_bytes() == (out / side / path.name).read_bytes()
    code, compared, _ = run(capsys, "compare", str(tmp_path / "before"), str(tmp_path / "after"), *by)
    one, other = ({c["task"]: c for c in json.loads(text)["comparisons"]} for text in (audited, compared))
    assert one == other


def test_a_second_audit_computes_nothing(place: Place, tmp_path: Path, loads: list[Path]) -> None:
    watched: list[Watch] = []

    def watch(plan: Any) -> Watch:
        watched.append(Watch(plan))
        return watched[-1]

    given: dict[str, Any] = {
        "tasks": [place.task("balls"), place.task("boxes")],
        "precision": "fp32",
        "store": FolderStore(tmp_path),
        "watch": watch,
        "resamples": 200,
    }
    first = chaintune.audit(place.base, place.other, by=["owner"], **given)
    content, times = stored(tmp_path), len(loads)
    second = chaintune.audit(place.base, place.other, by=["owner"], **given)
    assert (times, len(loads)) == (2, 2)
    assert stored(tmp_path) == content
    assert watched[0].kinds == ["start", "made"] * 4
    assert watched[1].kinds == ["reused"] * 4
    assert first.to_dict() == second.to_dict()
    frame = first.to_polars()
    assert frame.height == first.to_pandas().shape[0] == 10
    assert frame["task"].unique(maintain_order=True).to_list() == ["balls", "boxes"]
    assert set(frame.columns) >= {"dimension", "group", "forgetting", "forgetting_low", "verdict"}
    chaintune.audit(place.other, place.base, **given)
    assert len(loads) == 2, "the other way round neither is scored again"


@pytest.mark.parametrize(
    ("before", "after", "times"),
    [
        ("base", "adapter", 1),
        ("adapter", "base", 1),
        ("adapter", "again", 1),
        ("whole", "base", 2),
        ("base", "whole", 1),
    ],
)
def test_adapters_on_one_base_load_it_once_and_answer_as_alone(
    before: str, after: str, times: int, place: Place, tmp_path: Path, loads: list[Path]
) -> None:
    again = f"{place.base}+{write_adapter(tmp_path / 'again', place.base)}"
    models = {"base": place.base, "adapter": place.adapters[0], "whole": place.adapters[1], "again": again}
    given: dict[str, Any] = {"precision": "fp32", "store": FolderStore(tmp_path / "store")}
    both = [place.task("balls"), place.task("boxes")]
    found = chaintune.audit(models[before], models[after], tasks=both, resamples=200, **given)
    assert loads == [Path(place.base)] * times
    for side, name in ((found.before, before), (found.after, after)):
        for task in both:
            alone = chaintune.score(models[name], task, precision="fp32", store=FolderStore(tmp_path / f"alone-{name}"))
            assert side[task.name].table.equals(alone.table)
            assert side[task.name].provenance == alone.provenance
    assert not found.before["balls"].table.equals(found.after["balls"].table), "the adapter changes what is answered"


def test_one_model_twice_is_scored_once(place: Place, tmp_path: Path, loads: list[Path]) -> None:
    given: dict[str, Any] = {"precision": "fp32", "store": FolderStore(tmp_path), "resamples": 200}
    found = chaintune.audit(place.base, place.base, tasks=[place.task("balls")], **given)
    assert len(stored(tmp_path)) == len(loads) == 1
    assert found.comparisons[0].overall.forgetting.value == 0


@pytest.mark.parametrize(("budget", "code"), [("0.99", 0), ("-0.99", 1), ("what was lost", 3)])
def test_the_exit_code_is_the_policys(place: Place, tmp_path: Path, capsys: Any, budget: str, code: int) -> None:
    given: dict[str, Any] = {"precision": "fp32", "store": FolderStore(place.data / "store"), "resamples": 200}
    lost = chaintune.audit(place.base, place.other, tasks=[place.task("known")], **given).comparisons[0].overall
    budget = str(lost.forgetting.value) if budget == "what was lost" else budget
    policy, junit = tmp_path / "policy.yaml", tmp_path / "junit.xml"
    policy.write_text(f"budgets:\n  - {{task: known, forgetting: {budget}}}\n")
    arguments = ["--task", "known", *place.known, *FAST, *COMPARED, "--store", str(place.data / "store")]
    found, out, err = run(
        capsys, "audit", place.base, place.other, *arguments, "--policy", str(policy), "--junit", str(junit),
        "--format", "md", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert found == code, err
    assert junit.exists()
    assert (tmp_path / "out" / "report.md").read_text() == out
    assert out.startswith(("**PASS", "**FAIL", "**INCONCLUSIVE"))


def test_a_required_task_or_group_that_is_missing_is_no_pass(place: Place, tmp_path: Path, capsys: Any) -> None:
    policy = tmp_path / "policy.yaml"
    given: dict[str, Any] = {"precision": "fp32", "store": FolderStore(place.data / "store"), "resamples": 200}
    for text in ("{task: boxes, forgetting: 0.99}", "{task: known, by: owner, group: Eve, forgetting: 0.99}"):
        policy.write_text(f"budgets:\n  - {{task: known, forgetting: 0.99}}\n  - {text}\n")
        found = chaintune.audit(place.base, place.other, tasks=[place.task("known")], policy=policy, **given)
        assert found.gate is not None
        assert found.gate.answer == "inconclusive"
        assert [judgement.answer for judgement in found.gate.judgements] == ["pass", "missing"]


def test_paths_will_do_and_a_task_at_hand_is_sampled(place: Place, tmp_path: Path) -> None:
    given: dict[str, Any] = {"precision": "fp32", "test": 9, "sample_seed": 1}
    task = place.task("balls")
    one = chaintune.score(Path(place.base), task, store=tmp_path / "one", **given)
    other = chaintune.score(
        place.base, tasks.sample_test(task, 9, seed=1), store=str(tmp_path / "two"), precision="fp32"
    )
    assert len(one) == 9
    assert one.table == other.table
    sides = Path(place.base), Path(place.other)
    found = chaintune.audit(*sides, tasks=task, store=tmp_path / "one", by="owner", resamples=200, **given)
    assert found.comparisons[0].overall.forgetting.n == 9
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_a_policys_dimension_that_no_task_has_is_missing(place: Place, tmp_path: Path, capsys: Any) -> None:
    policy = tmp_path / "p.yaml"
    rest = [*place.known, *FAST, *COMPARED, "--store", str(place.data / "store")]
    for required, answer in (("true", 3), ("false", 0)):
        policy.write_text(
            f"budgets: [{{task: known, forgetting: 1}}, {{task: known, by: age, forgetting: 1, required: {required}}}]"
        )
        code, out, err = run(
            capsys, "audit", place.base, place.other, "--task", "known", "--policy", str(policy), *rest
        )
        assert (code, "MISSING" in out) == (answer, True), err


def test_a_dimension_is_needed_in_one_task_only(place: Place) -> None:
    balls = place.task("balls")
    bare = tuple(replace(example, groups={}) for example in tiny.examples(6))
    plain = Task("plain", "safety", "1", (), bare, (), "made up", "CC0")
    given: dict[str, Any] = {"precision": "fp32", "store": FolderStore(place.data / "store"), "resamples": 200}
    found = chaintune.audit(place.base, place.other, tasks=[balls, plain], by=["owner"], **given)
    assert [len(comparison.groups) for comparison in found.comparisons] == [4, 0]


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"by": ["onwer"]}, ConfigError, "by 'onwer': of 'balls' none has a dimension 'onwer'.*owner"),
        ({"tasks": []}, ConfigError, "name at least one"),
        ({"policy": "nowhere.yaml"}, ConfigError, "nowhere.yaml"),
        ({"test": {"bals": 3}}, ConfigError, "'bals' is none of the tasks; did you mean 'balls'"),
        ({"test": {"balls": 999}}, DataError, "task 'balls', test: 999 examples asked for, there are"),
        ({"tasks": [Path("items.jsonl")]}, ConfigError, "a file of your own is a task as chaintune.tasks.load"),
        ({"tasks": "bqq"}, DataError, "task 'bqq' is not known; did you mean 'bbq'.*tasks.NAME.path=FILE"),
        ({"tasks": ["bqq"]}, DataError, "bbq"),
        ({"after": "/nowhere/at/all"}, ModelError, "no such folder"),
        ({"devices": 0}, ConfigError, "devices: expected a number of processes, at least 1, got 0"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_scored(
    changed: dict[str, Any], error: type[Exception], sentence: str, place: Place, tmp_path: Path, loads: list[Path]
) -> None:
    given: dict[str, Any] = {
        "before": place.base,
        "after": place.other,
        "tasks": [place.task("balls")],
        "store": FolderStore(tmp_path),
    }
    with pytest.raises(error, match=sentence):
        chaintune.audit(**(given | changed))
    assert not loads


def test_several_devices_score_both_and_the_store_makes_no_difference(
    place: Place, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def double(job: Job, devices: int, _: Any) -> dict[str, Any]:
        asked.append(devices)
        loaded = load(job.weights, adapter=job.adapter, precision=job.precision)
        measure = MEASURES.get(job.measure)
        backend = TransformersBackend(loaded)
        measured = measure_checkpoint(backend, job.examples, measure=measure, task=job.task, provenance=job.provenance)
        measured.write(job.out)
        return {}

    monkeypatch.setattr(engine, "score_on_devices", double)
    options = ["--task", "balls", "--test", "9", *place.options[:2], *FAST, *COMPARED, "--store", str(tmp_path / "s")]
    code, several, err = run(capsys, "audit", place.base, place.other, *options, "--devices", "3")
    assert code == 0, err
    assert asked == [3, 3]
    code, alone, _ = run(capsys, "audit", place.base, place.other, *options)
    assert (code, alone) == (0, several)
    assert asked == [3, 3], "scores that are there are not computed again by another number of processes"


def test_what_cannot_be_meant_is_one_message_on_the_command_line(place: Place, tmp_path: Path, capsys: Any) -> None:
    rest = [*FAST, "--store", str(tmp_path / "store")]
    balls, boxes = place.options[:2], place.options[2:]
    folder = tmp_path / "scores"
    for arguments, sentence in (
        (["score", place.base, "--task", "balls", "--task", "boxes", "--out", "x.parquet"], "name a folder"),
        (["score", place.base, "--task", "balls", "--out", str(folder), "--test", "4 per onwer"], "owner"),
        (["score", place.base, "--task", "balls", "--out", str(folder), "--test", "bals=4"], "'bals'"),
        (["score", place.base, "--task", "balls", "--out", str(folder), *boxes], "'boxes' is none of the tasks"),
        (
            ["score", place.base, "--task", "balls", "--out", str(folder), "--set", "recipe.epochs=3"],
            "only keys of tasks",
        ),
        (["audit", place.base, "nowhere", "--task", "balls"], "nowhere"),
        (["audit", place.base, place.other, "--task", "balls", "--junit", "x.xml"], "--policy"),
        (["audit", place.base, place.other], "--task"),
    ):
        code, out, err = run(capsys, *arguments, *rest, *balls)
        assert (code, out) == (2, ""), err
        assert sentence in err
        assert "Traceback" not in err
    run(capsys, "score", place.base, "--task", "balls", "--out", str(folder), "--test", "4", *rest, *balls)
    code, _, err = run(
        capsys, "score", place.other, "--task", "boxes", "--out", str(folder), "--test", "4", *rest, *boxes
    )
    assert (code, f"balls.parquet there is of {Path(place.base).name}" in err) == (2, True)
