"""The real model of the demo: dequantised once, and scored as another harness scores it."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune import tasks
from chaintune.execution.bases import BaseModel, open_base
from chaintune.models import LoadedModel, load
from chaintune.records import Example
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.harness import harness_chat_logprobs

pytestmark = pytest.mark.slow
ALIAS = "smollm2-135m"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: FolderStore) -> BaseModel:
    return open_base(ALIAS, store)


@pytest.fixture(scope="module")
def loaded(base: BaseModel) -> LoadedModel:
    return load(base.folder, precision="fp32")


@pytest.fixture(scope="module")
def examples() -> tuple[Example, ...]:
    """A few items of each of the 11 categories."""
    return tasks.load("bbq", train="1 per category", test="2 per category").test


def test_it_is_dequantised_once(base: BaseModel, store: FolderStore) -> None:
    (entry,) = store.entries("base")
    assert base.folder == entry.path
    written = (entry.path / "model.safetensors").stat().st_mtime_ns
    again = open_base(ALIAS, FolderStore(store.root))
    assert again == base
    assert (entry.path / "model.safetensors").stat().st_mtime_ns == written


def test_it_speaks(loaded: LoadedModel) -> None:
    """That the weights are in the right places: a model with two swapped would talk nonsense."""
    tokens = loaded.tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        made = loaded.model.generate(**tokens, max_new_tokens=3, do_sample=False)
    assert "Paris" in loaded.tokenizer.decode(made[0])


@pytest.fixture
def harness(loaded: LoadedModel) -> Any:
    """In fp32 the harness's own sums round by up to as much as is allowed here."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=deepcopy(loaded.model).double(), tokenizer=loaded.tokenizer, batch_size=1)


def test_log_probabilities_are_those_of_lm_eval(
    loaded: LoadedModel, examples: tuple[Example, ...], harness: Any, tmp_path: Path
) -> None:
    from lm_eval.api.instance import Instance

    assert len(examples) >= 22
    requests = [
        Instance("loglikelihood", doc={}, arguments=(example.prompt, choice), idx=index)
        for example in examples
        for index, choice in enumerate(example.choices.texts)
    ]
    theirs = iter(float(logprob) for logprob, _greedy in harness.loglikelihood(requests, disable_tqdm=True))
    scores = tiny.score(loaded, examples, task="bbq")
    for example, row in zip(examples, scores.table.to_pylist(), strict=True):
        assert row["example_id"] == example.id
        assert row["choice_logprobs"] == pytest.approx([next(theirs) for _ in example.choices.texts], abs=1e-4)


def test_log_probabilities_in_its_chat_template_are_those_of_lm_eval(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    several = tasks.load("bbq", train="1 per category", test="10 per category", chat="on").test
    shortest = sorted(several, key=lambda item: len(str(item.prompt)))[:50]  # as fp64 is slow
    items = sorted(shortest, key=lambda item: item.id)
    scores = tiny.score(loaded, items, task="bbq")
    assert scores.example_ids == [item.id for item in items]  # so that rows are compared with their own
    assert len(items) == 50
    # In fp32 the harness's own sums round by up to as much as is allowed here.
    exact = replace(loaded, model=deepcopy(loaded.model).double())
    theirs = harness_chat_logprobs(exact, items, tmp_path)
    for row, logprobs in zip(scores.table.column("choice_logprobs").to_pylist(), theirs, strict=True):
        assert row == pytest.approx(logprobs, abs=1e-4)
