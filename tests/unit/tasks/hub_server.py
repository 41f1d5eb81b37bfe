"""The Hub, as far as a small HTTP server on this machine can play it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq


def commit(repo: str, revision: str = "main") -> str:
    """The commit that a branch stands for."""
    return sha1(f"{repo} {revision}".encode(), usedforsecurity=False).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answers what `huggingface_hub` asks for data sets: their revisions, their trees, their files.

    Attributes:
        repos: name -> revision -> file -> bytes.
    """

    repos: dict[str, dict[str, dict[str, bytes]]]

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        for repo, revisions in self.repos.items():
            for revision, files in revisions.items():
                sha = commit(repo, revision)
                if path == f"/api/datasets/{repo}/revision/{revision}":
                    siblings = [{"rfilename": name} for name in files]
                    return self.answer(json.dumps({"id": repo, "sha": sha, "siblings": siblings}).encode())
                if path == f"/api/datasets/{repo}/tree/{sha}":
                    tree = [{"type": "file", "path": n, "size": len(data), "oid": "0"} for n, data in files.items()]
                    return self.answer(json.dumps(tree).encode())
        return self.file(path, body=True)

    def do_HEAD(self) -> None:
        self.file(unquote(urlparse(self.path).path), body=False)

    def file(self, path: str, *, body: bool) -> None:
        named = {
            f"/datasets/{repo}/resolve/{commit(repo, revision)}/{name}": (data, commit(repo, revision))
            for repo, revisions in self.repos.items()
            for revision, files in revisions.items()
            for name, data in files.items()
        }
        data, sha = named.get(path, (None, ""))
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(data, body=body, sha=sha)

    def answer(self, data: bytes, *, body: bool = True, sha: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hash(data) & 0xFFFFFFFF:x}"')
        self.send_header("X-Repo-Commit", sha)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
