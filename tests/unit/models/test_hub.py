"""Models from the Hub, as far as a small HTTP server on this machine can play it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from chaintune.models import ModelFiles, model_digest
from tests import tiny
from tests.conftest import MakeModel

SHA = "0123456789abcdef0123456789abcdef01234567"
LOCATE = """
import json, sys
from chaintune.errors import ModelError
from chaintune.models import load, locate, model_digest
from chaintune.models.classifiers import load_classifier
for name in sys.stdin:
    try:
        files = locate(name.strip())
        if "classifier" in name:
            labels = load_classifier(files.weights).labels
            print(json.dumps({"digest": model_digest(files), "labels": labels.names}), flush=True)
            continue
        loaded = load(files.weights, adapter=files.adapter, precision="fp32")
        print(json.dumps({"digest": model_digest(files), "adapter": loaded.has_adapter}), flush=True)
    except ModelError as error:
        print(json.dumps({"error": str(error)}), flush=True)
"""
Locate = Callable[..., dict[str, dict[str, Any]]]


class Hub(BaseHTTPRequestHandler):
    """Answers what `huggingface_hub` asks for models: revisions, trees, files."""

    repos: dict[str, dict[str, bytes]]
    asked: list[str]

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.asked.append(path)
        for repo, files in self.repos.items():
            if path in (f"/api/models/{repo}/revision/main", f"/api/models/{repo}/revision/{SHA}"):
                siblings = [{"rfilename": name} for name in files]
                return self.answer(json.dumps({"id": repo, "sha": SHA, "siblings": siblings}).encode())
            if path == f"/api/models/{repo}/tree/{SHA}":
                tree = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
                return self.answer(json.dumps(tree).encode())
        return self.file(path, body=True)

    def do_HEAD(self) -> None:
        self.file(unquote(urlparse(self.path).path), body=False)

    def file(self, path: str, *, body: bool) -> None:
        repo, _, name = path.removeprefix("/").partition(f"/resolve/{SHA}/")
        data = self.repos.get(repo, {}).get(name)
        if data is not None:
            return self.answer(data, body=body)
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound" if repo in self.repos else "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def answer(self, data: bytes, *, body: bool = True) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hash(data) & 0xFFFFFFFF:x}"')
        self.send_header("X-Repo-Commit", SHA)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_classifier(tmp_path_factory.mktemp("classifier"), id2label={0: "LABEL_0", 1: "LABEL_1"})


@pytest.fixture(scope="module")
def hub(model_folder: MakeModel, adapter_folder: Path, classifier: Path) -> Iterator[ThreadingHTTPServer]:
    """A server; its handler's `asked` lists the paths that it was asked for."""
    model = {path.name: path.read_bytes() for path in model_folder().iterdir()}
    adapter = {path.name: path.read_bytes() for path in adapter_folder.iterdir()}
    pickled = {name: data for name, data in model.items() if not name.endswith(".safetensors")}
    asked: list[str] = []
    repos = {
        "own/model": model | {"pytorch_model.bin": b"x", "onnx/config.json": b"{}", "consolidated.safetensors": b"x"},
        "own/pickled": pickled | {"pytorch_model.bin": b"x"},
        "own/classifier": {path.name: path.read_bytes() for path in classifier.iterdir()},
        "own/adapter": adapter | {"adapter_model.bin": b"x"},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Models", (Hub,), {"repos": repos, "asked": asked}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


NAMES = ("own/model", f"own/model@{SHA}", "own/model+own/adapter", "own/pickled", "own/nothing", "own/classifier")


@pytest.fixture(scope="module")
def locate(hub: ThreadingHTTPServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locate]:
    """Locates and loads in a process of its own: the Hub's client reads its settings when it is imported."""
    home = tmp_path_factory.mktemp("hub")
    environment = {
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "cache"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-c", LOCATE], text=True, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    asks, answers = process.stdin, process.stdout

    def locate(*names: str) -> dict[str, dict[str, Any]]:
        asks.writelines(f"{name}\n" for name in names)
        asks.flush()
        return {name: json.loads(answers.readline()) for name in names}

    yield locate
    assert process.communicate() == ("", "")


@pytest.fixture(scope="module")
def located(locate: Locate) -> dict[str, dict[str, Any]]:
    return locate(*NAMES)


def test_models_and_adapters_come_from_the_hub(
    located: dict[str, dict[str, Any]], model_folder: MakeModel, adapter_folder: Path
) -> None:
    plain = {"digest": model_digest(ModelFiles("", model_folder())), "adapter": False}
    assert located["own/model"] == located[f"own/model@{SHA}"] == plain
    digest = model_digest(ModelFiles("", model_folder(), adapter_folder))
    assert located["own/model+own/adapter"] == {"digest": digest, "adapter": True}


def test_classifiers_come_from_the_hub(located: dict[str, dict[str, Any]], classifier: Path) -> None:
    digest = model_digest(ModelFiles("", classifier))
    assert located["own/classifier"] == {"digest": digest, "labels": ["LABEL_0", "LABEL_1"]}


def test_pickles_and_other_formats_stay_where_they_are(
    located: dict[str, dict[str, Any]], hub: ThreadingHTTPServer
) -> None:
    assert "expected .safetensors files, got no weights" in located["own/pickled"]["error"]
    fetched = {path.partition("/resolve/")[2].partition("/")[2] for path in hub.RequestHandlerClass.asked}  # type: ignore[attr-defined]
    assert {"model.safetensors", "adapter_model.safetensors", "tokenizer.json"} <= fetched
    assert fetched.isdisjoint(
        {"pytorch_model.bin", "adapter_model.bin", "onnx/config.json", "consolidated.safetensors"}
    )


def test_a_model_that_the_hub_does_not_have_is_an_error_that_says_so(located: dict[str, dict[str, Any]]) -> None:
    error = located["own/nothing"]["error"]
    assert error.startswith("model 'own/nothing' is no folder, no .gguf file and no alias")
    assert "the Hugging Face Hub did not give own/nothing: " in error


def test_a_second_time_needs_no_connection(
    located: dict[str, dict[str, Any]], locate: Locate, hub: ThreadingHTTPServer
) -> None:
    hub.shutdown()
    hub.server_close()
    again = locate("own/model", "own/other")
    assert again["own/model"] == located["own/model"]
    assert "the Hugging Face Hub did not give own/other: " in again["own/other"]["error"]
