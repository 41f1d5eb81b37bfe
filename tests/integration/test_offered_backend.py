"""Backends of an installed package: one that serves models, one that opens folders; chosen, and named in results."""

import json
import pickle
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

import chaintune
from chaintune.cli import main
from chaintune.errors import ChaintuneError, ModelError
from chaintune.execution.engine_factory import EngineFactory
from chaintune.records import Scores, Task
from chaintune.runs.scoring import score_models
from chaintune.store.folder import FolderStore
from chaintune.tasks import load
from tests.conftest import Install
from tests.integration.conftest import Smoke
from tests.tiny import COLOURS

PACKAGE = '''
"""Log-probabilities from texts by a formula: of a name, or of the last bytes of a model's weights."""

import zlib

from chaintune.errors import ModelError
from chaintune.scoring.backends import BackendKind, Served


class Formula:
    def __init__(self, seed):
        self.seed = seed

    about = {}

    def answer_logprobs(self, examples, *, task, on_scored, keep):
        rows = [[-zlib.crc32(self.seed + text.encode()) / 2**32 for text in e.choices.texts] for e in examples]
        return rows, [[len(text) for text in e.choices.texts] for e in examples]

    def rounding(self, examples, logprobs):
        return ""


def identity(reference):
    if reference == "nobody":
        raise ModelError("model 'toy:nobody': the server has no such model")
    return f"what calls itself {reference}"


def open_folder(checkpoint):
    return Formula((checkpoint.weights / "model.safetensors").read_bytes()[-64:])


def open_served(reference, serving):
    return Formula(reference.encode())


ABLE = frozenset({"log-probabilities"})
TOY = BackendKind("toy", "1", ABLE, Served(identity, open_served))
TOY2 = BackendKind("toy2", "1", ABLE, open_folder)
MUTE = BackendKind("mute", "1", frozenset({"text"}), open_folder)
'''


@pytest.fixture(autouse=True)
def _offered(install: Install) -> None:
    install("chaintune.backends: toy = toying:TOY\ntoy2 = toying:TOY2\nmute = toying:MUTE", PACKAGE)


@pytest.fixture
def options(smoke: Smoke, tmp_path: Path) -> list[str]:
    data = f"tasks.balls.path={smoke.folder / 'balls.jsonl'}"
    return ["--task", "balls", "--set", data, "--test", "12", "--store", str(tmp_path / "store")]


def balls(smoke: Smoke) -> Task:
    return load("balls", path=smoke.folder / "balls.jsonl", role="safety")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_served_model_is_scored_and_says_who_it_is(options: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert run("score", "toy:x", *options, "--yes", "--out", str(out)) == 0
    scores = Scores.read(out)
    assert scores.provenance["backend"] == "toy"
    assert scores.provenance["identity"] == "what calls itself x"
    assert scores.provenance["model"] == "toy:x"
    first = scores.table.to_pylist()[0]
    assert first["choice_logprobs"][0] in {-zlib.crc32(f"x {text}".encode()) / 2**32 for text in COLOURS}
    other = tmp_path / "other.parquet"
    assert run("score", "toy:y", *options, "--yes", "--out", str(other)) == 0
    assert Scores.read(other).provenance["checkpoint"] != scores.provenance["checkpoint"]
    assert run("compare", str(out), str(other), "--resamples", "200") == 0


def test_served_models_are_audited_against_each_other_and_against_files(
    smoke: Smoke, options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "audit"
    assert run("audit", "toy:a", "toy:b", *options, "--yes", "--out", str(out), "--resamples", "200") == 0
    told = json.loads((out / "comparison.json").read_text())
    assert "what calls itself b" in json.dumps(told)
    assert "backend: toy" in (out / "report.html").read_text()
    model = str(smoke.folder / "model")
    models, store = {"before": "toy:a", "after": model}, FolderStore(tmp_path / "store")
    scores = score_models(models, [balls(smoke)], store, backend="toy2")
    assert [scores[side]["balls"].provenance["backend"] for side in ("before", "after")] == ["toy", "toy2"]


def test_a_study_is_scored_by_the_backend_that_it_names(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", "backend=toy2", "chains=[[balls, boxes]]", "resamples=200")
    usual = smoke.open(tmp_path / "store", "chains=[[balls, boxes]]")
    assert [node.key for node in session.plan.stages] == [node.key for node in usual.plan.stages]
    assert not session.plan.result_keys & usual.plan.result_keys
    assert session.run(tmp_path / "out").outcome.complete
    files = list((tmp_path / "out" / "scores").glob("*.parquet"))
    assert len(files) == 6
    assert {Scores.read(file).provenance["backend"] for file in files} == {"toy2"}
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["backend"] == "toy2"
    assert "backend: toy2" in (tmp_path / "out" / "study.resolved.yaml").read_text()
    # A machine that has to look at the base again opens it for the same backend.
    sent: EngineFactory = pickle.loads(pickle.dumps(EngineFactory.of(session.bases, session.precision)))  # noqa: S301
    elsewhere = replace(sent, files=dict.fromkeys(sent.files, ()))(session.store)
    assert [base.backend for base in elsewhere._bases.values()] == ["toy2"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("base=toy:a", r"model 'toy:a' is served by backend 'toy' .* nothing can be trained from it"),
        ("backend=toy", r"backend 'toy' computes models that it serves, written toy:REFERENCE, and '.*model' is none"),
        ("backend=tranformers", r"backend: 'tranformers' is no valid value; did you mean 'transformers'\?"),
        ("backend=mute", "measure 'choice' needs log-probabilities, and backend 'mute' computes text only"),
        ("base=tyo:a", "model 'tyo:a' is no folder, no .gguf file and no alias"),
    ],
)
def test_a_study_that_cannot_be_computed_is_one_sentence(smoke: Smoke, tmp_path: Path, said: str, told: str) -> None:
    with pytest.raises(ChaintuneError, match=told):
        smoke.open(tmp_path / "store", said)
    assert not list((tmp_path / "store").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("model", "extra", "told"),
    [
        ("toy:nobody", [], "model 'toy:nobody': the server has no such model"),
        ("toy:a", ["--backend", "tranformers"], "backend 'tranformers': did you mean 'transformers'?"),
        ("model", ["--backend", "mute"], "needs log-probabilities, and backend 'mute' computes text only"),
        ("toy:a", ["--devices", "2"], "2 processes cannot share the work of backend 'toy'; leave devices out"),
    ],
)
def test_a_scoring_that_cannot_be_done_is_one_sentence(
    options: list[str], tmp_path: Path, model: str, extra: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score", model, *options, *extra, "--out", str(tmp_path / "out")) == 2
    assert told in capsys.readouterr().err


def test_nothing_is_measured_of_weights_that_are_not_here(smoke: Smoke, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is served by backend 'toy'"):
        chaintune.curvature("toy:a", balls(smoke), store=tmp_path / "store")
