"""Where a run's models are, as its page (models.md) has it; and that nothing which is shared names this machine."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

import chaintune
from chaintune import export
from chaintune.cli import main
from chaintune.errors import ConfigError, ModelError, StoreError
from chaintune.models.adapters import without_noise
from chaintune.results import StudyCheckpoint
from tests import tiny

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "models.md"
TELLTALE = "home-of-somebody"
MODEL = "model@1"  # no revision of the Hub
STUDY = {
    "precision": "fp32",
    "chains": [["balls", "boxes"]],
    "recipe": {"epochs": 0.5, "batch_size": 8, "lora_rank": 4},
    "vary": {"recipe.method": ["full", "lora"]},
    "resamples": 100,
}


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, two tasks and a finished study of them, in which the tests work."""
    place = tmp_path_factory.mktemp("made") / TELLTALE
    tiny.write_model(place / MODEL)
    tasks = {}
    for name, role in (("balls", "safety"), ("boxes", "capability")):
        path = str(tiny.write_task(place / f"{name}.jsonl", rule=name.removesuffix("s").replace("boxe", "box")))
        tasks[name] = {"role": role, "path": path, "train": 16, "test": 16}
    (place / "study.yaml").write_text(yaml.safe_dump({"base": str(place / MODEL), "tasks": tasks, **STUDY}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        with pytest.MonkeyPatch.context() as undrawn:  # figures are made elsewhere
            undrawn.setattr("chaintune.report.figures.every.result_figures", lambda _results: [])
            study = str(place / "study.yaml")
            assert run("run", study, "--out", str(place / "out"), "--store", str(place / "store")) == 0
        yield place


@pytest.fixture(scope="module")
def results(place: Path) -> chaintune.StudyResults:
    loaded = chaintune.load(place / "out", store=place / "store")
    assert isinstance(loaded, chaintune.StudyResults)
    return loaded


def logits(model: torch.nn.Module, tokenizer: object) -> torch.Tensor:
    tokens = tokenizer("Ann has a red ball.", return_tensors="pt")  # type: ignore[operator]
    with torch.no_grad():
        return model(input_ids=tokens["input_ids"]).logits


def test_a_checkpoint_is_found_by_its_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--run", "out", "--store", "store")
    assert run("store", "path", "balls>boxes", *common, "--variant", "full") == 0
    folder = Path(capsys.readouterr().out.strip())
    assert (folder / "model.safetensors").is_file()
    assert AutoModelForCausalLM.from_pretrained(folder).config.model_type == "llama"
    assert run("store", "path", "balls>boxes", *common) == 2
    told = capsys.readouterr().err
    assert "there are several; name one by its variant (--variant, in Python checkpoint(..., variant=)): " in told
    assert run("store", "ls", *common) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(("balls" in line) and ("full" in line or "lora" in line) and ("KB" in line) for line in lines)
    assert run("store", "ls", "--run", "nowhere", "--store", "store") == 2


def test_a_checkpoint_is_a_model_with_its_scores(results: chaintune.StudyResults) -> None:
    model, tokenizer = results.checkpoint("balls>boxes", variant="lora").load(precision="fp32")
    base, _ = results.checkpoint("base").load(precision="fp32")
    assert not torch.equal(logits(model, tokenizer), logits(base, tokenizer))
    assert results.checkpoint("base").path.name == MODEL
    assert len(results.checkpoint("balls", variant="full").scores("balls")) == 16
    with pytest.raises(ConfigError, match="variant 'dora': did you mean 'lora'"):
        results.checkpoint("balls", variant="dora")


def test_an_adapter_is_handed_on_with_its_base_in_sight(
    place: Path, results: chaintune.StudyResults, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("store", "export", "balls>boxes", "--run", "out", "--store", "store", "--variant", "lora")
    assert run(*asked, "--to", "handed/adapter") == 0
    assert f"its base is ../../{MODEL}" in capsys.readouterr().out
    card = (place / "handed" / "adapter" / "README.md").read_text()
    assert "library_name: peft" in card
    assert f"An adapter on `../../{MODEL}`" in card
    assert "## Forgetting" in card
    assert run(*asked, "--to", "handed/adapter") == 2
    assert "holds files already" in capsys.readouterr().err
    assert run("store", "export", "base", *asked[3:7], "--to", "handed/base") == 2
    assert "it is the model that the run began with" in capsys.readouterr().err
    model, tokenizer = results.checkpoint("balls>boxes", variant="lora").load(precision="fp32")
    expected = logits(model, tokenizer)
    monkeypatch.chdir(place / "handed" / "adapter")
    with without_noise():
        adapted = AutoPeftModelForCausalLM.from_pretrained(".")
    assert torch.equal(logits(adapted, tokenizer), expected)
    monkeypatch.chdir(place)
    assert run(*asked, "--to", "handed/whole", "--whole") == 0
    whole = AutoModelForCausalLM.from_pretrained("handed/whole")
    assert torch.allclose(logits(whole, tokenizer), expected, atol=1e-5)
    assert "library_name: transformers" in Path("handed/whole/README.md").read_text()


def test_what_is_copied_is_what_a_model_is_loaded_from(tmp_path: Path) -> None:
    weights, copied = tmp_path / "entry", tmp_path / "copied"
    model = {"config.json", "model.safetensors", "tokenizer.json", "merges.txt", "additional_chat_templates/tool.jinja"}
    for name in (*model, "manifest.json", "steps.jsonl", "command.log", "README.md", "training_args.bin", "in/x.json"):
        (weights / name).parent.mkdir(parents=True, exist_ok=True)
        (weights / name).write_text(TELLTALE)
    copied.mkdir()
    export._copy(weights, copied)
    assert {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()} == model


def test_a_base_that_was_replaced_since_is_not_put_under_what_was_trained_from_it(
    place: Path, results: chaintune.StudyResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = place / MODEL / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(ModelError, match=f"the model '{MODEL}' has changed since the run"):
        results.checkpoint("balls>boxes", variant="lora").load()
    weights.write_bytes(before)
    monkeypatch.setattr(StudyCheckpoint, "files", lambda _self: (place / MODEL, place / "adapter"))
    assert results.checkpoint("base").path == place / "adapter", "an adapter on a base is what was opened"


def test_what_was_not_kept_says_what_keeps_it(
    place: Path, results: chaintune.StudyResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = chaintune.load(place / "out", store=tmp_path)
    assert isinstance(moved, chaintune.StudyResults)
    with pytest.raises(StoreError, match="name the store that the run used"):
        _ = moved.checkpoint("balls>boxes", variant="full").path
    resolved = place / "out" / "study.resolved.yaml"
    before = resolved.read_text()
    for keep, said in (("none", "set 'keep: final'"), ("final", "keeps the ends of chains alone; set 'keep: all'")):
        resolved.write_text(before.replace("keep: all", f"keep: {keep}"))
        with pytest.raises(StoreError, match=said):
            _ = moved.checkpoint("balls", variant="full").path
    resolved.write_text(before)


def test_the_page_works_as_it_stands(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAINTUNE_STORE", "store")
    page = PAGE.read_text(encoding="utf-8")
    for there, here in (("bbq", "balls"), ("csqa", "boxes"), ("category", "owner"), ("runs/study", "out")):
        page = page.replace(there, here)
    (commands,) = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for line in commands.splitlines():
        assert run(*shlex.split(line.removeprefix("$ "))[1:]) == 0, line
    assert "wrote the adapter of balls>boxes" in capsys.readouterr().out
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
    assert "Who forgot balls: owner" in capsys.readouterr().out
    assert (place / "who-forgot.svg").is_file()


def test_nothing_that_is_shared_names_this_machine(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.report.figures.every.result_figures", lambda _results: [])  # they are made elsewhere
    task = ("--task", "balls", "--set", f"tasks.balls.path={place / 'balls.jsonl'}", "--store", "store")
    for variant in ("full", "lora"):
        store_export = ("store", "export", "balls", "--run", "out", "--store", "store", "--variant", variant)
        assert run(*store_export, "--to", str(place / "handed" / variant)) == 0
    models = (str(place / MODEL), str(place / "handed" / "full"))
    assert run("audit", *models, *task, "--by", "owner", "--out", str(place / "audit")) == 0
    shared = [path for name in ("out", "audit", "handed") for path in (place / name).rglob("*") if path.is_file()]
    assert {"results.parquet", "report.html", "README.md", "adapter_config.json", "provenance.json"} <= {
        path.name for path in shared
    }
    assert [str(path.relative_to(place)) for path in shared if TELLTALE in content(path)] == []


def content(path: Path) -> str:
    """All that a file says, what is compressed as well."""
    if path.suffix != ".parquet":
        return path.read_bytes().decode("utf-8", "replace")
    table = pq.read_table(path)
    return f"{table.schema.metadata} {table.to_pydict()}"
