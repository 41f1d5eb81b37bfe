"""Objects through the real client and a small server on this machine that fails on demand."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from chaintune.errors import ConfigError, StoreError
from chaintune.store import bucket as module
from chaintune.store.bucket import Bucket, connect
from tests.unit.store import s3_server


@pytest.fixture
def bucket(server: s3_server.S3Server) -> Bucket:
    return connect(f"s3://{s3_server.BUCKET}/some/prefix")


def test_objects_are_written_read_listed_and_removed(bucket: Bucket, server: s3_server.S3Server) -> None:
    assert (bucket.read("a"), bucket.size("a"), bucket.folders(), bucket.objects("b")) == (None, None, [], {})
    bucket.write("a", b"1")
    bucket.write("b/c/d", b"22")
    bucket.write("b/c/d", b"333")
    assert (bucket.read("a"), bucket.size("b/c/d"), bucket.folders()) == (b"1", 3, ["b"])
    assert {name: size for name, (size, _) in bucket.objects("b").items()} == {"b/c/d": 3}
    assert set(server.objects) == {"some/prefix/a", "some/prefix/b/c/d"}
    bucket.remove(["a", "absent", "b/c/d"])
    assert server.objects == {}


def test_a_file_travels_in_parts(
    bucket: Bucket, server: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ_BYTES", 4 * 2**20)
    content = os.urandom(11 * 2**20)
    (tmp_path / "weights").write_bytes(content)
    bucket.upload(tmp_path / "weights", "weights")
    assert sum(request.startswith("PUT") for request in server.requests) == 3
    assert b"".join(bucket.chunks("weights", len(content))) == content
    assert sum(request.startswith("GET") for request in server.requests) == 3


@pytest.mark.parametrize(("there", "parts"), [(6, [b"111", b"111"]), (5, [b"111", b"11"]), (3, [b"111"]), (0, [])])
def test_an_object_that_is_shorter_than_expected_ends_early(
    there: int, parts: list[bytes], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ_BYTES", 3)
    bucket.write("a", b"1" * there)
    assert list(bucket.chunks("a", 6)) == parts
    with pytest.raises(FileNotFoundError):
        list(bucket.chunks("absent", 6))


@pytest.mark.parametrize("scheme", ["s3", "file", "memory"])
def test_a_file_may_be_empty(scheme: str, server: s3_server.S3Server, tmp_path: Path) -> None:
    place = {"s3": s3_server.BUCKET, "file": tmp_path.as_posix(), "memory": "bucket"}[scheme]
    bucket = connect(f"{scheme}://{place}/x")
    (tmp_path / "empty").write_bytes(b"")
    bucket.upload(tmp_path / "empty", "empty")
    assert (bucket.size("empty"), bucket.read("empty"), list(bucket.chunks("empty", 0))) == (0, b"", [])


def test_of_sixteen_that_create_an_object_one_wins(bucket: Bucket) -> None:
    won: list[int] = []

    def create(number: int) -> None:
        if bucket.create("a", str(number).encode()):
            won.append(number)

    threads = [Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert bucket.read("a") == str(winner).encode()


def test_an_answer_that_got_lost_is_no_other_writer(bucket: Bucket, server: s3_server.S3Server) -> None:
    lost = iter([True, False])
    server.loses = lambda request: request.startswith("PUT") and next(lost)
    assert bucket.create("a", b"1")
    assert server.requests == ["PUT some/prefix/a", "PUT some/prefix/a", "GET some/prefix/a"]
    server.loses = lambda _request: False
    assert not bucket.create("a", b"2")


@pytest.mark.parametrize("how", ["silently", "as the client was told"])
def test_where_no_condition_is_known_the_last_wins(
    how: str, server: s3_server.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.knows_conditions = False
    if how != "silently":
        monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    bucket = connect(f"s3://{s3_server.BUCKET}/some/prefix")
    assert bucket.create("a", b"1")
    assert bucket.create("a", b"2")
    assert bucket.read("a") == b"2"


@pytest.mark.parametrize("status", [0, 500, 503])
def test_an_outage_is_waited_out(status: int, bucket: Bucket, server: s3_server.S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"3")
    bucket.write("a", b"1")
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: bucket.read("a"),
        "size": lambda: bucket.size("a"),
        "write": lambda: bucket.write("b", b"2"),
        "create": lambda: bucket.create("c", b"2"),
        "upload": lambda: bucket.upload(tmp_path / "file", "d"),
        "chunks": lambda: list(bucket.chunks("a", 1)),
        "folders": bucket.folders,
        "objects": lambda: bucket.objects("a"),
        "remove": lambda: bucket.remove(["a"]),
    }
    for name, call in calls.items():
        before = len(server.requests)
        server.trouble = lambda _, until=before + 3: status if len(server.requests) < until else None  # type: ignore[misc]
        call()
        assert len(server.requests) >= before + 3, name
    assert set(server.objects) == {f"some/prefix/{name}" for name in "bcd"}


def test_a_download_that_was_cut_goes_on(bucket: Bucket, server: s3_server.S3Server) -> None:
    bucket.write("a", b"0123456789")
    server.cuts = 2
    assert bucket.read("a") == b"0123456789"
    server.cuts = 1
    assert b"".join(bucket.chunks("a", 10)) == b"0123456789"
    assert server.cuts == 0


def test_an_outage_longer_than_patience_is_one_sentence(
    server: s3_server.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINTUNE_STORE_PATIENCE", "0.2")
    bucket = connect(f"s3://{s3_server.BUCKET}/x")
    server.trouble = lambda _request: 503
    with pytest.raises(StoreError) as caught:
        bucket.write("a", b"1")
    assert str(caught.value).startswith(f"s3://{s3_server.BUCKET}/x: the store cannot be written (")
    assert str(caught.value).endswith(
        "what is finished is kept: run again when the store answers, or wait longer with CHAINTUNE_STORE_PATIENCE"
    )
    assert "\n" not in str(caught.value)


def test_a_server_that_forbids_is_not_asked_again(bucket: Bucket, server: s3_server.S3Server) -> None:
    server.trouble = lambda _request: 403
    with pytest.raises(StoreError, match=r"the store cannot be written \("):
        bucket.write("a", b"1")
    with pytest.raises(StoreError, match=r"the store cannot be read \("):
        bucket.read("a")
    assert len(server.requests) == 2


def test_a_bucket_that_is_not_there_is_not_made(server: s3_server.S3Server) -> None:
    with pytest.raises(StoreError, match=r"^s3://nowhere/x: the store cannot be written; "):
        connect("s3://nowhere/x").write("a", b"1")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_wait_ends_when_the_user_interrupts_it(bucket: Bucket, server: s3_server.S3Server) -> None:
    over = Event()

    def trouble(_request: str) -> int:
        Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        over.wait(timeout=600)
        return 403

    server.trouble = trouble
    with pytest.raises(KeyboardInterrupt):
        bucket.read("a")
    assert len(server.requests) == 1
    over.set()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//x"])
@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_bucket_refuses_names_outside_itself(scheme: str, name: str, tmp_path: Path) -> None:
    bucket = connect(f"{scheme}://{tmp_path.as_posix()}/there")
    with pytest.raises(StoreError, match="the store cannot be written"):
        bucket.write(name, b"")


def test_a_folder_as_a_bucket_lets_one_create(tmp_path: Path) -> None:
    bucket = connect(f"file://{tmp_path.as_posix()}/there is a blank")
    assert bucket.create("a/b", b"1")
    assert not bucket.create("a/b", b"2")
    assert (tmp_path / "there is a blank" / "a" / "b").read_bytes() == b"1"
    bucket.remove(["a/b"])
    assert bucket.folders() == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gcs://bucket/x", r"gcs://bucket/x: protocol 'gcs' is not known; did you mean 'gs'\? Valid: "),
        ("simplecache::s3://bucket/x", "expected one protocol, not a chain of them"),
        ("s3://me:secret@host/x", "^s3://host/x: an address is logged, so it must hold no credentials"),
        ("s3://secret@host/x", "^s3://host/x: an address is logged, so it must hold no credentials"),
        ("s3://me:sec/secret@host/x", "^s3://host/x: an address is logged, so it must hold no credentials"),
        ("https://me:secret@host/x", "^https://host/x: an address is logged, so it must hold no credentials"),
        ("abfss://c:secret@account/x", "^abfss://account/x: an address is logged, so it must hold no credentials"),
        ("az://container/x?sig=secret", "^az://container/x: expected protocol://place/prefix, without"),
        ("s3://bucket/x#secret", "^s3://bucket/x: expected protocol://place/prefix, without"),
        ("https://host/x?token=secret", "^https://host/x: protocol 'https' is not known"),
        ("a::https://host/x?token=secret", "^a::https://host/x: expected one protocol, not a chain of them"),
        ("s3://bucket/../x", r"expected protocol://place/prefix, without '\.\.'"),
        ("s3://bucket/x?a=b", r"expected protocol://place/prefix, without '\.\.'"),
        ("s3://", "s3://: names no place, such as a bucket or a folder"),
        ("file://here/x", r"the store cannot be opened \(expected file:// and an absolute path"),
        ("az://container/x", r"az://container/x: the store cannot be opened \(.*Account must be specified\)"),
    ],
)
def test_a_url_that_cannot_be_meant(url: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match=sentence) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_library_says_is_shown_without_the_signature_of_its_request() -> None:
    said = "Error performing GET https://a.blob.core.windows.net/c/x?sv=1&sig=secret in 1s\n\nDebug source: secret"
    assert module._sentence(RuntimeError(said)) == "Error performing GET https://a.blob.core.windows.net/c/x in 1s"
    assert module._sentence(RuntimeError("is it there?")) == "is it there?"


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/me@home/x", "gs://bucket/x", "abfss://container@account.dfs.core.windows.net/x", "s3a://bucket/x"],
)
def test_other_services_are_known(url: str) -> None:
    assert connect(f"{url}/").address == url


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_patience_is_a_number_of_seconds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINTUNE_STORE_PATIENCE", text)
    with pytest.raises(ConfigError, match=rf"CHAINTUNE_STORE_PATIENCE: expected seconds, 0 or more, got '{text}'"):
        connect("memory://x")


def test_a_profile_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setitem(sys.modules, "obstore.auth.boto3", None)
    with pytest.raises(StoreError, match=r"^AWS_PROFILE: reading a profile needs .*: pip install boto3$"):
        connect("s3://bucket/x")


def test_a_profile_is_read(server: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="boto3 is the user's to install")
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = of-work\naws_secret_access_key = secret\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    connect(f"s3://{s3_server.BUCKET}/x").write("a", b"1")
    assert server.keys_used == {"of-work"}
