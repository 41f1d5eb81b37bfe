"""A store that drops out, cuts uploads and cannot refuse: nothing finished is lost, nothing half-done counts."""

import errno
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from chaintune.errors import ConfigError, StoreError
from chaintune.execution.local import run_plan
from chaintune.store.address import open_store
from chaintune.store.remote import claim, patience
from chaintune.store.remote import store as remote
from chaintune.store.remote.claim import Claims
from chaintune.store.store import Store
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task
from tests.unit.store import shaky
from tests.unit.store.entries import KEY, Maker


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> shaky.Weather:
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(claim, "_FIRST_LOOK_SECONDS", 0.01)
    shaky.register()
    return shaky.fair_weather()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The folder where the objects lie."""
    return tmp_path / "there"


class Machines:
    """Opens the store with a cache for each machine."""

    def __init__(self, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._there, self._monkeypatch = there, monkeypatch

    def open(self, name: str = "one") -> Store:
        self._monkeypatch.setenv("CHAINTUNE_CACHE", str(self._there.with_name("caches") / name))
        return open_store(f"shaky://{self._there.as_posix()}")


@pytest.fixture
def machines(there: Path, monkeypatch: pytest.MonkeyPatch, weather: shaky.Weather) -> Machines:
    return Machines(there, monkeypatch)


def uploads(there: Path) -> list[Path]:
    return [path for path in (there / "stage" / KEY).iterdir() if any(below.is_file() for below in path.rglob("*"))]


def test_the_manifest_is_written_last(machines: Machines, there: Path, weather: shaky.Weather) -> None:
    machines.open().get_or_make("stage", KEY, Maker())
    put = [path for call, path in weather.calls if call in {"put_file", "pipe_file"} and f"/stage/{KEY}/" in path]
    (upload,) = uploads(there)
    files = [str(upload / name) for name in ("sub/more", "weights")]
    assert [path for path in put if ".claims" not in path] == [*files, str(there / "stage" / KEY / "manifest.json")]


def test_an_answer_that_got_lost_does_no_harm(machines: Machines, there: Path, weather: shaky.Weather) -> None:
    weather.lose_answers = 2  # that of the claim, and that of the manifest
    maker = Maker()
    assert machines.open().get_or_make("stage", KEY, maker).made
    assert (maker.calls, weather.lose_answers, len(uploads(there))) == (1, 0, 1)
    assert not claim_path(there).exists()


def test_a_file_system_that_knows_no_conditional_put_serves_too(machines: Machines, weather: shaky.Weather) -> None:
    store, other, maker = machines.open(), machines.open("two"), Maker()
    unknown = partial(Striking, weather, 0, operation="pipe_file")
    made = unknown(TypeError("unexpected keyword argument 'mode'")).watched(
        lambda: store.get_or_make("stage", KEY, maker)
    )
    again = unknown(TypeError("unexpected keyword argument 'mode'")).watched(
        lambda: other.get_or_make("stage", KEY, maker)
    )
    assert (made.made, again.made, maker.calls) == (True, False, 1)


def calls_of_one_making(machines: Machines, weather: shaky.Weather) -> int:
    machines.open("counting").get_or_make("stage", "cd34", Maker())
    return len(weather.calls)


def test_trouble_that_passes_is_waited_out_wherever_it_strikes(machines: Machines, weather: shaky.Weather) -> None:
    count, answers = calls_of_one_making(machines, weather), 0
    assert count > 10
    for number in range(count):
        store, maker, key = machines.open(f"machine{number}"), Maker(), f"k{number}"
        weather.calls.clear()
        strike = Striking(weather, number)
        assert strike.watched(lambda s=store, k=key, m=maker: s.get_or_make("stage", k, m)).made
        assert maker.calls == 1
        assert store.damage("stage", key) == ""
        answers += strike.struck
    assert answers == count


def test_killed_anywhere_the_next_run_completes(machines: Machines, weather: shaky.Weather) -> None:
    count = calls_of_one_making(machines, weather)
    for number in range(count):
        maker, key = Maker(), f"k{number}"
        store = machines.open(f"machine{number}")
        weather.calls.clear()
        with suppress(KeyboardInterrupt):
            Striking(weather, number, KeyboardInterrupt()).watched(
                lambda s=store, k=key, m=maker: s.get_or_make("stage", k, m)
            )
        again = machines.open(f"machine{number}")
        again.get_or_make("stage", key, maker)
        assert maker.calls == 1
        assert again.damage("stage", key) == ""


class Striking:
    """Makes one call fail: the one after `number` others, or the first of some operation after them."""

    def __init__(
        self, weather: shaky.Weather, number: int, error: BaseException | None = None, *, operation: str = ""
    ) -> None:
        self.weather, self.number, self.operation, self.struck = weather, number, operation, False
        self.error = error or TimeoutError("timed out")

    def watched(self, work: Any) -> Any:
        usual = self.weather.strike

        def strike(operation: str, path: str) -> None:
            due = operation == self.operation if self.operation else len(self.weather.calls) == self.number
            if due and not self.struck:
                self.struck = True
                self.weather.troubles = [self.error]
            usual(operation, path)

        self.weather.strike = strike  # type: ignore[method-assign]
        try:
            return work()
        finally:
            self.weather.strike = usual  # type: ignore[method-assign]


def test_an_outage_is_told_once_and_waited_out(
    machines: Machines, weather: shaky.Weather, caplog: pytest.LogCaptureFixture
) -> None:
    def make(folder: Path) -> dict[str, Any]:
        weather.outage_seconds = 0.3
        return Maker()(folder)

    with caplog.at_level(logging.WARNING):
        entry = machines.open().get_or_make("stage", KEY, make)
    assert entry.made
    assert machines.open("two").get("stage", KEY) is not None
    assert [record.getMessage() for record in caplog.records] == [
        f"{machines.open().address}: the store cannot be written (no answer); trying again for 120 s"
    ]


def test_an_outage_longer_than_patience_loses_nothing_that_is_finished(
    machines: Machines, weather: shaky.Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINTUNE_STORE_PATIENCE", "0.05")
    maker = Maker()

    def make(folder: Path) -> dict[str, Any]:
        weather.outage_seconds = 3600
        return maker(folder)

    with pytest.raises(StoreError) as caught:
        machines.open().get_or_make("stage", KEY, make)
    assert str(caught.value).endswith(
        "the store cannot be written, for 0 s now (no answer); what is finished is kept: run again when the store "
        "answers, or wait longer with CHAINTUNE_STORE_PATIENCE"
    )
    weather.down_until = 0
    store = machines.open()
    assert (store.has("stage", KEY), store.get("stage", KEY)) == (False, None)
    assert not store.get_or_make("stage", KEY, maker).made
    assert maker.calls == 1
    assert machines.open("two").get("stage", KEY) is not None


@pytest.mark.parametrize(
    "error",
    [PermissionError("no"), OSError(errno.ENOSPC, "full"), OSError(errno.EROFS, "read-only"), ValueError("bad bucket")],
)
def test_trouble_that_does_not_pass_ends_at_once(
    error: Exception, machines: Machines, weather: shaky.Weather, there: Path
) -> None:
    store = machines.open()
    weather.troubles = [error]
    before = len(weather.calls)
    with pytest.raises(StoreError, match=rf"^shaky://{there}: the store cannot be read \("):
        store.has("stage", KEY)
    assert len(weather.calls) == before + 1


def test_a_store_that_is_full_loses_nothing_that_is_finished(machines: Machines, weather: shaky.Weather) -> None:
    maker, store = Maker(), machines.open()
    with pytest.raises(StoreError, match=r": the store cannot be written \(.*No space left"):
        Striking(weather, 0, OSError(errno.ENOSPC, "No space left"), operation="put_file").watched(
            lambda: store.get_or_make("stage", KEY, maker)
        )
    assert not store.has("stage", KEY)
    assert store.get_or_make("stage", KEY, maker).path.is_dir()
    assert maker.calls == 1


def requests(weather: shaky.Weather, work: Callable[[], object]) -> int:
    weather.calls.clear()
    work()
    return len(weather.calls)


def test_what_a_store_asks_of_the_network(machines: Machines, weather: shaky.Weather) -> None:
    """The numbers in docs/how-to/store.md; an entry of two files."""
    one, two = machines.open(), machines.open("two")
    assert requests(weather, lambda: one.get_or_make("stage", KEY, Maker())) == 7 + 2 * 2
    assert requests(weather, lambda: one.get("stage", KEY)) == 1
    assert requests(weather, lambda: two.get("stage", KEY)) == 1 + 2
    assert requests(weather, lambda: two.get("stage", KEY)) == 1
    assert requests(weather, lambda: two.has("stage", KEY)) == 1
    assert requests(weather, lambda: two.get("stage", "cd34")) == 1


def test_a_full_disk_here_is_told_as_such(machines: Machines, weather: shaky.Weather) -> None:
    machines.open().get_or_make("stage", KEY, Maker())
    store = machines.open("two")
    for call in (store.get, lambda kind, key: store.get_or_make(kind, key, Maker())):
        with pytest.raises(StoreError, match=rf"^disk full: [0-9,]+ MB free at {store.root}; nothing half-written"):
            Striking(weather, 0, OSError(errno.ENOSPC, "full"), operation="get_file").watched(
                lambda c=call: c("stage", KEY)
            )
    assert store.get("stage", KEY) is not None


def test_a_mistake_of_ours_is_no_trouble_of_the_store(machines: Machines, weather: shaky.Weather) -> None:
    weather.troubles = [TypeError("a bug")]
    with pytest.raises(TypeError):
        machines.open().has("stage", KEY)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_patience_is_a_number_of_seconds(text: str, machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINTUNE_STORE_PATIENCE", text)
    with pytest.raises(ConfigError, match=rf"CHAINTUNE_STORE_PATIENCE: expected seconds, 0 or more, got '{text}'"):
        machines.open()


def silently(_path: str) -> None:
    """Half of the bytes arrive, and nobody says so."""


def loudly(_path: str) -> None:
    raise ConnectionResetError("cut")


def for_good(_path: str) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("cut", [silently, loudly])
def test_an_upload_that_was_cut_is_sent_again(cut: Any, machines: Machines, weather: shaky.Weather) -> None:
    weather.cut = cut
    assert machines.open().get_or_make("stage", KEY, Maker()).made
    other = machines.open("two")
    assert other.damage("stage", KEY) == ""
    assert other.get("stage", KEY) is not None


def test_an_upload_cut_for_good_leaves_nothing_that_counts(
    machines: Machines, weather: shaky.Weather, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker()
    weather.cut = for_good
    with pytest.raises(KeyboardInterrupt):
        machines.open().get_or_make("stage", KEY, maker)
    (stale,) = uploads(there)
    other = machines.open("two")
    assert (other.has("stage", KEY), other.keys("stage"), list(other.entries("stage"))) == (False, [], [])
    assert not machines.open().get_or_make("stage", KEY, maker).made
    assert maker.calls == 1
    other.sweep()
    assert stale in uploads(there)  # somebody might still be at it
    monkeypatch.setattr(remote, "STALE_SECONDS", -1.0)
    other.sweep()
    (left,) = uploads(there)
    assert left != stale
    assert other.damage("stage", KEY) == ""


@contextmanager
def unclaimed(_claims: Claims, _kind: str, _key: str) -> Iterator[None]:
    yield


@pytest.mark.parametrize("refuses", [True, False])
def test_two_that_make_the_same_entry_leave_one_whole_entry(
    refuses: bool, machines: Machines, weather: shaky.Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it goes where claims do not hold: each writes other bytes, and the manifest decides."""
    monkeypatch.setattr(Claims, "held", unclaimed)
    weather.refuses = refuses
    together, found = Barrier(2), {}

    def ask(name: str, store: Store) -> None:
        def make(folder: Path) -> dict[str, Any]:
            (folder / "weights").write_text(name)
            together.wait(timeout=10)
            return {}

        found[name] = store.get_or_make("stage", KEY, make)

    stores = {name: machines.open(name) for name in ("one", "other")}
    threads = [Thread(target=ask, args=pair) for pair in stores.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = set()
    for store in (*stores.values(), machines.open("third")):
        assert store.damage("stage", KEY) == ""
        entry = store.get("stage", KEY)
        assert entry is not None
        texts.add((entry.path / "weights").read_text())
    assert len(texts) == 1
    assert texts < {"one", "other"}
    if refuses:
        assert {(entry.path / "weights").read_text() for entry in found.values()} == texts


def claim_path(there: Path) -> Path:
    return there / ".claims" / "stage" / f"{KEY}.json"


def test_a_claim_of_the_living_is_respected_and_released(
    machines: Machines, there: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claim, "_SECONDS_OF_SILENCE", 0.0)
    path, other, waiting = claim_path(there), machines.open("two"), Thread()

    def make(folder: Path) -> dict[str, Any]:
        nonlocal waiting
        waiting = Thread(target=other.drop, args=("stage", KEY))
        waiting.start()
        while "waiting for it" not in caplog.text:
            time.sleep(0.01)
        assert json.loads(path.read_bytes())["host"]
        return Maker()(folder)

    with caplog.at_level(logging.INFO):
        machines.open().get_or_make("stage", KEY, make)
        waiting.join()
    assert caplog.text.count(f"another machine is working on stage/{KEY}; waiting for it") == 1
    assert not path.exists()
    assert not other.has("stage", KEY)


@pytest.mark.parametrize("clock", [True, False])
def test_a_claim_of_the_dead_expires(
    clock: bool, machines: Machines, there: Path, weather: shaky.Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather.clock = clock
    monkeypatch.setattr(claim, "EXPIRY_SECONDS", 0.3)
    path = claim_path(there)
    path.parent.mkdir(parents=True)
    started = time.monotonic()
    path.write_bytes(claim.told(owner="dead", cache="elsewhere"))
    assert machines.open().get_or_make("stage", KEY, Maker()).made
    assert time.monotonic() - started > 0.2
    assert not path.exists()


def test_the_holder_of_a_claim_is_known_to_be_dead_on_its_own_machine(machines: Machines, there: Path) -> None:
    store, path = machines.open(), claim_path(there)
    path.parent.mkdir(parents=True)
    path.write_bytes(claim.told(owner="dead", cache=(store.root / ".identity").read_text()))
    assert store.get_or_make("stage", KEY, Maker()).made


def test_a_holder_that_works_long_stays_alive(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.05)
    maker, other = Maker(), machines.open("two")
    waiting = Thread(target=other.get_or_make, args=("stage", KEY, maker))

    def make(folder: Path) -> dict[str, Any]:
        waiting.start()
        time.sleep(1.8)
        return maker(folder)

    machines.open().get_or_make("stage", KEY, make)
    waiting.join()
    assert maker.calls == 1


def test_no_error_ends_the_pulse(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.02)
    beats: list[int] = []

    def write(*_: Any) -> None:
        beats.append(1)
        raise RuntimeError("a client that breaks off")

    def make(folder: Path) -> dict[str, Any]:
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(claim.Pulse, "_bucket", property(lambda _: SimpleNamespace(write=write)), raising=False)
            deadline = time.monotonic() + 10
            while len(beats) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
        return Maker()(folder)

    assert machines.open().get_or_make("stage", KEY, make).made
    assert len(beats) >= 3
    assert "could not be written; the next beat tries again" in caplog.text


def test_a_lease_of_the_dead_counts_for_nothing(
    machines: Machines, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machines.open()
    store.get_or_make("stage", KEY, Maker())
    elsewhere, here = (there / ".leases" / f"{name}.json" for name in ("elsewhere", "here"))
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(claim.told(cache="elsewhere", keys=[KEY]))
    assert not store.drop("stage", KEY, unless_leased=True)
    monkeypatch.setattr(claim, "EXPIRY_SECONDS", -1.0)
    here.write_bytes(claim.told(cache=(store.root / ".identity").read_text(), keys=[KEY]))
    assert store.drop("stage", KEY, unless_leased=True)
    assert list(elsewhere.parent.iterdir()) == []


def test_a_study_survives_an_outage_and_computes_nothing_twice(
    machines: Machines, weather: shaky.Weather, tmp_path: Path
) -> None:
    study = make_study("ab")
    tasks = {name: make_task(name) for name in study.tasks}
    plan = make_plan(study, tasks)

    def drop_out(_when: str, _what: str) -> None:
        if len(engine.calls) in {2, 5}:
            weather.outage_seconds = 0.3

    engine = DummyEngine(tmp_path / "engine", hook=drop_out)
    outcome = run_plan(plan, store=machines.open(), engine=engine, out=tmp_path / "out", tasks=tasks)
    assert outcome.complete
    assert len(engine.calls) == len(set(engine.calls)) == len(plan.nodes)
    again = DummyEngine(tmp_path / "again")
    assert run_plan(plan, store=machines.open("two"), engine=again, out=None, tasks=tasks).complete
    assert again.calls == []
