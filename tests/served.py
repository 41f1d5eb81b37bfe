"""An OpenAI-compatible server in this process: a small model that is really computed, and everything that goes wrong.

It answers as vLLM does, which repeats a prompt with the log-probability of each token; as `llamacpp` it leaves the
prompt's out without a word and writes one sample at a time, as llama.cpp's server does.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

import torch

from chaintune.models import LoadedModel

# What a request meets in place of an answer: a status, or one of these.
Trouble = (
    int
    | Literal[
        "closed", "cut", "no numbers", "other model", "slow", "redirect", "no text", "shifted", "filtered", "refusal"
    ]
)


@dataclass
class Served:
    """A server that runs.

    Attributes:
        name: of its model.
        loaded: the model; None answers each turn with `Yes: ` and its text.
        kind: program that it passes for.
        root: folder that it says it serves.
        url: of the server, up to `/v1`.
        requests: path and body of each that was posted, whatever became of it.
        keys: that came with them.
        troubles: that the next requests meet, the first one first.
        answered: bodies of requests that were answered well.
        released: ends the slow answers.
        more: tokens that it puts in front of those that it is sent.
    """

    name: str = "own"
    loaded: LoadedModel | None = None
    kind: str = "vllm"
    root: str = ""
    url: str = ""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    troubles: list[Trouble] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)
    released: Event = field(default_factory=Event)
    lock: Any = field(default_factory=Lock)
    more: tuple[int, ...] = ()

    def models(self) -> dict[str, Any]:
        """What it says of its model."""
        most = self.loaded.context_tokens if self.loaded else None
        about = {"id": self.name, "object": "model", "owned_by": self.kind, "root": self.root, "max_model_len": most}
        return {"object": "list", "data": [about]}

    def answer(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """A completion."""
        choices: list[dict[str, Any]] = []
        tokens = 0
        for prompt in self._prompts(path, asked):
            for _ in range(asked.get("n", 1)):
                choice, written = self._choice(prompt, asked)
                choices.append({"index": len(choices), **choice})
                tokens += written
        usage = {"completion_tokens": tokens, "prompt_tokens": self._read_tokens(path, asked)}
        return {"model": self.name, "choices": choices, "usage": usage}

    def _read_tokens(self, path: str, asked: Mapping[str, Any]) -> int:
        return sum(len(ids) for ids, _ in self._prompts(path, asked)) if self.loaded else 3

    def _prompts(self, path: str, asked: Mapping[str, Any]) -> list[Any]:
        if path == "/v1/chat/completions":
            turns = asked["messages"]
            if self.loaded is None:
                return [turns]
            ids = self.loaded.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
            return [(ids, True)]
        prompt = asked["prompt"]
        several = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
        if self.loaded is None:
            return several
        read = self.loaded.tokenizer
        return [(read(one)["input_ids"] if isinstance(one, str) else [*self.more, *one], False) for one in several]

    def _choice(self, prompt: Any, asked: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        if self.loaded is None:
            text = "Yes: " + (prompt if isinstance(prompt, str) else prompt[-1]["content"])
            said = {"text": text} if isinstance(prompt, str) else {"message": {"role": "assistant", "content": text}}
            return {**said, "finish_reason": "stop"}, 4
        ids, is_chat = prompt
        tokenizer, row, reason = self.loaded.tokenizer, list(ids), "length"
        with torch.no_grad(), self.lock:
            for _ in range(asked["max_tokens"]):
                logits = self.loaded.model(torch.tensor([row])).logits[0]
                row.append(int(logits[-1].argmax()))
                if row[-1] == tokenizer.eos_token_id:
                    reason = "stop"
                    break
            rows = self.loaded.model(torch.tensor([row])).logits[0].log_softmax(-1)
        written = tokenizer.decode(row[len(ids) :], skip_special_tokens=True)
        if is_chat:
            message = {"role": "assistant", "content": written}
            return {"message": message, "finish_reason": reason}, len(row) - len(ids)
        choice: dict[str, Any] = {"text": written, "finish_reason": reason, "logprobs": None}
        if asked.get("logprobs") is not None:
            first = 0 if asked.get("echo") and self.kind == "vllm" else len(ids)
            numbers = [None, *(float(rows[place - 1, row[place]]) for place in range(1, len(row)))]
            choice["logprobs"] = {
                "tokens": [tokenizer.decode([token]) for token in row[first:]],
                "token_logprobs": numbers[first:],
            }
        return choice, len(row) - len(ids)


class _Handler(BaseHTTPRequestHandler):
    served: Served
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for 40 milliseconds

    def do_GET(self) -> None:
        self._send(200, self.served.models())

    def do_POST(self) -> None:
        served = self.served
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with served.lock:
            served.requests.append((self.path, asked))
            served.keys.add(self.headers["Authorization"])
            trouble = served.troubles.pop(0) if served.troubles else 200
        if self.served.kind == "llamacpp" and asked.get("n", 1) > 1:
            trouble = 400
        if isinstance(trouble, int) and trouble != 200:
            echoed = f"Incorrect API key provided: {(self.headers['Authorization'] or '').removeprefix('Bearer ')}"
            self._send(trouble, {"error": {"message": echoed}})
            return
        if trouble == "redirect":
            self._send(307, {}, {"Location": "http://elsewhere.example/v1/completions?key=hidden"})
            return
        if trouble == "slow":
            served.released.wait(20)
            self.close_connection = True
            return
        body = served.answer(self.path, asked)
        if trouble == "other model":
            body["model"] = "another"
        if trouble == "no numbers":
            body["choices"] = [{**one, "logprobs": None} for one in body["choices"]]
        if trouble == "no text":
            body["choices"] = []
        if trouble == "filtered":
            body["choices"] = [{**one, "finish_reason": "content_filter"} for one in body["choices"]]
        if trouble == "refusal":
            body["choices"] = [{"message": {"content": None, "refusal": "I can't."}, "finish_reason": "stop"}]
        if trouble == "shifted":  # as a server that leaves the first token out and counts the one that it wrote
            for said in (one["logprobs"] for one in body["choices"]):
                said["tokens"] = said["tokens"][1:]
                said["token_logprobs"] = [None, *said["token_logprobs"][2:]]
        if trouble in ("closed", "cut"):
            self._send_part(body, whole_length=trouble == "closed")
            return
        with served.lock:
            served.answered += [asked] if trouble == 200 else []
        self._send(200, body)

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        about = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Retry-After": "0.001"}
        for name, value in {**about, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _send_part(self, body: Mapping[str, Any], *, whole_length: bool) -> None:
        """Half of an answer: the connection is closed in it, or its JSON breaks off."""
        content = json.dumps(body).encode()
        half = content[: len(content) // 2]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content if whole_length else half)))
        self.end_headers()
        self.wfile.write(half)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(served: Served, *, certificate: Path | None = None) -> Iterator[Served]:
    """A server while the context lasts.

    Args:
        served: what it answers.
        certificate: file of a certificate with its key, for HTTPS.
    """
    running = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": served}))
    running.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http{'s' if certificate else ''}://127.0.0.1:{running.server_address[1]}/v1"
    try:
        yield served
    finally:
        served.released.set()
        running.shutdown()
        thread.join()
        running.server_close()
