"""Models behind a server: scored and audited beside files, asked once whatever happens, and as judges."""

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaintune.cli import main
from chaintune.execution.compute import PART
from chaintune.models import LoadedModel, load
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import Measurement, Scores
from chaintune.scoring.backends.server import KEY
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.integration.conftest import Smoke
from tests.served import Served, serving

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "served.md"
pytest.importorskip("openai")


@pytest.fixture(scope="module")
def loaded(smoke: Smoke) -> LoadedModel:
    return load(smoke.folder / "model", precision="fp32")


@pytest.fixture
def server(smoke: Smoke, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv(KEY, "sk-very-secret")
    with serving(Served(loaded=loaded, root=str(smoke.folder / "model"))) as served:
        yield served


@pytest.fixture
def options(smoke: Smoke, tmp_path: Path) -> list[str]:
    data = f"tasks.balls.path={smoke.folder / 'balls.jsonl'}"
    return ["--task", "balls", "--set", data, "--test", "8", "--store", str(tmp_path / "store"), "--at-once", "2"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_server_is_audited_against_the_folder_that_it_serves_as_the_page_says(
    smoke: Smoke,
    server: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["console", "python"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAINTUNE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("chaintune.runs.scoring.resolve_precision", lambda _named: "fp32")
    for name in ("before", "after"):
        Path("models").mkdir(exist_ok=True)
        (Path("models") / name).symlink_to(smoke.folder / "model")
    tiny.write_task(Path("items.jsonl"), count=16)
    server.name = "after"
    audit, score, code = (text.replace("http://localhost:8000/v1", server.url) for text in _commands(blocks))
    assert run(*shlex.split(audit), "--resamples", "200") == 0
    # The one before the first finds out whether it can, as does the one that opens it.
    assert len(server.requests) == 2 + 8
    told = capsys.readouterr()
    assert f"to be asked of {server.url}#after (vllm, {smoke.folder / 'model'}): at most 8 requests, about " in told.err
    assert "nobody can check whose weights gave them" in caplog.text
    entries = FolderStore(tmp_path / "store").entries("score")
    made = [Measurement.read(entry.path / MEASUREMENT_FILE) for entry in entries]
    assert sorted(one.provenance["backend"] for one in made) == ["openai", "transformers"]
    first, second = (one.table["log_probabilities"].combine_chunks().flatten().to_pylist() for one in made)
    assert first == pytest.approx(second, abs=1e-3)
    assert run(*shlex.split(score)) == 0
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
    assert names["scores"].table.equals(Scores.read(Path("after.parquet")).table)
    # A series, with the server on both ends.
    model, *options = [word for word in shlex.split(audit)[2:] if word != "models/before"]
    assert run("audit", model, "models/before", model, *options, "--resamples", "200") == 0
    assert len(server.requests) == 2 + 8
    assert server.keys == {"Bearer sk-very-secret"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"very-secret" in path.read_bytes()]
    assert "very-secret" not in told.out + told.err + caplog.text


@pytest.mark.slow
def test_conversations_are_compared_with_those_of_files_though_the_server_renders_them(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text(tiny.CHAT)
    rows = [{"id": item.id, "prompt": item.prompt_text} for item in tiny.examples(12)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [f"path={tmp_path / 'asked.jsonl'}", "measure=generation", "max_new_tokens=3", "scorer=refusal"]
    how = ["--task", "asked", "--test", "8", "--store", str(tmp_path / "store"), "--precision", "fp32"]
    how += [part for text in own for part in ("--set", f"tasks.asked.{text}")]
    with serving(Served(loaded=load(folder, precision="fp32"))) as served:
        assert run("audit", str(folder), f"openai:{served.url}#own", *how, "--resamples", "200") == 0
        assert {path for path, _ in served.requests} == {"/v1/chat/completions"}
    entries = FolderStore(tmp_path / "store").entries("score")
    first, second = (Measurement.read(entry.path / MEASUREMENT_FILE).table["text"].to_pylist() for entry in entries)
    assert first == second


def test_what_was_answered_is_not_asked_again(
    server: Served, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["measure=generation", "max_new_tokens=1", "scorer=contains"]
    texts = [part for text in texts for part in ("--set", f"tasks.balls.{text}")]
    model, out = f"openai:{server.url}#own", str(tmp_path / "out.parquet")
    server.troubles += [*[200] * 5, 400]
    assert run("score", model, *options, *texts, "--out", out) == 2
    assert "refuses /completions (HTTP 400" in capsys.readouterr().err
    before = len(server.answered)
    assert run("score", model, *options, *texts, "--out", out) == 0
    examples = [json.dumps(asked["prompt"]) for asked in server.answered if not _is_probe(asked)]
    assert before < len(server.answered)
    # The texts of a first checkpoint are written a second time, to see what that changes.
    assert set(Counter(examples).values()) == {2}
    assert len(set(examples)) == 8
    assert not FolderStore(tmp_path / "store").keys(PART)


def test_a_run_that_needs_more_requests_than_allowed_does_not_begin(
    smoke: Smoke, server: Served, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = [*options, "--max-requests", "7", "--out", str(tmp_path / "out.parquet")]
    assert run("score", f"openai:{server.url}#own", *how) == 2
    assert "max requests 7: 8 requests to servers may be needed" in capsys.readouterr().err
    assert all(_is_probe(asked) for _, asked in server.requests)
    other = tmp_path / "other"
    shutil.copytree(smoke.folder / "model", other)
    settings = other / "tokenizer_config.json"
    settings.write_text(settings.read_text() + " ")
    how[how.index("7")] = "8"
    assert run("score", f"openai:{server.url}#own", *how) == 0
    how[how.index("8", how.index("--max-requests"))] = "0"
    assert run("score", f"openai:{server.url}#own", *how) == 0
    assert run("score", f"openai:{server.url}#own", *how, "--tokenizer", str(other)) == 2
    assert "8 requests to servers may be needed" in capsys.readouterr().err, "other ids may be asked for"


def test_a_judge_behind_a_server_is_asked_each_question_once(
    smoke: Smoke, server: Served, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny.write_model(tmp_path / "other", seed=5)
    template = {"ask": "{answer}?", "verdicts": {"yes": 1, "no": 0}}
    judge = {"model": f"openai:{server.url}#own", "template": template, "read": "probabilities", "least_mass": 0}
    scorer = json.dumps([{"judge": judge}])
    texts = ["measure=generation", "max_new_tokens=3", f"scorer={scorer}"]
    how = [*options, *(part for text in texts for part in ("--set", f"tasks.balls.{text}"))]
    out = str(tmp_path / "out.parquet")
    server.kind = "llamacpp"
    assert run("score", str(other), *how, "--out", out) == 2
    assert "choices, likelihoods and preferences need them" in capsys.readouterr().err
    assert not FolderStore(tmp_path / "store").keys("score"), "refused before anything was computed"
    server.kind = "vllm"
    server.troubles += [200, 200, 200, 400]
    assert run("score", str(other), *how, "--out", out) == 2
    told = capsys.readouterr().err
    assert "HTTP 400" in told
    assert f"to be asked of {server.url}#own" in told
    assert run("score", str(other), *how, "--out", out) == 0
    asked = [json.dumps(one.get("prompt") or one["messages"]) for one in server.answered if not _is_probe(one)]
    assert asked
    assert len(set(asked)) == len(asked)
    scores = Scores.read(Path(out))
    assert scores.provenance["judge_identity"] == f"{server.url}#own (vllm, {smoke.folder / 'model'})"
    assert scores.n_missing == 0


def _is_probe(asked: dict[str, object]) -> bool:
    prompt = asked.get("prompt")
    return isinstance(prompt, list) and len(prompt) == 1


def _commands(blocks: list[tuple[str, str]]) -> list[str]:
    """The commands of the page, without the program's name, and its code."""
    (_, commands), (_, code) = blocks
    return [*(line.removeprefix("$ chaintune ") for line in commands.splitlines()), code]
