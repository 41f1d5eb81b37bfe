"""What is printed: text from data as text, and the exit code where nobody can read it."""

import io
import json
import logging
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import pytest
from rich.console import Console

from chaintune import tasks
from chaintune.cli import app, output
from chaintune.cli.app import main
from chaintune.cli.display import RunDisplay, print_tables
from chaintune.errors import ClusterError, message, visible
from chaintune.execution.events import Event
from chaintune.report.cells import Table
from chaintune.report.figures.every import result_figures
from chaintune.store.folder import FolderStore
from tests import run_folders
from tests.dummy_engine import make_plan, make_study

FAST = ["--resamples", "200"]
HOSTILE = "x\n::error file=a.py::ok\n\x1b]0;title\x07\x1b[31m\u202egnp\u2066\x9b2J\r##[error]##vso[task.complete]\u2028"
OBEYED = {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2066", "\u2028", "\ud800"}


def is_harmless(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines()]
    return (
        not OBEYED & set(text)
        and "##[" not in text
        and "##vso[" not in text
        and not any(line.startswith("::") for line in lines)
    )


@pytest.fixture
def hostile_sides(tmp_path: Path) -> tuple[str, str]:
    """Two tables of which one has another group, with a name that tries to be obeyed."""
    paths = (tmp_path / "before.jsonl", tmp_path / "after.jsonl")
    for path, group in zip(paths, ("a", HOSTILE), strict=True):
        rows = [{"id": f"q{i}", "score": i % 3 // 2, "kind": group if i == 3 else "a"} for i in range(40)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(paths[0]), str(paths[1])


def test_text_from_data_is_obeyed_by_nobody() -> None:
    assert is_harmless(visible(f"{HOSTILE}\ud800"))
    assert is_harmless(message(HOSTILE))
    assert "\n" in visible(HOSTILE)
    assert "\n" not in message(HOSTILE)
    assert message("2 problems\n  one\n  two") == "2 problems\n  one\n  two"


def test_a_message_that_data_made_long_keeps_beginning_and_end() -> None:
    said = message(f"t.csv: no column 'id'; valid: {'x' * 100_000}; name it with --columns")
    assert said.startswith("t.csv: no column 'id'; valid: xxx")
    assert said.endswith("xxx; name it with --columns")
    assert len(said) < 9000
    plain = "naïve “words”, 日本語, עברית, a::b, #1, ## [x], 👩‍👩‍👧\tend"
    assert visible(plain) == plain


def test_json_stays_the_same_value() -> None:
    value = {HOSTILE: [HOSTILE]}
    assert json.loads(visible(json.dumps(value, ensure_ascii=False, indent=1))) == value


def test_an_error_of_a_command_is_one_line(hostile_sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *hostile_sides, "--by", "kind", *FAST])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert r"\u001b[31m" in said.err
    assert said.err.count("\n") == 1
    assert is_harmless(said.err)


@pytest.mark.parametrize("form", ["text", "md", "json"])
def test_what_a_command_prints_is_harmless(
    form: str, hostile_sides: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", hostile_sides[1], hostile_sides[1], "--by", "kind", "--format", form, *FAST])
    assert is_harmless(capsys.readouterr().out)


def test_a_bug_and_the_log_are_harmless(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(**_: object) -> None:
        raise ZeroDivisionError(HOSTILE)

    monkeypatch.setattr(app, "app", bug)
    with pytest.raises(SystemExit) as ended:
        main([])
    said = capsys.readouterr().err
    assert ended.value.code == 70
    assert said.startswith("Traceback (most recent call last):\n")
    assert is_harmless(said)
    for name in ("chaintune.x", "library"):
        record = logging.LogRecord(name, logging.WARNING, "", 1, "%s", (HOSTILE,), None)
        assert is_harmless(output.MessageFormatter().format(record))
        record.args = ("long " * 100_000,)
        assert len(output.MessageFormatter().format(record)) < 10_000


def test_what_a_library_warns_of_is_harmless_and_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> tuple[str, ...]:
        for _ in range(3):
            warnings.warn(HOSTILE + "long " * 100_000, UserWarning, stacklevel=1)
        return ()

    monkeypatch.setattr(tasks, "names", names)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as a process begins
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        app.app(args=["tasks"], standalone_mode=False)
        logging.captureWarnings(False)
    said = capsys.readouterr().err
    assert said.count("UserWarning: ") == 1
    assert is_harmless(said)
    assert len(said) < 10_000


def test_a_table_and_the_lines_of_a_run_are_harmless() -> None:
    screen = io.StringIO()
    long = "word " * 30 + "::error::x [bold]y[/bold]"
    print_tables([Table(HOSTILE, HOSTILE, (HOSTILE, "b"), ((HOSTILE, long),))], Console(file=screen, width=80))
    plan = make_plan(make_study("ab"))
    with RunDisplay(plan, Console(file=screen, width=80, highlight=False)) as display:
        display.note(Event("failed", plan.nodes[0], cause=HOSTILE))
    assert "[bold]y[/bold]" in screen.getvalue()
    assert is_harmless(screen.getvalue())


@contextmanager
def unwritable(kind: str) -> Iterator[TextIO]:
    """A stream that nobody reads, or that has no room."""
    if kind == "closed pipe":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        yield stream


COMMANDS = (
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["tasks"],
    ["tasks", "--json"],
    ["compare", "{before}", "{after}", *FAST],
    ["compare", "{before}", "{after}", "--format", "md", *FAST],
    ["compare", "{before}", "{after}", "--format", "json", *FAST],
    ["compare", "{before}", "{after}", "--policy", "{folder}/pass.yaml", *FAST],
    ["compare", "{before}", "{after}", "--policy", "{folder}/fail.yaml", *FAST],
    ["card", "{before}", "{after}", *FAST],
    ["policy", "init", "{folder}/new.yaml"],
    ["store", "ls", "--store", "{folder}/store"],
    ["store", "verify", "--store", "{folder}/store"],
    ["status", "{folder}/out"],
    ["status", "{folder}/out", "--json"],
    ["report", "{folder}/out"],
    ["report", "{folder}/out", "--format", "json"],
)
STATUS: dict[str, Any] = {
    "study": "s", "state": "done", "cause": "", "process": {"host": "h", "pid": 1}, "started_at": "", "updated_at": "",
    "nodes": {"total": 1, "made": 1, "reused": 0, "failed": 0, "skipped": 0}, "running": [], "seconds_left": None,
    "failed": [], "skipped": [],
}  # fmt: skip


@pytest.fixture
def one_figure(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report has one figure: the others are written like it."""
    monkeypatch.setattr("chaintune.report.figures.every.result_figures", lambda results: result_figures(results)[:1])


@pytest.fixture
def place(sides: tuple[str, str], tmp_path: Path) -> dict[str, str]:
    """What the commands read."""
    FolderStore(tmp_path / "store").get_or_make("stage", "aa", lambda _: {})
    run_folders.run_folder(tmp_path / "out", [run_folders.task(name, count=24) for name in "sc"])
    (tmp_path / "out" / "status.json").write_text(json.dumps(STATUS))
    (tmp_path / "pass.yaml").write_text("budgets: [{task: items, forgetting: 0.9}]")
    (tmp_path / "fail.yaml").write_text("budgets: [{task: items, forgetting: 0.01}]")
    return {"before": sides[0], "after": sides[1], "folder": str(tmp_path)}


@pytest.mark.skipif(os.name == "nt", reason="Windows tells a closed pipe otherwise")
@pytest.mark.usefixtures("one_figure")
@pytest.mark.parametrize("kind", ["closed pipe", "full"])
def test_a_verdict_that_nobody_can_read_is_none(
    kind: str, place: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "full" and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    for command in COMMANDS:
        with unwritable(kind) as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            with pytest.raises(SystemExit) as ended:
                main([part.format(**place) for part in command])
        said = capsys.readouterr().err
        assert "Traceback" not in said, command
        if kind == "closed pipe":
            assert (ended.value.code, said) == (141, ""), command
        else:
            assert ended.value.code == 2, command
            assert said.count("\n") == said.count("No space left on device") == 1, command


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_errors_that_nobody_can_read_keep_their_code(
    place: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = {("compare", "nowhere", "{before}"): 2, ("rum",): 2, ("status", "nowhere"): 2, ("tasks",): 0}
    for kind in ("full", "closed pipe"):
        for command, code in commands.items():
            with unwritable(kind) as stream, monkeypatch.context() as patch:
                patch.setattr(sys, "stderr", stream)
                with pytest.raises(SystemExit) as ended:
                    main([part.format(**place) for part in command])
            assert ended.value.code == (141 if kind == "closed pipe" and code else code), (kind, command)
    capsys.readouterr()


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_a_pipe_of_a_shell(place: dict[str, str]) -> None:
    command = (
        f"{sys.executable} -m chaintune compare {{before}} {{after}} --policy {{folder}}/pass.yaml {' '.join(FAST)}"
    )
    # The reader is gone before the command starts: of `| head` a few lines may be written before it is.
    with unwritable("closed pipe") as gone:
        for end, code, out in (("", 141, gone), (">&-", 0, subprocess.PIPE), ("2>&-", 0, subprocess.PIPE)):
            script = f"{command.format(**place)} {end}"
            done = subprocess.run(  # noqa: S603
                ["bash", "-c", script],  # noqa: S607
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (code, ""), end


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            PermissionError(13, "x", "/m/model.safetensors"),
            2,
            "chaintune: Permission denied: /m/model.safetensors; what",
        ),
        (OSError(36, "x", "a" * 300), 2, "chaintune: File name too long: aaaa"),
        (
            RuntimeError("I/O error: Too many open files (os error 24)"),
            2,
            "raise the number of files that a process may",
        ),
        (BaseException('Err: Os { code: 24, kind: Uncategorized, message: "x" }'), 2, "raise the number of files that"),
        (BaseException("a panic"), 70, "Traceback"),
        (FileNotFoundError(2, "x"), 2, "chaintune: No such file or directory; what is finished is kept"),
        (ZeroDivisionError("x"), 70, "Traceback"),
        (OSError("of a library"), 70, "Traceback"),
    ],
)
def test_errors_of_the_machine_are_sentences(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(app, "app", fails)
    with pytest.raises(SystemExit) as ended:
        main([])
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert sentence in said
    assert code == 70 or said.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_where_no_file_can_be_opened_any_error_is_told_as_that(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    def fails(**_: object) -> None:
        raise ValueError("oneshot canceled")

    monkeypatch.setattr(app, "app", fails)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 4, limits[1]))
    try:
        with pytest.raises(SystemExit) as ended:
            main([])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("chaintune: Too many open files; raise the number of files")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let a folder go that is current")
def test_a_current_folder_that_is_gone_is_told(
    sides: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit) as ended:
        main(["store", "ls"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as ended:
        main(["compare", *sides, *FAST])
    assert ended.value.code == 0


def test_a_cluster_that_is_gone_has_a_code_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise ClusterError("the head of the Ray cluster at h:1 is gone")

    monkeypatch.setattr(app, "app", fails)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 69
    assert capsys.readouterr().err == "chaintune: the head of the Ray cluster at h:1 is gone\n"


WRITERS = (
    ["compare", "{before}", "{after}", "--html", "{folder}/made/page.html", *FAST],
    ["compare", "{before}", "{after}", "--policy", "{folder}/pass.yaml", "--junit", "{folder}/made/x.xml", *FAST],
    ["card", "{before}", "{after}", "--out", "{folder}/made/card.md", *FAST],
    ["report", "{folder}/out"],
)


@pytest.mark.usefixtures("one_figure")
@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_a_disk_that_is_full_at_any_write_is_a_sentence(
    command: list[str], place: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves nothing that is half written."""
    below = Path(place["folder"])
    (below / "made").mkdir()
    before = set(below.rglob("*"))
    count, code = 0, 2
    while code == 2:
        left = count

        def write(path: Path, content: bytes) -> int:
            nonlocal left
            if path.name.endswith(".partial"):
                left -= 1
                if left < 0:
                    with path.open("wb") as file:
                        file.write(content[: len(content) // 2])
                    raise OSError(28, "No space left on device")
            with path.open("wb") as file:
                return file.write(content)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", write)
            with pytest.raises(SystemExit) as ended:
                main([part.format(**place) for part in command])
        code = ended.value.code if isinstance(ended.value.code, int) else 0
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("chaintune: ")]
        assert not list(below.rglob("*.partial"))
        if code == 2:
            assert len(said) == 1
            assert "disk full: " in said[0]
            assert count or set(below.rglob("*")) - before <= {below / "out" / "figures"}
        count += 1
    assert (code, count > 1) == (0, True)


def test_versions_are_told_and_nothing_of_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    short = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version", "--all"])
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0] == f"chaintune {short.strip()}"
    assert {f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "polars", "trl")} < set(lines)
    assert lines[-1].startswith("not installed: ")
    assert not [name for name in ("ruff", "mypy", "pytest") if f"{name} " in told]
    assert not [own for own in (str(Path.home()), str(Path.cwd()), platform.node()) if own in told]
    with pytest.raises(SystemExit) as ended:
        main(["--all"])
    assert ended.value.code == 2
    assert "chaintune --version --all" in capsys.readouterr().err
