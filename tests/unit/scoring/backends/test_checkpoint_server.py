"""A server of one checkpoint against our own scorer on the same model: a small HTTP server plays it by transformers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import pytest
import torch

from chaintune.errors import ModelError
from chaintune.models import LoadedModel
from chaintune.models.loading import Reader
from chaintune.records import Example, Generation, Message
from chaintune.records.generation import at_once
from chaintune.records.parity import Parity
from chaintune.scoring.backends.checkpoint_server import CheckpointServer
from chaintune.scoring.backends.server import KEY
from chaintune.scoring.backends.transformers import TransformersBackend
from chaintune.scoring.measures import MEASURES
from chaintune.scoring.parity import own_sample, parity
from tests import tiny

pytest.importorskip("openai")
FEW = Generation(max_new_tokens=3)


class Played:
    """What a server knows, and what it was asked."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.requests, self.lock = loaded, list[dict[str, Any]](), Lock()
        self.with_echo = True

    def listed(self) -> dict[str, Any]:
        return {"data": [{"id": "m", "owned_by": "vllm"}]}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        several = isinstance(asked["prompt"][0], list)
        with self.lock, torch.no_grad():
            self.requests.append(asked)
            rows = [self.completion(row, asked) for row in (asked["prompt"] if several else [asked["prompt"]])]
        choices = [one | {"index": place} for place, one in enumerate(one for row in rows for one in row)]
        return {"model": "m", "choices": choices, "usage": {"completion_tokens": sum(one["made"] for one in choices)}}

    def completion(self, ids: list[int], asked: dict[str, Any]) -> list[dict[str, Any]]:
        new, echo, tokenizer = list[int](), None, self.loaded.tokenizer
        if asked.get("echo") and self.with_echo:
            known = self.loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            own = [known[place, token].item() for place, token in enumerate(ids[1:])]
            echo = {"token_logprobs": [None, *own], "tokens": tokenizer.convert_ids_to_tokens(ids)}
        while len(new) < asked["max_tokens"] and not asked.get("echo"):
            new.append(int(self.loaded.model(torch.tensor([ids + new])).logits[0, -1].argmax()))
            if new[-1] in asked.get("stop_token_ids", ()):
                break
        text = tokenizer.decode(new, skip_special_tokens=True)
        reason = "length" if len(new) == asked["max_tokens"] else "stop"
        return [{"text": text, "finish_reason": reason, "logprobs": echo, "made": len(new)}] * asked.get("n", 1)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    tokenizer = tiny.make_tokenizer("byte-level with BOS")
    tokenizer.chat_template = tiny.CHAT
    return LoadedModel(tiny.make_model(), tokenizer, "fp32")


@pytest.fixture
def played(loaded: LoadedModel) -> Iterator[tuple[CheckpointServer, Played]]:
    known = Played(loaded)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send(known.listed())

        def do_POST(self) -> None:
            assert self.headers["Authorization"] == "Bearer none"
            self.send(known.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def send(self, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{running.server_address[1]}/v1"
    yield CheckpointServer(url, "m", reader=Reader(loaded.tokenizer, loaded.context_tokens, [2])), known
    running.shutdown()
    thread.join()
    running.server_close()


def conversations(count: int) -> list[Example]:
    return [replace(one, prompt=(Message("user", one.prompt_text),)) for one in tiny.examples(count)]


@pytest.mark.parametrize("chat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_it_reads_the_same_tokens_as_our_own_scorer(
    played: tuple[CheckpointServer, Played], loaded: LoadedModel, chat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    examples = conversations(3) if chat else tiny.examples(3)
    (server, known), own = played, TransformersBackend(loaded)
    logprobs, tokens = server.answer_logprobs(examples, task="t", on_scored=lambda _: None)
    expected, expected_tokens = own.answer_logprobs(examples, task="t")
    assert tokens == expected_tokens
    torch.testing.assert_close(torch.tensor(logprobs), torch.tensor(expected), atol=1e-4, rtol=0)
    how: dict[str, Any] = {"task": "t", "generation": FEW}
    done: list[tuple[int, int]] = []
    texts = server.generate(examples, **how, on_written=lambda *one: done.append(one), remember=at_once)
    assert texts == own.generate(examples, **how)
    assert done[-1] == (3, sum(text.tokens for (text,) in texts))
    asked = known.requests[-1]
    assert [asked[key] for key in ("repetition_penalty", "top_p", "temperature", "stop_token_ids")] == [1, 1, 0, [2]]


def test_a_sample_says_how_far_they_agree(played: tuple[CheckpointServer, Played], loaded: LoadedModel) -> None:
    server, known = played
    examples = tiny.examples(3)
    for name, kind in (("generation", "greedy texts"), ("choice", "preferred answers")):
        measure = MEASURES.get(name)
        measure = replace(measure, generation=FEW) if measure.generation else measure
        own = own_sample(loaded, examples, measure=measure, task="t")
        agreed = parity(own, server)
        assert (agreed.task, agreed.examples, agreed.kind, agreed.alike) == ("t", 3, kind, 3)
        assert agreed.nats is not None
        assert agreed.nats < 1e-3
        assert Parity.from_json(agreed.to_json()) == agreed
    known.with_echo = False
    agreed = parity(own_sample(loaded, examples[:2], measure=MEASURES.get("generation"), task="t"), replace(server))
    assert (agreed.alike, agreed.nats) == (2, None)
    assert "log-probabilities were not compared" in agreed.sentence("base")


def test_without_log_probabilities_choices_are_left_to_our_own_scorer(
    played: tuple[CheckpointServer, Played],
) -> None:
    server, known = played
    known.with_echo = False
    with pytest.raises(ModelError, match=r"gives 0 log-probabilities of .* choices, likelihoods and preferences need"):
        server.answer_logprobs(tiny.examples(1), task="t", on_scored=lambda _: None)
    with pytest.raises(ModelError, match="need them"):
        parity(own_sample(played[1].loaded, tiny.examples(1), measure=MEASURES.get("choice"), task="t"), server)


def test_samples_are_drawn_by_the_server(played: tuple[CheckpointServer, Played]) -> None:
    server, known = played
    drawn = Generation(max_new_tokens=2, samples=3, temperature=0.5, seed=7, stop=("\n",))
    texts = server.generate(tiny.examples(1), task="t", generation=drawn, on_written=lambda *_: None, remember=at_once)
    assert len(texts[0]) == 3
    assert {name: known.requests[-1][name] for name in ("n", "seed", "stop")} == {"n": 3, "seed": 7, "stop": ["\n"]}
