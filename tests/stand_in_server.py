"""A server that writes nonsense, in place of `vllm`: `python stand_in_server.py serve MODEL --port PORT OPTION...`.

It answers at once and loads no model. What it writes depends on the weights and on the prompt. A process that it starts
stays with it, as the workers of a real server do. Options:

`--lora-modules NAME=FOLDER` lists the adapter as a model; `--without-echo` gives no log-probabilities; `--never-ready`
never says that it is; `--fail TEXT` says that and ends; `--end-when-asked` ends at the first prompt; `--hang FILE`
answers no prompt, and writes its process ids into FILE at the first.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def main() -> None:
    options = read_options()
    if options.fail:
        say(f"loading {options.model}\n{options.fail}")
        sys.exit(3)
    worker = subprocess.Popen(["/bin/sleep", "600"])
    say(f"serving {options.model} {options.adapter} as {os.getpid()} with {worker.pid}")
    folder = Path(options.adapter.partition("=")[2] or options.model)
    words = words_of(Path(options.model))
    weights = b"".join(path.read_bytes() for path in sorted(folder.glob("*.safetensors")))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            names = [options.adapter.partition("=")[0]] if options.adapter else []
            listed = {"object": "list", "data": [{"id": name} for name in [options.model, *names]]}
            ready = not options.never_ready
            self.answer(200 if ready else 503, listed if self.path == "/v1/models" else {})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if options.end_when_asked:
                os._exit(4)
            if options.hang:
                Path(options.hang).write_text(f"{os.getpid()} {worker.pid}")
                time.sleep(600)
            if not isinstance(asked["prompt"][0], list):
                asked["prompt"] = [asked["prompt"]]
            rows = [completion(row, asked, weights, words, not options.without_echo) for row in asked["prompt"]]
            choices = [one | {"index": place} for place, one in enumerate(one for row in rows for one in row)]
            self.answer(200, {"model": options.model, "choices": choices, "usage": {"completion_tokens": len(choices)}})

        def answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.serve_forever(poll_interval=0.05)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("model")
    parser.add_argument("--port", type=int)
    parser.add_argument("--lora-modules", dest="adapter", default="")
    parser.add_argument("--fail", default="")
    parser.add_argument("--hang", default="")
    for flag in ("--without-echo", "--never-ready", "--end-when-asked"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_known_args()[0]


def words_of(folder: Path) -> dict[int, str]:
    """Id of a token -> how its tokenizer writes it."""
    said = json.loads((folder / "tokenizer.json").read_bytes()) if (folder / "tokenizer.json").exists() else {}
    known = {number: word for word, number in said.get("model", {}).get("vocab", {}).items()}
    return known | {one["id"]: one["content"] for one in said.get("added_tokens", ())}


def completion(
    prompt: list[int], asked: dict[str, Any], weights: bytes, words: dict[int, str], with_echo: bool
) -> list[dict[str, Any]]:
    nonsense = hashlib.sha256(weights + json.dumps(prompt).encode()).hexdigest()[:8]
    echoed = {"token_logprobs": [None, *[-1.0] * (len(prompt) - 1)], "tokens": [words.get(one, "") for one in prompt]}
    one = {"text": nonsense, "finish_reason": "stop", "logprobs": echoed if with_echo and asked.get("echo") else None}
    return [one] * asked.get("n", 1)


if __name__ == "__main__":
    main()
