"""Models with a chat template, asked in it, without it, and both ways."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from transformers import AutoTokenizer

import chaintune
from chaintune.cli.app import main
from chaintune.errors import DataError, ModelError
from chaintune.records import Message, Scores
from chaintune.report.folder import write_report
from chaintune.runs.scoring import score_models
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ':\n' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)
OTHER = TEMPLATE.replace(":\n", " said\n")
UNUSED = "has a chat template, and "


def with_template(folder: Path, template: str) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with a template, one without, and two tasks."""
    folder = tmp_path_factory.mktemp("chat")
    for name, seed in (("one", 0), ("two", 1)):
        with_template(tiny.write_model(folder / name, seed=seed), TEMPLATE)
    tiny.write_model(folder / "plain")
    for rule, name in (("ball", "balls"), ("box", "boxes")):
        tiny.write_task(folder / f"{name}.jsonl", rule=rule)
    return folder


def run(here: Path, *arguments: str) -> int:
    """The exit code of a command on a store of its own."""
    data = [f"tasks.{name}.path={here / name}.jsonl" for name in ("balls", "boxes") if name in arguments]
    options = [text for one in data for text in ("--set", one)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *options, "--store", str(here / "store"), "--test", "16"])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def scored(here: Path, out: Path, *options: str) -> Scores:
    assert run(here, "score", str(here / "one"), "--task", "balls", "--out", str(out), *options) == 0
    return Scores.read(out)


def test_a_template_that_is_not_used_is_told_once(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "before"
    assert run(here, "score", str(here / "one"), "--task", "balls", "--task", "boxes", "--out", str(out)) == 0
    told = [record.getMessage() for record in caplog.records if UNUSED in record.getMessage()]
    assert len(told) == 1
    assert "one has a chat template, and balls, boxes were asked as plain text; --chat on ('chat: on'" in told[0]
    assert run(here, "score", str(here / "two"), "--task", "balls", "--out", str(tmp_path / "two.parquet")) == 0
    caplog.clear()
    capsys.readouterr()
    assert run(here, "compare", str(out / "balls.parquet"), str(tmp_path / "two.parquet")) == 2  # it has no --test
    with pytest.raises(SystemExit):
        main(["compare", str(out / "balls.parquet"), str(tmp_path / "two.parquet")])
    assert "The model has a chat template, and balls was asked as plain text" in capsys.readouterr().out


@pytest.mark.parametrize(("model", "options"), [("one", ["--chat", "off"]), ("plain", [])])
def test_nothing_is_said_where_there_is_nothing_to_say(
    here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, model: str, options: list[str]
) -> None:
    assert run(here, "score", str(here / model), "--task", "balls", "--out", str(tmp_path / "b.parquet"), *options) == 0
    assert not [record for record in caplog.records if UNUSED in record.getMessage()]
    assert "chat" not in Scores.read(tmp_path / "b.parquet").provenance


def test_one_way_is_not_compared_with_the_other(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on, off = (scored(here, tmp_path / f"{mode}.parquet", "--chat", mode) for mode in ("on", "off"))
    assert on.provenance["chat"] == "on"
    assert on.table.column("choice_logprobs") != off.table.column("choice_logprobs")
    with pytest.raises(DataError, match=r"cannot be compared: chat is on before and off after; .*--force"):
        chaintune.compare(on, off)
    forced = chaintune.compare(on, off, force=True)
    assert forced.forced == ("chat is on before and off after",)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["compare", *(str(tmp_path / f"{mode}.parquet") for mode in ("on", "off"))])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    rendered = replace(on, provenance={**on.provenance, "chat_template": "0" * 64})
    with pytest.raises(DataError, match=r"chat template is [0-9a-f]{12} before and 000000000000 after"):
        chaintune.compare(on, rendered)
    assert {row.chat for row in chaintune.compare(on, on).rows} == {"on"}


def test_what_renders_is_in_the_key(here: Path, tmp_path: Path) -> None:
    """Same weights, same task: each template has scores of its own, and text has one for all."""
    store, folder = FolderStore(tmp_path / "store"), tmp_path / "one"
    folder.symlink_to(here / "one")
    copy = tmp_path / "other"
    tiny.write_model(copy)
    with_template(copy, OTHER)
    task = chaintune.tasks.load("balls", role="safety", path=here / "balls.jsonl", test=8)
    chat = chaintune.tasks.load("balls", role="safety", path=here / "balls.jsonl", test=8, chat="on")
    off, off_too = (score_models({"m": str(model)}, [task], store)["m"]["balls"] for model in (folder, copy))
    assert off.table.equals(off_too.table)
    assert len(list(store.entries("score"))) == 1
    on, other = (score_models({"m": str(model)}, [chat], store)["m"]["balls"] for model in (folder, copy))
    assert len(list(store.entries("score"))) == 3
    assert on.provenance["chat_template"] != other.provenance["chat_template"]
    assert not on.table.column("choice_logprobs").equals(other.table.column("choice_logprobs"))


def test_a_task_is_scored_both_ways(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores"
    assert run(here, "score", str(here / "one"), "--task", "balls", "--chat", "both", "--out", str(out), "--json") == 0
    plain, chat = json.loads(capsys.readouterr().out)
    assert [(one["task"], one["chat"]) for one in (plain, chat)] == [("balls", "off"), ("balls-chat", "on")]
    alike = plain["chat_agreement"]
    answers = [Scores.read(out / f"{name}.parquet").predictions() for name in ("balls", "balls-chat")]
    assert alike["value"] == (answers[0] == answers[1]).mean()
    assert alike["n"] == 16
    assert alike["low"] < alike["value"] < alike["high"]
    assert run(here, "score", str(here / "one"), "--task", "balls", "--chat", "both", "--out", str(out)) == 0
    assert "Asked both ways" in capsys.readouterr().out
    single = run(here, "score", str(here / "one"), "--task", "balls", "--chat", "both", "--out", str(out / "x.parquet"))
    assert single == 2


def test_an_audit_both_ways(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "audit"
    models = [str(here / name) for name in ("one", "two")]
    arguments = ["--task", "balls", "--chat", "both", "--format", "json", "--out", str(out), "--by", "owner"]
    assert run(here, "audit", *models, *arguments) == 0
    plain, chat = json.loads(capsys.readouterr().out)["comparisons"]
    assert (plain["task"], chat["task"]) == ("balls", "balls-chat")
    assert set(plain["chat_agreement"]) == {"before", "after"}
    assert chat["chat_agreement"] == {}
    assert all(one["overall"]["verdict"] for one in (plain, chat))
    report = (out / "report.md").read_text()
    assert "Asked in the chat template and as plain text, balls got the same answer: before " in report
    assert "Asked both ways" in report
    assert "got the same answer" in (out / "report.html").read_text()
    assert UNUSED not in report


STUDY = """
base: {base}
tasks:
  balls: {{role: safety, path: {here}/balls.jsonl, train: 16, test: 16}}
  boxes: {{role: capability, path: {here}/boxes.jsonl, train: 16, test: 16}}
chains: [[balls, boxes]]
recipe: {{learning_rate: 1e-3, epochs: 1, batch_size: 8}}
seed: 0
resamples: 100
precision: fp32
"""


def study(here: Path, tmp_path: Path, *overrides: str, base: str = "one") -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(base=here / base, here=here))
    return Study.from_yaml(path, overrides)


def test_a_study_both_ways(here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = FolderStore(tmp_path / "store")
    session = prepare(study(here, tmp_path, "chat=both"), store)
    assert not [record for record in caplog.records if UNUSED in record.getMessage()]
    rows = session.run(tmp_path / "out").to_polars()
    lost = rows.filter((pl.col("metric") == "forgetting") & (pl.col("dimension") == "") & pl.col("deciding"))
    assert sorted(lost.select("task", "chat", "chain", "reference").rows()) == [
        ("balls", "off", "balls>boxes", "balls"),
        ("balls-chat", "on", "balls>boxes", "balls"),
    ]
    assert all(lost.get_column("verdict"))
    alike = rows.filter((pl.col("metric") == "chat_agreement") & (pl.col("dimension") == ""))
    places = [(task, chain) for task in ("balls", "boxes") for chain in ("balls", "balls>boxes", "base")]
    assert sorted(alike.select("task", "chain").rows()) == places
    assert set(alike.get_column("unit")) == {"share"}
    write_report(tmp_path / "out", session.tasks)
    assert "Asked both ways" in (tmp_path / "out" / "report.md").read_text()
    assert Study.from_yaml(tmp_path / "out" / "study.resolved.yaml").chat == "both"
    # What is taught, and what is asked as plain text, is what it is without.
    alone = prepare(study(here, tmp_path), store)
    assert {node.key for node in alone.plan.nodes} < {node.key for node in session.plan.nodes}
    told = [record.getMessage() for record in caplog.records if UNUSED in record.getMessage()]
    assert len(told) == 1


def test_a_study_says_in_its_results_that_the_template_was_not_used(here: Path, tmp_path: Path) -> None:
    session = prepare(study(here, tmp_path, "chains=[[balls]]"), FolderStore(tmp_path / "store"))
    session.run(tmp_path / "out")
    write_report(tmp_path / "out", session.tasks)
    told = "has a chat template, and balls, boxes were asked as plain text"
    for name in ("provenance.json", "report.md", "report.html"):
        assert told in (tmp_path / "out" / name).read_text(), name


def test_a_task_of_a_study_says_itself_how_it_is_asked(here: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    off, on, own = (
        prepare(study(here, tmp_path, *keys), store) for keys in ([], ["chat=on"], ["chat=on", "tasks.boxes.chat=off"])
    )
    stages = [[node.key for node in session.plan.stages] for session in (off, on, own)]
    assert len({keys[0] for keys in stages}) == 2
    assert stages[1][0] == stages[2][0]
    assert len({keys[1] for keys in stages}) == 3
    assert [session.tasks["boxes"].chat for session in (off, on, own)] == ["auto", "on", "off"]


def test_a_stage_stored_under_another_template_is_asked_in_that_of_its_base(here: Path, tmp_path: Path) -> None:
    """Weights that were trained on text are shared by bases that differ in their templates alone."""
    store, other = FolderStore(tmp_path / "store"), tmp_path / "other"
    with_template(tiny.write_model(other), OTHER)
    keys = ("chains=[[balls]]", "tasks.balls.chat=off", "chat=on")
    (tmp_path / "b").mkdir()
    one = prepare(study(here, tmp_path, *keys), store)
    two = prepare(study(here, tmp_path / "b", *keys, f"base={other}"), store)
    assert [node.key for node in one.plan.stages] == [node.key for node in two.plan.stages]
    for session, name in ((one, "one"), (two, "two")):
        assert session.run(tmp_path / name).outcome.complete
    alone = prepare(study(here, tmp_path / "b", *keys, f"base={other}"), FolderStore(tmp_path / "fresh"))
    assert alone.run(tmp_path / "alone").outcome.complete
    files = [tmp_path / name / "scores" / "balls.seed0.on-boxes.parquet" for name in ("one", "two", "alone")]
    first, second, third = (Scores.read(file).table.column("choice_logprobs") for file in files)
    assert not first.equals(second)
    assert second.equals(third)


def test_a_model_without_a_template(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.parquet"
    capsys.readouterr()
    assert run(here, "score", str(here / "plain"), "--task", "balls", "--chat", "on", "--out", str(out)) == 2
    said = capsys.readouterr().err
    assert "task 'balls': the model has no chat template" in said
    assert "leave 'chat: on' out" in said
    with pytest.raises(ModelError, match="task 'balls': the model has no chat template"):
        prepare(study(here, tmp_path, "chat=on", base="plain"), FolderStore(tmp_path / "store"))
    assert not list(FolderStore(tmp_path / "store").entries("stage"))


def test_examples_longer_than_the_context_when_rendered(here: Path, tmp_path: Path) -> None:
    task = chaintune.tasks.load("balls", role="safety", path=here / "balls.jsonl", test=8, chat="on")
    long = replace(task.test[0], prompt=(Message("user", "Ann has a red ball. " * 40),))
    task = replace(task, test=(long, *task.test[1:]))
    named = (
        rf"task 'balls': 1 of 8 examples are longer than the model's context of 256 tokens: '{long.id}' \(\d+ tokens\)"
    )
    with pytest.raises(DataError, match=named):
        score_models({"m": str(here / "one")}, [task], FolderStore(tmp_path / "store"))


def test_examples_that_a_model_cannot_read_are_left_out_where_the_task_says_so(
    here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = tiny.numbered(tiny.examples(40))
    long = replace(items[3], prompt="Ann has a red ball. " * 40)
    path = tiny.write_task(tmp_path / "own.jsonl", items=[*items[:3], long, *items[4:]])
    how: dict[str, Any] = {"role": "safety", "path": path, "test_share": 1, "chat": "on"}
    models = {"one": str(here / "one"), "two": str(here / "two")}
    with pytest.raises(DataError, match="task 'own': 1 of 40 examples are longer"):
        score_models(models, [chaintune.tasks.load("own", **how)], FolderStore(tmp_path / "store"))
    task = chaintune.tasks.load("own", unusable="skip", **how)
    scores = score_models(models, [task], FolderStore(tmp_path / "store"))
    assert [len(scores[name]["own"]) for name in models] == [39, 39]
    assert long.id not in scores["one"]["own"].example_ids
    (told,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "task 'own': left out 1 of 40 rows: 1 with a text that a model cannot read (1 of 1 examples" in told
    # No other model, and no other way of asking it, changes what is left.
    short = score_models({"one": str(here / "one")}, [task], FolderStore(tmp_path / "store"))
    assert short["one"]["own"].example_ids == scores["one"]["own"].example_ids
    alone = replace(task, test=tuple(one for one in task.test if one.id == long.id))
    with pytest.raises(DataError, match="task 'own': no example of its test split can be read"):
        score_models(models, [alone], FolderStore(tmp_path / "store"))
