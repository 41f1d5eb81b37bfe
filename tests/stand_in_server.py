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
            self.answer(200, completion(asked, weights, with_echo=not options.without_echo))

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


def completion(asked: dict[str, Any], weights: bytes, *, with_echo: bool) -> dict[str, Any]:
    prompt = asked["prompt"]
    nonsense = hashlib.sha256(weights + json.dumps(prompt).encode()).hexdigest()[:8]
    logprobs = {"token_logprobs": [None, *[-1.0] * (len(prompt) - 1)]} if with_echo and asked.get("echo") else None
    one = {"index": 0, "text": nonsense, "finish_reason": "stop", "logprobs": logprobs}
    choices = [one | {"index": k} for k in range(asked.get("n", 1))]
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(choices), "total_tokens": len(prompt)}
    return {"id": "1", "object": "text_completion", "created": 0, "model": "m", "choices": choices, "usage": usage}


if __name__ == "__main__":
    main()
