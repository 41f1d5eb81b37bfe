"""`chaintune card` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chaintune.cli.app import main
from tests import run_folders

FAST = ["--resamples", "200", "--by", "faith"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = run_folders.run_folder(
        tmp_path_factory.mktemp("study") / "run", [run_folders.task("s"), run_folders.task("c")]
    )
    (folder / "results.json").write_text(json.dumps({"level": 0.9}))
    return str(folder)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["card", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_two_score_files_become_a_card(sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *sides, *FAST, "--name", "mine", "--before", "v1")
    assert (code, err) == (0, "")
    assert "14 were right before and wrong after" in out
    assert "forgot since v1" in out
    assert yaml.safe_load(out.split("---\n")[1])["model-index"][0]["name"] == "mine"


def test_into_a_readme_twice_changes_it_once(
    sides: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "model" / "README.md"
    readme.parent.mkdir()
    readme.write_bytes(b"---\r\nlicense: mit\r\n---\r\n# Mine\r\n")
    assert run(capsys, *sides, *FAST, "--into", str(readme))[:2] == (0, f"wrote {readme}\n")
    first, moment = readme.read_bytes(), readme.stat().st_mtime_ns
    assert b"- name: model\r\n" in first
    assert run(capsys, *sides, *FAST, "--into", str(readme))[:2] == (0, f"{readme} says so already\n")
    assert (readme.read_bytes(), readme.stat().st_mtime_ns) == (first, moment)
    assert list(readme.parent.iterdir()) == [readme]


def test_saved_comparisons_say_the_same(
    sides: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", *sides, *FAST, "--format", "json"])
    saved = tmp_path / "c.json"
    saved.write_text(capsys.readouterr().out)
    out = tmp_path / "card.md"
    assert run(capsys, str(saved), "--out", str(out))[1] == f"wrote {out}\n"
    assert out.read_text() == run(capsys, *sides, *FAST)[1]


def test_one_checkpoint_of_a_study(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, study, "--chain", "s>c")
    assert (code, err) == (0, "")
    assert "Intervals have level 0.9." in out
    assert "### Who forgot s: faith" in out
    assert "c>s" not in out
    results = yaml.safe_load(out.split("---\n")[1])["model-index"][0]["results"]
    assert {result["dataset"]["type"] for result in results} == {"s", "c"}
    from chaintune.report.folder import read_rows

    rows = [row for row in read_rows(Path(study) / "results.parquet") if row.chain == "s>c" and not row.dimension]
    (lost,) = [row.estimate for row in rows if row.metric == "forgetting"]
    metrics = [metric for result in results for metric in result["metrics"] if metric["name"] == "forgetting"]
    assert [metric["value"] for metric in metrics] == [pytest.approx(lost.value, abs=1e-4)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "more than one chain; name one with --chain: s>c, c>s"),
        (["--chain", "s>d"], "did you mean 's>c'"),
        (["--chain", "s>c", "--base", "n"], "valid: m"),
    ],
)
def test_a_checkpoint_that_cannot_be_meant(
    study: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = run(capsys, study, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_other_mistakes_are_one_message(
    sides: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latin = tmp_path / "README.md"
    latin.write_bytes(b"# caf\xe9\n")
    for arguments, said in (
        ([*sides, sides[0]], "expected one source"),
        ([*sides, "--chain", "s>c"], "--chain is for the folder of a study"),
        ([sides[0]], "not JSON"),
        (["before.parquet"], "name the scores before and the scores after"),
        ([sides[0], "--level", "0.9"], "was compared already"),
        ([*sides, *FAST, "--into", str(latin)], "not UTF-8"),
        ([*sides, *FAST, "--into", str(tmp_path / "none" / "README.md")], "cannot be written"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 2, arguments
        assert said in err
        assert "Traceback" not in err


def test_a_card_loads_no_torch(sides: tuple[str, str]) -> None:
    code = (
        "import sys\nfrom chaintune.cli.app import _exit_code\n"
        f"code = _exit_code(['card', *{list(sides)!r}])\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
