"""A server on this machine that speaks as much S3 as a store needs, so that the real client is what gets tried."""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

BUCKET = "my-bucket"


class S3Server(ThreadingHTTPServer):
    """Objects in memory, and trouble on demand.

    Attributes:
        objects: key -> content and moment of writing.
        keys_used: the ids of access keys that requests were signed with.
        requests: method and key of every request, answered or not.
        trouble: called with a request; the status that is answered to it instead, 0 to say nothing and hang up.
        loses: called with a request that was obeyed; whether its answer is lost.
        cuts: so many of the next downloads end in the middle.
        knows_conditions: whether a conditional put is refused where there is an object.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.lock = Lock()
        self.parts: dict[str, dict[int, bytes]] = {}
        self.requests: list[str] = []
        self.trouble: Callable[[str], int | None] = lambda _request: None
        self.loses: Callable[[str], bool] = lambda _request: False
        self.keys_used: set[str] = set()
        self.cuts = 0
        self.knows_conditions = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed or gave up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

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
        asked = self._asked()
        with self.server.lock:
            if "partNumber" in asked:
                self.server.parts[asked["uploadId"]][int(asked["partNumber"])] = content
            elif self._is_refused():
                self._error(412, "PreconditionFailed")
                return
            else:
                self.server.objects[self.key] = (content, datetime.now(UTC))
        self._say(200, etag=content)

    def do_POST(self) -> None:
        """Remove objects; begin or complete an upload in parts."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        if self._is_elsewhere():
            return
        asked = self._asked()
        with self.server.lock:
            if "delete" in asked:
                keys = re.findall(r"<Key>([^<]*)</Key>", body)
                for key in keys:
                    self.server.objects.pop(unescape(key), None)
                deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
                self._say(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())
                return
            if "uploads" in asked:
                upload = str(len(self.server.parts))
                self.server.parts[upload] = {}
                self._say(200, f"<Result><UploadId>{upload}</UploadId></Result>".encode())
                return
            content = b"".join(part for _, part in sorted(self.server.parts[asked["uploadId"]].items()))
            self.server.objects[self.key] = (content, datetime.now(UTC))
        self._say(200, b"<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>")

    def _asked(self) -> dict[str, str]:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {name: values[0] for name, values in query.items()}

    def _is_refused(self) -> bool:
        conditional = self.headers.get("If-None-Match") == "*" and self.server.knows_conditions
        return conditional and self.key in self.server.objects

    def do_GET(self) -> None:
        if self._is_elsewhere():
            return
        asked = self._asked()
        if "list-type" in asked:
            self._list(asked.get("prefix", ""), "delimiter" in asked)
            return
        found = self._found()
        if found is None:
            return
        content = found[0]
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, part = int(span[1]), content[int(span[1]) : int(span[2]) + 1 if span[2] else None]
            if not part:
                self._error(416, "InvalidRange")
                return
            place = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self._say(206, part, modified=found[1], etag=content, place=place)
            return
        self._say(200, content, modified=found[1], etag=content)

    def do_HEAD(self) -> None:
        if not self._is_elsewhere() and (found := self._found()):
            self._say(200, found[0], modified=found[1], etag=found[0])

    def _found(self) -> tuple[bytes, datetime] | None:
        found = self.server.objects.get(self.key)
        if found is None:
            self._error(404, "NoSuchKey")
        return found

    def _is_elsewhere(self) -> bool:
        request = f"{self.command} {self.key}"
        self.server.requests.append(request)
        self.server.keys_used |= set(re.findall(r"Credential=([^/]+)/", self.headers.get("Authorization") or ""))
        status = self.server.trouble(request)
        if status == 0:
            self._hang_up()
            return True
        if status is not None:
            self._error(status, "InternalError" if status >= 500 else "AccessDenied")
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

    def _error(self, status: int, code: str) -> None:
        self._say(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def _say(
        self,
        status: int,
        content: bytes = b"",
        *,
        modified: datetime | None = None,
        etag: bytes = b"",
        place: str = "",
    ) -> None:
        if status < 300 and self.server.loses(f"{self.command} {self.key}"):
            self._hang_up()
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.md5(etag).hexdigest()}"')  # noqa: S324 - as S3 has it
        if place:
            self.send_header("Content-Range", place)
        if modified:
            self.send_header("Last-Modified", modified.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET" and len(content) > 1 and self.server.cuts:
            self.server.cuts -= 1
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(SHUT_RDWR)


def _decoded(body: bytes, encoding: str | None) -> bytes:
    """The content of a body that comes in chunks with their sizes before them, or as it is."""
    if "aws-chunked" not in (encoding or ""):
        return body
    content, rest = b"", body
    while size := int((line := rest.partition(b"\r\n"))[0].partition(b";")[0], 16):
        content += line[2][:size]
        rest = line[2][size + 2 :]
    return content
