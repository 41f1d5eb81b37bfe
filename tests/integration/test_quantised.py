"""A quantised checkpoint against the model that it is a round of: scored, told apart by group, never trained."""

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

import chaintune
from chaintune import tasks
from chaintune.cli import main
from chaintune.errors import ModelError
from chaintune.records import Task
from chaintune.report.comparison import read_comparisons
from chaintune.store.folder import FolderStore
from tests import quantised, tiny
from tests.integration.conftest import Smoke

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "quantised.md"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


class Pair(NamedTuple):
    """A model, its round to 8 bits, and the items that both are asked."""

    plain: str
    fp8: str
    data: Path

    @property
    def task(self) -> Task:
        return tasks.load("balls", path=self.data, role="safety")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    plain = quantised.write_plain(folder / "plain")
    fp8 = quantised.write_fp8(folder / "fp8", plain)
    return Pair(str(plain), str(fp8), tiny.write_task(folder / "balls.jsonl"))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def command_of_the_page(pair: Pair, tmp_path: Path) -> list[str]:
    """The command that docs/how-to/quantised.md shows, on the models of these tests."""
    (text,) = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    here = {"models/base": pair.plain, "models/base-4bit": pair.fp8, "audit": str(tmp_path / "out")}
    _, command, *words = shlex.split(text.replace("\\\n", " "))
    words = [here.get(word, word).replace("items.jsonl", str(pair.data)) for word in words]
    return [command, *words, "--precision", "fp32", "--resamples", "200", "--store", str(tmp_path / "store")]


def test_an_audit_says_how_far_the_round_is_and_of_whom(pair: Pair, tmp_path: Path, capsys: Any) -> None:
    command = command_of_the_page(pair, tmp_path)
    code = run(*command)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "How far the two models are apart on mine" in printed.out
    assert "mean over the tokens of the right answers; of the groups it is largest for" in " ".join(printed.out.split())
    assert "mean over the tokens of the right answers; of the groups" in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )
    ((one,), _) = read_comparisons(tmp_path / "out" / "comparison.json")
    whole, *groups = one.divergence
    assert (whole.dimension, whole.group, whole.forward.n) == ("", "", 80)
    assert whole.forward.low < whole.forward.value < whole.forward.high
    assert [(part.dimension, part.group, part.forward.n) for part in groups] == [
        ("owner", owner, 20) for owner in sorted(tiny.OWNERS)
    ]
    assert (one.provenance_before.get("quantised"), one.provenance_after["quantised"]) == (None, "fp8")
    assert "the later model's are fp8, with all else in fp32" in one.cautions["quantised"]
    (entry,) = FolderStore(tmp_path / "store").entries("kl")
    table = pq.read_table(FolderStore(tmp_path / "store").get("kl", entry.key).path / "measurement.parquet")  # type: ignore[union-attr]
    named = dict(zip(table.column("example_id").to_pylist(), table.to_pylist(), strict=True))
    own = [named[example.id] for example in tiny.examples(80, task="balls") if example.groups["owner"] == ("Ann",)]
    nats, tokens = (sum(row[part] for row in own) for part in ("forward", "tokens"))
    assert groups[0].forward.value == pytest.approx(nats / tokens)
    assert run(*command, "--no-kl") == 0
    assert "apart on mine" not in capsys.readouterr().out


def test_two_models_are_held_apart_where_that_is_asked_for(
    pair: Pair, smoke: Smoke, tmp_path: Path, capsys: Any
) -> None:
    """Neither is quantised, or the earlier one is."""
    how: dict[str, Any] = {"tasks": pair.task, "store": FolderStore(tmp_path), "precision": "fp32", "resamples": 200}
    backwards = chaintune.audit(pair.fp8, pair.plain, **how).comparisons[0]
    assert not backwards.divergence, "nobody asked"
    assert chaintune.audit(pair.fp8, pair.plain, kl=True, **how).comparisons[0].divergence[0].forward.value > 0
    models = [pair.fp8, pair.plain, str(smoke.folder / "model")]
    code = run("audit", *models, "--kl", "--task", "balls", "--set", f"tasks.balls.path={pair.data}",
               "--store", str(tmp_path))  # fmt: skip
    assert (code, "measured between two models, got 3" in capsys.readouterr().err) == (2, True)


def test_nothing_is_trained_from_it_and_nothing_computed(pair: Pair, smoke: Smoke, tmp_path: Path, capsys: Any) -> None:
    study = tmp_path / "study.yaml"
    places = {name: f"{smoke.folder / name}.jsonl" for name in ("balls", "boxes")}
    study.write_text(
        f"base: {pair.fp8}\nprecision: fp32\nchains: [[balls, boxes]]\ntasks:\n"
        + "".join(f"  {name}: {{role: safety, path: {path}, train: 8, test: 8}}\n" for name, path in places.items())
    )
    for command in ("run", "plan"):
        assert run(command, str(study), "--store", str(tmp_path / "store")) == 2
        told = capsys.readouterr().err
        assert "holds its weights quantised (fp8)" in " ".join(told.split())
        assert "name the unquantised model" in " ".join(told.split())
    with pytest.raises(ModelError, match="holds its weights quantised"):
        chaintune.curvature(pair.fp8, pair.task, store=tmp_path / "store")
    settings = {"tasks": {name: {"role": "safety", "path": path} for name, path in places.items()}}
    with pytest.raises(ModelError, match="holds its weights quantised"):
        chaintune.mitigate(pair.fp8, before=pair.plain, forgotten="balls", keep="boxes", settings=settings,
                           out=tmp_path / "out", store=FolderStore(tmp_path / "store"))  # fmt: skip
    assert not list((tmp_path / "store").glob("*/*/*.parquet"))
