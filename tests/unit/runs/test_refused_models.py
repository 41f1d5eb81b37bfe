"""A model that is not what its files say is refused by every command before anything is scored, trained or stored."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import chaintune
from chaintune.errors import ModelError
from chaintune.execution.bases import open_base
from chaintune.execution.engine_factory import EngineFactory
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny
from tests.conftest import MakeModel

Weights = dict[str, torch.Tensor]
KINDS = ("model", "shards", "adapter")


class Place:
    """Folders of a model that is whole and of one that is to be spoilt, with a task and a store."""

    def __init__(self, folder: Path, whole: Path, other: Path, adapter: Path) -> None:
        self.folder, self.whole, self.other, self._adapter = folder, whole, other, adapter
        self.store = FolderStore(folder / "store")
        self.spoilt = folder / "spoilt"
        balls, boxes = (tiny.write_task(folder / f"{name}.jsonl", count=16, rule=name) for name in ("ball", "box"))
        self.task: dict[str, Any] = {"role": "safety", "path": str(balls), "test_share": 0.5}
        self.other_task = self.task | {"path": str(boxes)}

    def lay(self, kind: str) -> str:
        """Lay the folder that is to be spoilt; the name of the model in it."""
        if kind == "shards":
            tiny.make_model().save_pretrained(self.spoilt, max_shard_size="60KB")
            tiny.make_tokenizer().save_pretrained(self.spoilt)
        else:
            shutil.copytree(self._adapter if kind == "adapter" else self.whole, self.spoilt)
        return f"{self.whole}+{self.spoilt}" if kind == "adapter" else str(self.spoilt)


@pytest.fixture
def place(tmp_path: Path, model_folder: MakeModel, adapter_folder: Path) -> Place:
    return Place(tmp_path, model_folder(), model_folder(tokens="byte-level with BOS"), adapter_folder)


def edited(change: Callable[[Weights], Weights]) -> Callable[[Path], None]:
    """Spoils a folder by a change of the weights in the last of its files."""

    def spoil(folder: Path) -> None:
        path = sorted(folder.glob("*.safetensors"))[-1]
        save_file(change(load_file(path)), path, metadata={"format": "pt"})

    return spoil


def without_one(weights: Weights) -> Weights:
    return dict(list(weights.items())[1:])


def under_other_names(weights: Weights) -> Weights:
    return {f"module.{name}": weight for name, weight in weights.items()}


def with_one_more(weights: Weights) -> Weights:
    return weights | {"vision_tower.patch.weight": torch.ones(2)}


def of_another_shape(weights: Weights) -> Weights:
    name = next(name for name, weight in weights.items() if weight.dim() == 2)
    return weights | {name: torch.ones(3, 5)}


def of_a_deeper_model(weights: Weights) -> Weights:
    deeper = {name.replace("layers.1", "layers.7"): weight.clone() for name, weight in weights.items()}
    return weights | deeper


def pointer(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12\n")


def cut_short(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:-100])


def nested_configuration(folder: Path) -> None:
    for path in folder.glob("*config.json"):
        path.write_text("[" * 100_000)


# What spoils a folder, what is said of a model then, and what of an adapter.
FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "some missing": (
        edited(without_one),
        r"lack 1 of the model's 21 weights \(",
        "1 weight that the model has a place for is",
    ),
    "other names": (
        edited(under_other_names),
        r"hold \d+ that it does not know \(module",
        "28 of its 28 weights are not",
    ),
    "one more": (
        edited(with_one_more),
        r"hold 1 weight that Llama\S+ does not have \(vis",
        "1 of its 29 weights is not",
    ),
    "another shape": (
        edited(of_another_shape),
        r" is \[3, 5\] in the file, ",
        "1 of its 28 weights are of another shape than the",
    ),
    "deeper": (
        edited(of_a_deeper_model),
        r"allow it: --allow-unused 'model\.layers\.7",
        "14 of its 42 weights are not in",
    ),
    "pointer of Git LFS": (pointer, "pointer of Git LFS, not the file; run 'git lfs pull'", "pointer of Git LFS"),
    "cut short": (cut_short, "model.* cannot be read", "cannot be put on this model"),
    "configuration": (
        nested_configuration,
        r"config\.json cannot be read as a JSON object \(nested",
        "nested too deeply",
    ),
}


def score(place: Place, model: str) -> None:
    task = chaintune.tasks.load("balls", **place.task)
    chaintune.score(model, task, store=place.store, precision="fp32")


def audit(place: Place, model: str) -> None:
    task = chaintune.tasks.load("balls", **place.task)
    chaintune.audit(place.whole, model, tasks=task, store=place.store, precision="fp32")


def run(place: Place, model: str) -> None:
    prepare(Study.from_mapping({"base": model, "tasks": {"balls": place.task}, "chains": [["balls"]]}), place.store)


def mitigate(place: Place, model: str) -> None:
    settings: dict[str, Any] = {"tasks": {"balls": place.task, "boxes": place.other_task}}
    about: dict[str, Any] = {
        "before": place.other,
        "forgotten": "balls",
        "keep": "boxes",
        "dose": [1],
        "settings": settings,
    }
    chaintune.mitigate(model, out=place.folder / "out", store=place.store, **about)


COMMANDS = {command.__name__: command for command in (score, audit, run, mitigate)}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_refused(fault: str, kind: str, command: str, place: Place) -> None:
    model, (spoil, of_model, of_adapter) = place.lay(kind), FAULTS[fault]
    spoil(place.spoilt)
    with pytest.raises(ModelError, match=of_adapter if kind == "adapter" else of_model) as refused:
        COMMANDS[command](place, model)
    assert str(place.spoilt) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not place.store.kinds()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_worker_that_has_other_files_than_the_driver_refuses_it(fault: str, kind: str, place: Place) -> None:
    model, (spoil, of_model, of_adapter) = place.lay(kind), FAULTS[fault]
    engine = EngineFactory.of({model: open_base(model, place.store)}, "fp32")
    engine(place.store)
    spoil(place.spoilt)
    with pytest.raises(ModelError, match=rf"on \S+: .*{of_adapter if kind == 'adapter' else of_model}"):
        engine(place.store)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_whole_is_not(kind: str, command: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class TakenError(Exception):
        pass

    def run_plan(*_plan: Any, **_options: Any) -> None:
        raise TakenError

    monkeypatch.setattr("chaintune.runs.session.run_plan", run_plan)
    with suppress(TakenError):
        COMMANDS[command](place, place.lay(kind))


@pytest.mark.parametrize("kind", ["model", "shards"])
def test_weights_that_a_task_does_not_need_are_allowed_by_name(kind: str, place: Place) -> None:
    model, task = place.lay(kind), chaintune.tasks.load("balls", **place.task)
    before = chaintune.score(model, task, store=place.store, precision="fp32")
    edited(with_one_more)(place.spoilt)
    if kind == "shards":
        path = place.spoilt / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        index["weight_map"]["vision_tower.patch.weight"] = sorted(set(index["weight_map"].values()))[-1]
        path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"allow it: --allow-unused 'vision_tower\.patch\.\*'$"):
        chaintune.score(model, task, store=place.store, precision="fp32", allow_unused=["audio.*"])
    after = chaintune.score(model, task, store=place.store, precision="fp32", allow_unused=["vision_tower.*"])
    assert after.provenance["unused_weights"] == "vision_tower.patch.weight"
    assert after.provenance["checkpoint"] != before.provenance["checkpoint"]
    assert after.item_scores().tolist() == before.item_scores().tolist()
