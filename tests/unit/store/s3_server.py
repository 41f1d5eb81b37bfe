"""A server on this machine that speaks as much S3 as a store needs, so that the real client is what gets tried."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "my-bucket"


class S3Server(ThreadingHTTPServer):
    """Objects in memory: key -> content and moment."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.lock = Lock()
        self.refused = 0
        self.says_why = True  # not every server does
        self.answer = 200  # any other is the answer to everything

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads the client here, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or each answer waits 40 ms
    disable_nagle_algorithm = True
    server: S3Server

    def handle_expect_100(self) -> bool:
        """The client sends no body before it hears this."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, *_words: object) -> None:
        """Say nothing."""

    @property
    def key(self) -> str:
        """What comes after the bucket; a bucket that is not there has no keys."""
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").strip("/")

    def do_PUT(self) -> None:
        content = _decoded(self.rfile.read(int(self.headers["Content-Length"])), self.headers.get("Content-Encoding"))
        if self._is_elsewhere():
            return
        with self.server.lock:
            if self.headers.get("If-None-Match") == "*" and self.key in self.server.objects:
                self.server.refused += 1
                condition = "<Condition>If-None-Match</Condition>" if self.server.says_why else ""
                self._error(412, "PreconditionFailed", condition)
                return
            self.server.objects[self.key] = (content, datetime.now(UTC))
        self._say(200, etag=content)

    def do_GET(self) -> None:
        if self._is_elsewhere():
            return
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in asked:
            self._list(asked["prefix"][0] if "prefix" in asked else "", "delimiter" in asked)
            return
        found = self._found()
        if found is None:
            return
        content = found[0]
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            part = content[int(span[1]) : int(span[2]) + 1 if span[2] else None]
            self._say(206, part, modified=found[1], etag=content)
            return
        self._say(200, content, modified=found[1], etag=content)

    def do_HEAD(self) -> None:
        if not self._is_elsewhere() and (found := self._found()):
            self._say(200, found[0], modified=found[1], etag=found[0])

    def do_DELETE(self) -> None:
        if not self._is_elsewhere():
            with self.server.lock:
                self.server.objects.pop(self.key, None)
            self._say(204)

    def _found(self) -> tuple[bytes, datetime] | None:
        found = self.server.objects.get(self.key)
        if found is None:
            self._error(404, "NoSuchKey")
        return found

    def _is_elsewhere(self) -> bool:
        if self.server.answer != 200:
            self._error(self.server.answer, "InternalError" if self.server.answer >= 500 else "AccessDenied")
            return True
        if not urlsplit(self.path).path.startswith(f"/{BUCKET}"):
            self._error(404, "NoSuchBucket")
            return True
        return False

    def _list(self, prefix: str, by_folder: bool) -> None:
        files, folders = "", set()
        with self.server.lock:
            there = sorted(self.server.objects.items())
        for key, (content, modified) in there:
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if by_folder and "/" in rest:
                folders.add(prefix + rest.partition("/")[0] + "/")
            else:
                moment = modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
                files += f"<Contents><Key>{escape(key)}</Key><LastModified>{moment}</LastModified>"
                files += f"<ETag>&quot;{hashlib.md5(content).hexdigest()}&quot;</ETag>"  # noqa: S324 - as S3 has it
                files += f"<Size>{len(content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        files += "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        )
        head = f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        self._say(200, f"<ListBucketResult>{head}{files}</ListBucketResult>".encode())

    def _error(self, status: int, code: str, more: str = "") -> None:
        self._say(status, f"<Error><Code>{code}</Code><Message>{code}</Message>{more}</Error>".encode())

    def _say(self, status: int, content: bytes = b"", *, modified: datetime | None = None, etag: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.md5(etag).hexdigest()}"')  # noqa: S324 - as S3 has it
        if modified:
            self.send_header("Last-Modified", modified.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _decoded(body: bytes, encoding: str | None) -> bytes:
    """The content of a body that comes in chunks with their sizes before them, or as it is."""
    if "aws-chunked" not in (encoding or ""):
        return body
    content, rest = b"", body
    while size := int((line := rest.partition(b"\r\n"))[0].partition(b";")[0], 16):
        content += line[2][:size]
        rest = line[2][size + 2 :]
    return content
