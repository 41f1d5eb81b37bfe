"""Scorers with a model, through studies and scorings: judged last, asked once, resumed, and never a judge of itself."""

import json
import pickle
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import chaintune
from chaintune.callback.live import encode_task
from chaintune.cli import main
from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.execution import compute
from chaintune.execution.bases import BaseModel
from chaintune.execution.engine_factory import EngineFactory
from chaintune.execution.judges import judges_of
from chaintune.models.classifiers import load_classifier
from chaintune.plan.nodes import MEASUREMENT_FILE, JudgementNode
from chaintune.records import Measurement, ScorerRef, Task
from chaintune.report.folder import read_results
from chaintune.report.page.steps import run_steps
from chaintune.runs.scoring import score_models
from chaintune.runs.session import Session
from chaintune.scoring.scorers import SCORERS
from chaintune.scoring.scorers.judgements import asks_of, judgement
from chaintune.scoring.scorers.scorer import OpenModel
from chaintune.store.folder import FolderStore
from chaintune.study.task_spec import tasks_from_options
from chaintune.tasks import load
from tests import synthetic, tiny
from tests.integration.conftest import Smoke
from tests.served import Served, serving

TEMPLATE = {"ask": "{prompt} {answer} Red?", "verdicts": {"yes": 1, "no": 0}, "direction": "less"}
SHORT = ["tasks.balls.max_new_tokens=4", "tasks.balls.test=16", "chains=[[balls, boxes]]", "resamples=200"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A judge and a classifier."""
    folder = tmp_path_factory.mktemp("judges")
    return tiny.write_model(folder / "judge", seed=5), tiny.write_classifier(folder / "classifier")


@pytest.fixture
def scorers(models: tuple[Path, Path]) -> list[dict[str, Any]]:
    judge, classifier = models
    return [
        {"judge": {"model": str(judge), "template": TEMPLATE, "least_mass": 0}},
        {"classifier": {"model": str(classifier), "label": 1}},
    ]


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What scorers' models are asked from here on."""
    asked: list[str] = []

    def watched(*arguments: Any, **options: Any) -> Measurement:
        keep = options["keep"]

        def counted(name: str, ask: Callable[[], Any]) -> Any:
            made = keep(name, ask)
            asked.extend([options["name"]] * len(made))
            return made

        return judgement(*arguments, **{**options, "keep": counted})

    monkeypatch.setattr("chaintune.execution.engine.judgement", watched)
    return asked


def opened(smoke: Smoke, store: Path, scorers: Sequence[dict[str, Any]], *overrides: str) -> Session:
    own = ["tasks.balls.measure=generation", f"tasks.balls.scorer={json.dumps(scorers)}"]
    return smoke.open(store, *own, *SHORT, *overrides)


def judgements(session: Session) -> dict[str, pl.DataFrame]:
    tables = {}
    for node in session.plan.nodes:
        if isinstance(node, JudgementNode):
            entry = session.store.get(node.kind, node.key)
            assert entry
            tables[node.title] = pl.from_arrow(Measurement.read(entry.path / MEASUREMENT_FILE).table)
    return tables  # type: ignore[return-value]


def task(smoke: Smoke, scorers: Sequence[dict[str, Any]], **options: Any) -> Task:
    refs = [ScorerRef(name, settings) for one in scorers for name, settings in one.items()]
    how: dict[str, Any] = {"path": smoke.folder / "balls.jsonl", "test": 16, "scorers": refs, **options}
    return load("balls", role="safety", measure="generation", generation={"max_new_tokens": 4}, **how)


def test_texts_of_a_study_are_judged_last_and_equal_ones_once(
    smoke: Smoke, scorers: list[dict[str, Any]], questions: list[str], tmp_path: Path
) -> None:
    session = opened(smoke, tmp_path / "store", scorers)
    kinds = [type(node).__name__ for node in session.plan.nodes]
    assert kinds[-6:] == ["JudgementNode"] * 6
    assert kinds.count("JudgementNode") == 6
    assert [node.measure for node in session.plan.scores][-6:] == ["judge"] * 3 + ["classifier"] * 3
    assert all(node.tokens > 16 for node in session.plan.scores)
    results = session.run(tmp_path / "out")
    assert results.outcome.complete, [result.cause for result in results.outcome.of("failed")]
    tables = judgements(session)
    assert len(tables) == 6
    assert "balls>boxes, seed 0 on balls, judged by judge" in tables
    by_question: dict[tuple[str, str], set[float | None]] = {}
    for title, table in tables.items():
        assert table["score"].is_between(0, 1).all()
        for question, score in table.select("question", "score").iter_rows():
            by_question.setdefault((title.rpartition(" ")[2], question), set()).add(score)
    assert all(len(scores) == 1 for scores in by_question.values())
    assert len(questions) == len(by_question) < sum(map(len, tables.values()))
    rows = results.to_polars().filter(pl.col("task") == "balls")
    metrics = rows.filter((pl.col("metric") == "forgetting") & (pl.col("group") == "")).select(
        "item_metric", "direction", "deciding"
    )
    assert sorted(metrics.unique().rows()) == [("classifier", "less", False), ("judge", "less", True)]
    index = json.loads((tmp_path / "out/scores/index.json").read_text())
    assert {one["item_metric"] for one in index.values()} >= {"judge", "classifier"}
    judged = [one for one in index.values() if one["item_metric"] == "judge"]
    assert {one["checkpoint"] for one in judged} == {cell.checkpoint.key for cell in session.plan.cells}
    assert {one["judged_by_key"] for one in judged} == {session.judges["judge"].key}
    (step,) = run_steps(read_results(tmp_path / "out"), written=True)
    assert (step.name, step.before.metric.name) == ("balls: from balls to balls>boxes", "judge")
    assert step.before.table != step.after.table
    about = json.loads((tmp_path / "out/provenance.json").read_text())
    assert sorted(about["judges"]) == ["classifier", "judge"]
    assert not list(session.store.entries(compute.PART))


def test_another_machine_opens_the_same_models(smoke: Smoke, scorers: list[dict[str, Any]], tmp_path: Path) -> None:
    session = opened(smoke, tmp_path / "store", scorers)
    factory = EngineFactory.of({**session.bases, **session.judges}, session.precision)
    sent = pickle.loads(pickle.dumps(replace(factory, files=dict.fromkeys(factory.files, ()))))  # noqa: S301
    assert pickle.loads(pickle.dumps(session.plan)) == session.plan  # noqa: S301
    (node,) = [one for one in session.plan.nodes if isinstance(one, JudgementNode)][-1:]
    model = sent(session.store)._open_judge(node, None)
    assert model.classifier is not None
    assert model.classifier.labels.names == ("LABEL_0", "LABEL_1")


def test_how_a_judge_is_asked_enters_the_keys_of_its_verdicts(smoke: Smoke, tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "judge", seed=5)
    own = {"judge": {"model": str(folder), "template": TEMPLATE}}

    def judge() -> tuple[str, str]:
        (one,) = judges_of([task(smoke, [own])], {}, FolderStore(tmp_path / "store"), precision="fp32").by_task["balls"]
        return one.base_key, one.judge

    def change(file: str, **values: Any) -> tuple[str, str]:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
        return judge()

    first = change("tokenizer_config.json", chat_template="{{ messages[0].content }}")
    assert judge() == first
    others = [
        change("tokenizer_config.json", chat_template="Q: {{ messages[0].content }}"),
        change("generation_config.json", eos_token_id=[2, 7]),
    ]
    assert {key for key, _ in others} == {first[0]}
    assert len({digest for _, digest in (first, *others)}) == 3


def test_another_study_asks_only_what_is_new(
    smoke: Smoke, scorers: list[dict[str, Any]], questions: list[str], tmp_path: Path
) -> None:
    for clusters, seed in ((16, 0), (20, 0)):
        before = len(questions)
        session = opened(smoke, tmp_path / "store", scorers[1:], f"tasks.balls.test={clusters}", f"seed={seed}")
        session.run(tmp_path / f"out{clusters}")
    new = {question for table in judgements(session).values() for question in table["question"]}
    assert 0 < len(questions) - before < len(new)


def test_a_judgement_that_was_killed_goes_on_where_it_was(
    smoke: Smoke,
    scorers: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("chaintune.scoring.scorers.judgements._KEPT_TOGETHER", 4)
    whole = score_models({"one": str(smoke.folder / "model")}, [task(smoke, scorers)], FolderStore(tmp_path / "whole"))
    store = FolderStore(tmp_path / "store")
    parts: list[str] = []
    keep = compute.JobRunner._keep

    def killed(runner: Any, node: Any, name: str, ask: Callable[[], Any]) -> Any:
        if not isinstance(node, JudgementNode):
            return keep(runner, node, name, ask)
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(name)
        return keep(runner, node, name, ask)

    with monkeypatch.context() as patch:
        patch.setattr(compute.JobRunner, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            score_models({"one": str(smoke.folder / "model")}, [task(smoke, scorers)], store)
    assert len(list(store.entries(compute.PART))) == 2
    asked: list[str] = []

    def watched(runner: Any, node: Any, name: str, ask: Callable[[], Any]) -> Any:
        def counted() -> Any:
            asked.append(name)
            return ask()

        return keep(runner, node, name, counted)

    monkeypatch.setattr(compute.JobRunner, "_keep", watched)
    again = score_models({"one": str(smoke.folder / "model")}, [task(smoke, scorers)], store)
    assert again["one"]["balls"].table.equals(whole["one"]["balls"].table)
    assert not set(asked) & set(parts)
    assert not list(store.entries(compute.PART))


def test_scores_bear_what_the_judge_said(
    smoke: Smoke, scorers: list[dict[str, Any]], models: tuple[Path, Path], tmp_path: Path
) -> None:
    for one, outcomes in ((scorers[0], {"yes", "no", "empty"}), (scorers[1], {"flagged", "not flagged", "empty"})):
        tasks = [task(smoke, [one])]
        scores = score_models({"one": str(smoke.folder / "model")}, tasks, FolderStore(tmp_path / "store"))["one"][
            "balls"
        ]
        (name,) = one
        assert (scores.metric.name, scores.metric.direction) == (name, "less")
        assert set(scores.table.column("outcome").to_pylist()) <= outcomes
        assert all(scores.table.column("evidence").to_pylist()) or "empty" in outcomes
        assert scores.provenance["judge"] == models[name == "classifier"].name


def test_an_empty_answer_is_empty_behind_any_prompt(scorers: list[dict[str, Any]]) -> None:
    asked = {**scorers[1]["classifier"], "with_prompt": True}
    settings = synthetic.settings_of("classifier", asked, "test")
    model = OpenModel(classifier=load_classifier(Path(asked["model"])))
    (example, *_), asks = tiny.examples(2), asks_of(SCORERS.get("classifier"))
    questions = [asks.question(example, text, settings) for text in (" \n", "Red.")]
    empty, full = asks.ask(model, questions, settings, on_judged=lambda _: None)
    assert "Red." in questions[1] != "Red."
    assert (empty.outcome, full.outcome == "empty") == ("empty", False)


def test_no_model_judges_itself(smoke: Smoke, scorers: list[dict[str, Any]], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smoke.folder / "model", copy)
    scorers[0]["judge"]["model"] = str(copy)
    with pytest.raises(ConfigError, match="no model judges itself; name another judge"):
        opened(smoke, tmp_path / "store", scorers)
    with pytest.raises(ConfigError, match="no model judges itself"):
        score_models({"one": str(smoke.folder / "model")}, [task(smoke, scorers)], FolderStore(tmp_path / "store"))
    assert not list((tmp_path / "store").glob("score/*"))


def test_a_served_model_of_the_same_name_is_the_same_model(smoke: Smoke, tmp_path: Path) -> None:
    served = {"judge": {"model": "openai:http://127.0.0.1:9/v1#SmolLM2-135M-Instruct", "template": "refusal"}}
    judged = {"smollm2-135m": BaseModel("smollm2-135m", "0" * 64, tmp_path)}
    with pytest.raises(ConfigError, match="which is the model 'smollm2-135m' that is judged"):
        judges_of([task(smoke, [served])], judged, FolderStore(tmp_path / "store"), precision="fp32")
    other = {"other/model": BaseModel("other/model", "0" * 64, tmp_path)}
    with serving(Served("SmolLM2-135M-Instruct")) as server:
        served["judge"]["model"] = f"openai:{server.url}#{server.name}"
        judges = judges_of([task(smoke, [served])], other, FolderStore(tmp_path / "store"), precision="fp32")
    assert [judge.precision for judge in judges.by_task["balls"]] == [""]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"classifier": {"label": "toxic"}}, "label 'toxic'.*LABEL_0"),
        ({"classifier": {"label": 7}}, "label 7, it has labels 0 to 1"),
        ({"judge": {"template": {**TEMPLATE, "ask": "{answer} {reference}"}}}, "no reference answer"),
        (
            {"judge": {"template": {**TEMPLATE, "ask": "{answer} " + "red ball " * 300}}},
            "more than the judge's context",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(
    smoke: Smoke, scorers: list[dict[str, Any]], change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    (name,) = change
    (one,) = [one for one in scorers if name in one]
    one[name] |= change[name]
    own = task(smoke, [one])
    if "reference" in sentence:
        object.__setattr__(own, "test", tuple(tiny.pairs(16)))
    with pytest.raises((ConfigError, DataError), match=sentence):
        score_models({"one": str(smoke.folder / "model")}, [own], FolderStore(tmp_path / "store"))


def test_functions_and_models_that_lie_beside_the_study_file(models: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(models[1], tmp_path / "own" / "classifier")
    (tmp_path / "own" / "words.py").write_text(
        "def red(examples, texts):\n    return ['red' in text for text in texts]\n"
    )
    tiny.write_task(tmp_path / "own" / "balls.jsonl")
    scorers = "[{classifier: {model: classifier, label: 1}}, 'words.py:red']"
    text = f"tasks:\n  balls: {{path: balls.jsonl, role: safety, measure: generation, scorer: {scorers}}}\n"
    (tmp_path / "own" / "tasks.yaml").write_text(text)
    (own,) = tasks_from_options([], suite=str(tmp_path / "own" / "tasks.yaml"), trust_remote_code=True)
    judges = judges_of([own], {}, FolderStore(tmp_path / "store"), precision="fp32")
    assert judges.models["classifier"].weights == tmp_path / "own" / "classifier"
    assert [judge.measure for judge in judges.by_task["balls"]] == ["classifier"]


def test_a_language_model_is_no_classifier_and_the_other_way_round(
    smoke: Smoke, scorers: list[dict[str, Any]], models: tuple[Path, Path], tmp_path: Path
) -> None:
    scorers[0]["judge"]["model"], scorers[1]["classifier"]["model"] = str(models[1]), str(models[0])
    for one, sentence in zip(scorers, ("encoder|lack", "no sequence classifier"), strict=True):
        with pytest.raises(ChaintuneError, match=sentence):
            score_models({"m": str(smoke.folder / "model")}, [task(smoke, [one])], FolderStore(tmp_path / "store"))


def test_beside_a_model_in_training_there_is_no_judge(smoke: Smoke, scorers: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="scorer 'judge' asks a model of its own, and a training holds one model"):
        encode_task(task(smoke, scorers), tiny.make_tokenizer(), 256)


def test_an_audit_is_judged(
    smoke: Smoke, scorers: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    after = tiny.write_model(tmp_path / "after", seed=3)
    data = [f"tasks.balls.path={smoke.folder / 'balls.jsonl'}", "tasks.balls.measure=generation"]
    data += ["tasks.balls.max_new_tokens=4", f"tasks.balls.scorer={json.dumps(scorers[1])}"]
    options = [part for one in data for part in ("--set", one)]
    options += ["--task", "balls", "--test", "20", "--store", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(smoke.folder / "model"), str(after), *options])
    assert ended.value.code == 0
    assert "classifier before and after" in capsys.readouterr().out


def test_the_scorers_of_the_page_are_ones(smoke: Smoke) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/judges.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    scorers = []
    for block in map(yaml.safe_load, blocks):
        for own in block.get("tasks", {"": block}).values():
            ((name, settings),) = own["scorer"].items()
            scorers.append((name, synthetic.settings_of(name, settings, "page")))
    assert [name for name, _ in scorers] == ["classifier", "judge", "judge"]
    assert "respect" in SCORERS.get("judge").asks.question(task(smoke, []).test[0], "x", scorers[2][1])  # type: ignore[union-attr]


def test_labels_of_people_correct_what_a_judge_says(
    smoke: Smoke, scorers: list[dict[str, Any]], tmp_path: Path
) -> None:
    models = {"before": str(smoke.folder / "model"), "after": str(tiny.write_model(tmp_path / "after", seed=3))}
    store = FolderStore(tmp_path / "store")
    how: dict[str, Any] = {"path": tiny.write_task(tmp_path / "balls.jsonl", count=130), "test": 60}
    plain = score_models(models, [task(smoke, scorers[1:], **how)], store)
    rows = [
        {"id": row["example_id"], "text": row["texts"][0], "label": row["score"] >= 0.5}
        for own in plain.values()
        for row in own["balls"].table.slice(0, 55).to_pylist()
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labelled = task(smoke, scorers[1:], labels=tmp_path / "labels.jsonl", **how)
    scores = score_models(models, [labelled], store)
    for side, own in scores.items():
        own["balls"].write(tmp_path / f"{side}.parquet")
    assert len(list(store.entries("score"))) == 4  # nothing was written or judged again
    comparison = chaintune.compare(tmp_path / "before.parquet", tmp_path / "after.parquet", resamples=200)
    people = comparison.people
    assert people is not None
    assert people.agreement.value == 1
    assert people.labels == len({(row["id"], row["text"].strip()) for row in rows})
    assert 0 <= people.before.low <= people.before.value <= people.before.high <= 1
    assert people.forgetting.method.startswith("prediction-powered inference")
