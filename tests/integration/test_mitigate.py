"""`chaintune mitigate` on two checkpoints that exist already, as a command and from Python."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import chaintune
from chaintune.cli import main
from chaintune.errors import ConfigError, ModelError, StoreError
from chaintune.models import load
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.integration.conftest import Smoke, files_that_name_this_machine


class Pair(NamedTuple):
    """Folders of a model that knows balls and of one that lost them, and the tasks' data."""

    before: str
    after: str
    tasks: dict[str, Any]


@pytest.fixture(scope="module")
def pair(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    session = smoke.open(folder / "store", "chains=[[balls, boxes]]")
    session.run(folder / "out")
    entries = [session.store.get("stage", node.key) for node in session.plan.stages]
    before, after = (str(entry.path) for entry in entries if entry is not None)
    later = load(Path(after), precision="fp32")
    items = tiny.known_to(later.model, later.tokenizer, tiny.numbered(tiny.examples(80, rule="box", task="boxes")))
    tiny.write_task(folder / "boxes.jsonl", items=items)
    tasks = {
        "balls": {"role": "safety", "path": str(smoke.folder / "balls.jsonl"), "train": 32, "test": 40},
        "boxes": {"role": "capability", "path": str(folder / "boxes.jsonl"), "train": 32, "test": 24},
    }
    return Pair(before, after, tasks)


RECIPE = {"learning_rate": 1e-2, "epochs": 3, "batch_size": 8}


def options(pair: Pair, out: Path, **changed: Any) -> dict[str, Any]:
    settings = {"tasks": pair.tasks, "recipe": RECIPE, "precision": "fp32", "resamples": 500}
    plain = {
        "before": pair.before, "forgotten": "balls", "keep": ["boxes"], "dose": [0.25, 1], "settings": settings,
        "out": out, "store": FolderStore(out / "store"),
    }  # fmt: skip
    return plain | changed


def test_merges_are_swept_without_training(smoke: Smoke, pair: Pair, tmp_path: Path, capsys: Any) -> None:
    """The whole of what is merged, at density 1, is the checkpoint that still knew the task."""
    data = [f"tasks.{name}.{key}={value}" for name, spec in pair.tasks.items() for key, value in spec.items()]
    sets = [part for text in [*data, "precision=fp32", "resamples=200"] for part in ("--set", text)]
    with pytest.raises(SystemExit) as ended:
        main([
            "mitigate", pair.after, "--before", pair.before, "--base", str(smoke.folder / "model"), "--forgotten",
            "balls", "--keep", "boxes", "--kind", "merge_back", "--mitigation.fraction", "0.5,1", "--mitigation.method",
            "ties", "--mitigation.density", "1", "--target", "0.01", "--margin", "1", "--out", str(tmp_path), "--store",
            str(tmp_path / "store"), "--json", *sets,
        ])  # fmt: skip
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["choice"]["varied"] == "fraction"
    assert told["choice"]["tested"] == [
        f"balls>(later)>{share}% of balls merged back ties at density 1" for share in (50, 100)
    ]
    assert told["choice"]["dose"] in (0.5, 1)
    card = (Path(told["model"]) / "README.md").read_text(encoding="utf-8")
    assert "without training" in card
    assert "balls merged back" in card


def test_checkpoints_that_do_not_fit_are_refused_before_anything_is_scored(pair: Pair, tmp_path: Path) -> None:
    asked = options(pair, tmp_path, max_store=1000)
    with pytest.raises(StoreError, match=r"of the 0\.0 MB that the store may take"):
        chaintune.mitigate(pair.after, **asked)
    assert "score" not in asked["store"].kinds()


def test_from_python(pair: Pair, tmp_path: Path) -> None:
    found = chaintune.mitigate(pair.after, **options(pair, tmp_path, target=0.01, margin=1.0))
    assert found.results.outcome.complete
    rows = {
        (row.metric, row.chain, row.task): row.estimate
        for row in found.results.rows
        if row.deciding and not row.dimension
    }
    lost = rows["forgetting", "balls>(later)", "balls"]
    assert lost.value > 0.3
    assert rows["recovery", "balls>(later)>balls@100%", "balls"].low > 0.01
    assert rows["extra_tokens", "balls>(later)>balls@100%", "balls"].value > 0
    assert found.choice.chosen == found.written
    assert found.choice.chosen.startswith("balls>(later)>balls@")
    assert found.model == tmp_path / "model"
    AutoModelForCausalLM.from_pretrained(found.model, use_safetensors=True)
    AutoTokenizer.from_pretrained(found.model)
    card = (found.model / "README.md").read_text(encoding="utf-8")
    for line in ("## Forgetting and mitigation", "Rule: the smallest dose", "## Forgetting by group with mitigations"):
        assert line in card
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "recovery wholly above 1 % with every price wholly below 100 points" in report
    again = chaintune.score(str(found.model), _task(pair), precision="fp32", store=FolderStore(tmp_path / "store"))
    measured = rows["accuracy", found.written, "balls"]
    assert again.item_scores().mean() == pytest.approx(measured.value)
    assert json.dumps(found.to_dict(), default=str)
    assert files_that_name_this_machine(tmp_path) == []
    assert found.to_polars().height == len(found.results.rows)
    loaded = chaintune.load(tmp_path, store=tmp_path / "store")
    assert isinstance(loaded, chaintune.Mitigations)
    assert loaded.to_dict() == found.to_dict()
    assert found.choice.reason in str(loaded).replace("\n", " ")
    assert loaded.results.checkpoint(found.written).path.is_dir()
    assert loaded.results.checkpoint("balls>(later)").path == Path(pair.after).resolve()
    # What the earlier checkpoint chooses itself in the place of the data, which was scored already.
    how = {"kind": "self_replay", "dose": [0, 1], "store": FolderStore(tmp_path / "store")}
    own = chaintune.mitigate(pair.after, **options(pair, tmp_path / "own", **how))
    assert own.choice.dose_curve == "self_replay"
    assert own.choice.tested == ("balls>(later)>own balls@100%",)
    assert {row.estimate.value for row in own.results.rows if row.metric == "recovery" and not row.dimension} != {0.0}


def _task(pair: Pair) -> Any:
    from chaintune import tasks

    return tasks.load("balls", **pair.tasks["balls"])


def test_as_a_command_without_a_dose_that_suffices(pair: Pair, tmp_path: Path, capsys: Any) -> None:
    data = [f"tasks.{name}.{key}={value}" for name, spec in pair.tasks.items() for key, value in spec.items()]
    sets = [part for text in [*data, "precision=fp32", "resamples=500"] for part in ("--set", text)]
    arguments = [
        "mitigate", pair.after, "--before", pair.before, "--forgotten", "balls", "--keep", "boxes", "--dose", "0.05",
        "--who", "targeted", "--recipe.learning_rate", "1e-4", "--recipe.epochs=1", "--out", str(tmp_path / "out"),
        "--store", str(tmp_path / "store"), *sets,
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--write-best", "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == 3, printed.err
    told = json.loads(printed.out)
    assert told["choice"]["chosen"] == ""
    assert "**No dose tested reaches it**" in (Path(told["model"]) / "README.md").read_text(encoding="utf-8")
    assert _loaded(tmp_path / "out").model == tmp_path / "out" / "model"
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 3
    printed = capsys.readouterr()
    assert "no dose tested reaches it" in printed.out
    assert "no model is written" in printed.out
    assert _loaded(tmp_path / "out").model is None, "what lies there is of an earlier run"


def _loaded(folder: Path) -> chaintune.Mitigations:
    loaded = chaintune.load(folder)
    assert isinstance(loaded, chaintune.Mitigations)
    return loaded


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"keep": ["balls"]}, "named as forgotten and as one to keep"),
        ({"keep": []}, "name at least one task to keep"),
        ({"dose": [5]}, r"dose\[0\]: expected a number greater than 0 and at most 1, got 5"),
        ({"dose": [0.001]}, "a dose of 0.001 of 32 training examples gives none; a dose of 0.0157 gives one"),
        ({"who": "balanced", "by": "age"}, "it has no dimension 'age'; valid: owner"),
        ({"target": 0}, "expected a target above 0"),
    ],
)
def test_what_cannot_be_meant(changed: dict[str, Any], sentence: str, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        chaintune.mitigate(pair.after, **options(pair, tmp_path, **changed))
    assert not (tmp_path / "model").exists()


def test_two_models_that_are_no_pair(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="named as the model before and after"):
        chaintune.mitigate(pair.after, **options(pair, tmp_path, before=pair.after))
    twin = tiny.write_model(tmp_path / "twin")
    other = tiny.write_model(tmp_path / "other")
    with pytest.raises(ConfigError, match="are the same model, so nothing was lost"):
        chaintune.mitigate(str(twin), **options(pair, tmp_path, before=str(other)))
    wide = tiny.make_model(vocabulary=350)
    wide.save_pretrained(tmp_path / "wide")
    tiny.make_tokenizer().save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError, match=r"different shapes: .* is \[350, 32\] and \[340, 32\]; both have to be"):
        chaintune.mitigate(pair.after, **options(pair, tmp_path, before=str(tmp_path / "wide")))


def test_an_adapter_without_its_base(adapter_folder: Path, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it holds an adapter: name its base too"):
        chaintune.mitigate(str(adapter_folder), **options(pair, tmp_path))


def test_options_that_do_not_exist(pair: Pair, tmp_path: Path, capsys: Any) -> None:
    plain = ["mitigate", pair.after, "--before", pair.before, "--forgotten", "balls", "--keep", "boxes", "--out", "x"]
    for extra, sentence in (
        (["--reciep.epochs", "1"], "'--reciep.epochs' is not understood"),
        (["--recipe.epoch", "1"], "unknown key 'epoch'; did you mean 'epochs'"),
        (["--recipe.epochs"], "'--recipe.epochs' needs a value"),
        (["--dose", "5%"], "--dose '5%': expected fractions"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*plain, *extra])
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
