"""`chaintune order` on a tiny model, as its page (order.md) has it: all orders predicted, two trained."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import chaintune
from chaintune import Study
from chaintune.cli import main
from chaintune.errors import ConfigError
from chaintune.forgetting.orders import PredictedOrders
from chaintune.runs.ordering import predict_orders
from chaintune.store.address import open_store
from tests import tiny

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "order.md"


def written(folder: Path, **changed: Any) -> Path:
    """A study file of two tasks that contradict each other, and of a third of prompts that nothing is taught of."""
    study = {
        "base": str(folder / "model"),
        "precision": "fp32",
        "tasks": {
            rule: {"role": role, "path": str(folder / f"{rule}.jsonl"), "train": 24, "test": 24}
            for rule, role in (("ball", "safety"), ("box", "capability"))
        }
        | {
            "prompts": {
                "role": "safety",
                "path": str(folder / "prompts.jsonl"),
                "train": "none",
                "scorer": "refusal",
                "max_new_tokens": 2,
            }
        },
        "chains": [["ball", "box"]],
        "recipe": {"learning_rate": 3e-3, "epochs": 1, "batch_size": 8},
        "resamples": 200,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study | changed))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("order")
    tiny.write_model(made / "model")
    for rule in ("ball", "box"):
        tiny.write_task(made / f"{rule}.jsonl", rule=rule)
    (made / "prompts.jsonl").write_text("".join(f'{{"prompt": "Ann has {n} red balls."}}\n' for n in range(4)))
    answers = [item.answers for item in tiny.pairs(40)]
    pairs = [{"prompt": f"Pair {n}?", "chosen": both[0], "rejected": both[1]} for n, both in enumerate(answers)]
    rows = [{"prompt": f"Ball {n}?", "response": both[0]} for n, both in enumerate(answers)]
    for name, kind in (("pairs", pairs), ("references", rows)):
        (made / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kind))
    return made


@pytest.fixture(scope="module")
def predicted(folder: Path) -> PredictedOrders:
    return chaintune.order(written(folder), folder / "out", store=folder / "store", verify=1)


def test_both_orders_are_predicted_and_the_two_that_differ_most_trained(predicted: PredictedOrders) -> None:
    assert {one.order for one in predicted.orders} == {("ball", "box"), ("box", "ball")}
    assert [one.order for one in predicted.trained] == [one.order for one in predicted.orders]
    for one in (*predicted.orders, *predicted.trained):
        assert one.mean.value == pytest.approx(sum(score.value for score in one.scores.values()) / 2)
        assert one.mean.low <= one.mean.value <= one.mean.high
    assert (predicted.stages, predicted.stages_of_all) == (2, 4)
    loaded = chaintune.load(predicted.folder)
    assert isinstance(loaded, PredictedOrders)
    assert loaded.to_dict() == predicted.to_dict()
    shares = [influence.lost_share for influence in predicted.influences[0].values()]
    assert all(0 < share <= 1 for share in shares)


def test_the_file_holds_what_was_predicted_and_measured(folder: Path, predicted: PredictedOrders) -> None:
    plain = json.loads((folder / "out" / "order.json").read_bytes())
    assert plain == json.loads(json.dumps(predicted.to_dict()))
    assert (folder / "out" / "alone" / "results.parquet").is_file()
    assert (folder / "out" / "verified" / "results.parquet").is_file()


@pytest.mark.usefixtures("predicted")
def test_the_command_reuses_everything_and_says_what_it_recommends(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder)
    monkeypatch.chdir(folder)
    (command,) = re.findall(r"^```console\nchaintune (.*)\n```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command), "--store", "store", "--out", "again"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert re.search(r"By the prediction (ball>box|box>ball) keeps most: [\d.]+ % \(95 % CI [\d.]+ to [\d.]+\)", said)
    assert re.search(r"predictions were off by [\d.]+ points on average", said)
    for part in ("alone", "verified"):
        counts = json.loads((folder / "again" / part / "status.json").read_bytes())["nodes"]
        assert counts["reused"] == counts["total"] > 8


@pytest.mark.parametrize(("data", "words"), [("pairs", "taught by pairs of answers"), ("references", "more is better")])
def test_tasks_without_an_order_are_refused_before_anything_is_trained(folder: Path, data: str, words: str) -> None:
    study = yaml.safe_load(written(folder).read_text())
    study["tasks"]["box"] = {"role": "capability", "path": str(folder / f"{data}.jsonl"), "train": 16, "test": 16}
    with pytest.raises(ConfigError, match=f"task 'box'.* {words}"):
        predict_orders(Study.from_mapping(study), open_store(folder / "other"), folder / "no")
    assert not (folder / "no").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"chains": [["ball"]]}, "they teach 1"),
        ({"vary": {"recipe.learning_rate": [1e-3, 2e-3]}}, "under one recipe"),
    ],
)
def test_what_cannot_be_predicted_is_said_before_anything_is_trained(
    folder: Path, changed: dict[str, Any], words: str
) -> None:
    study = Study.from_yaml(written(folder, **changed))
    with pytest.raises(ConfigError, match=words):
        predict_orders(study, open_store(folder / "other"), folder / "no")
    assert not (folder / "no").exists()
