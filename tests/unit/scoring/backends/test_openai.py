"""An OpenAI-compatible server, as far as a small HTTP server on this machine can play it."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from chaintune.errors import MissingPackageError, ModelError
from chaintune.records import Example, Generation, Message, Texts
from chaintune.records.generation import at_once
from chaintune.scoring.backends.openai import KEY, KIND, OpenAiBackend, split_reference

PROMPTS = (Example("a", "Is it red?", None, {}, "a"), Example("b", (Message("user", "No </s>?"),), None, {}, "b"))


class Server(BaseHTTPRequestHandler):
    """Answers requests for chat completions with what the last turn says, or with the failures that wait."""

    requests: list[tuple[str, dict[str, Any]]]
    failures: list[tuple[int, dict[str, Any]]]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.headers["Authorization"], asked))
        status, body = self.failures.pop() if self.failures else (200, completion(asked))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def completion(asked: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Yes: " + asked["messages"][-1]["content"]}
    choices = [{"index": k, "message": message, "finish_reason": "stop"} for k in range(asked.get("n", 1))]
    usage = {"prompt_tokens": 3, "completion_tokens": 4 * len(choices), "total_tokens": 7}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "own", "choices": choices, "usage": usage}


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"requests": [], "failures": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}/v1", handler
    running.shutdown()
    thread.join()
    running.server_close()


FEW = Generation(max_new_tokens=5)


def written(url: str, generation: Generation = FEW) -> Texts:
    backend = OpenAiBackend(url, "own")
    return backend.generate(PROMPTS, task="t", generation=generation, on_written=lambda *_: None, remember=at_once)


def test_prompts_are_turns_of_a_conversation(server: tuple[str, type[Server]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv(KEY, "secret")
    url, handler = server
    first, second = written(url)
    assert [one.text for one in first] == ["Yes: Is it red?"]
    assert (second[0].text, second[0].tokens, second[0].finish_reason) == ("Yes: No </s>?", 4, "stop")
    asked = sorted((request for _, request in handler.requests), key=lambda one: one["messages"][0]["content"])
    assert asked[0] == {
        "model": "own",
        "messages": [{"role": "user", "content": "Is it red?"}],
        "max_tokens": 5,
        "temperature": 0.0,
    }
    assert {key for key, _ in handler.requests} == {"Bearer secret"}


def test_samples_and_stop_strings_are_handed_on(server: tuple[str, type[Server]]) -> None:
    pytest.importorskip("openai")
    url, handler = server
    texts = written(url, Generation(max_new_tokens=5, samples=3, temperature=0.5, seed=7, stop=("\n",)))
    assert [len(samples) for samples in texts] == [3, 3]
    asked = handler.requests[0][1]
    assert {name: asked[name] for name in ("n", "seed", "stop")} == {"n": 3, "seed": 7, "stop": ["\n"]}


def test_what_was_written_is_not_asked_again(server: tuple[str, type[Server]]) -> None:
    pytest.importorskip("openai")
    url, handler = server
    kept: dict[str, Texts] = {}

    def remember(name: str, compute: Callable[[], Texts]) -> Texts:
        return kept[name] if name in kept else kept.setdefault(name, compute())

    done: list[tuple[int, int]] = []
    how: dict[str, Any] = {"task": "t", "generation": Generation(), "remember": remember}
    for _ in range(2):
        OpenAiBackend(url, "own").generate(PROMPTS, on_written=lambda *one: done.append(one), **how)
    assert len(handler.requests) == len(PROMPTS)
    assert done == [(2, 8), (2, 8)]


def test_the_client_tries_again(server: tuple[str, type[Server]]) -> None:
    pytest.importorskip("openai")
    url, handler = server
    handler.failures.append((503, {"error": {"message": "busy"}}))
    assert len(written(url)) == 2
    assert len(handler.requests) == 3


def test_no_message_repeats_the_key(server: tuple[str, type[Server]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv(KEY, "sk-very-secret")
    url, handler = server
    for status in (401, 400):
        handler.failures += [(status, {"error": {"message": "Incorrect API key provided: sk-very-secret"}})] * 2
        with pytest.raises(ModelError) as caught:
            written(url)
        assert url in str(caught.value)
        assert "sk-very" not in str(caught.value)
        assert caught.value.__cause__ is None
        handler.failures.clear()


def test_a_server_that_is_not_there_says_so() -> None:
    pytest.importorskip("openai")
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1 does not answer"):
        written("http://127.0.0.1:9/v1")


def test_without_the_client_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.errors.find_spec", lambda _name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'chaintune\[openai\]'"):
        written("http://127.0.0.1:9/v1")


@pytest.mark.parametrize("reference", ["http://host/v1", "ftp://host#own", "http://#own", "", "http://host/v1#"])
def test_a_reference_names_a_server_and_a_model(reference: str) -> None:
    with pytest.raises(ModelError, match="expected openai:URL#NAME"):
        split_reference(reference)


def test_an_address_holds_no_secret() -> None:
    for address in ("http://user:secret@host/v1#own", "https://host/v1?key=secret#own"):
        with pytest.raises(ModelError, match="would be written into results") as caught:
            split_reference(address)
        assert "secret" not in str(caught.value)


def test_it_writes_texts_and_nothing_else() -> None:
    assert KIND.abilities == {"text"}
    assert KIND.is_served
