"""The commands and the Python of README.md and of the tutorial (docs/tutorial/quickstart.md), on a study of seconds.

The study's file and folder stand in for the ones that the pages name.
"""

import io
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from chaintune.cli import main
from chaintune.tasks import registry
from tests import tiny
from tests.integration import test_audit_page

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages' study file is the smoke study."""
    place = tmp_path_factory.mktemp("pages")
    (place / "studies").mkdir()
    text = (ROOT / "studies" / "smoke.yaml").read_text(encoding="utf-8")
    text = text.replace("epochs: 4", "epochs: 1").replace("resamples: 1000", "resamples: 100")
    (place / "studies" / "quickstart.yaml").write_text(text, encoding="utf-8")
    (place / "study.yaml").write_text(text.replace("../runs", "runs"), encoding="utf-8")
    tiny.write_smoke(place / "runs" / "tiny")
    return place


def commands(page: str) -> list[list[str]]:
    """Every command of the program that a page shows, in order."""
    shown = [text for language, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if language == "console"]
    lines = [line.removeprefix("$ ") for text in shown for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("chaintune")]


def run(arguments: Sequence[str]) -> str:
    with redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, arguments
    return output.getvalue()


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("README.md", ["plan", "plan", "run", "status", "tasks"]),
        ("docs/tutorial/quickstart.md", ["plan", "run", "status", "report"]),
    ],
)
def test_the_commands_of_a_page_work_one_after_another(
    page: str, shown: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setitem(registry.TASKS.shipped, "bbq", f"{test_audit_page.__name__}:BBQ")  # the real one takes long
    found = commands(page)
    assert [arguments[0] for arguments in found] == shown
    told = {arguments[0]: run(arguments) for arguments in found}
    assert "14 of 14 done" in told["status"]
    assert "Learned, then forgotten" in told["run"]
    assert all(f"\n{part}: " in told["run"] for part in ("Order", "Groups"))
    shutil.rmtree(folder / "runs" / Path(found[1][1]).stem)


def test_the_page_on_reading_the_report_prints_what_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run(["run", "study.yaml", "--out", "runs/study"])  # which computes nothing where another page did
    few, every, page = map(run, commands("docs/how-to/report.md"))
    assert "Also in runs/study/report.html, and with --tables all: " in few
    assert "How tasks were answered\n" in every
    assert page == "runs/study/report.html\n"


def test_the_study_of_two_variants_says_which_forgets_less(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("bbq", "csqa"):
        monkeypatch.setitem(registry.TASKS.shipped, name, f"{test_audit_page.__name__}:{name.upper()}")
    page = "docs/how-to/full-or-lora.md"
    ((_, text),) = [one for one in BLOCK.findall((ROOT / page).read_text("utf-8")) if one[0] == "yaml"]
    text = text.replace("smollm2-135m", "runs/tiny/model").replace("40 per category", "8 per category")
    text = text.replace("400, test: 300", "16, test: 16").replace("seed: 3", "seed: 1")
    Path("full-or-lora.yaml").write_text(
        text + "resamples: 100\nprecision: fp32\nallow_overlap: true\n", encoding="utf-8"
    )
    told, alone = map(run, commands(page))
    assert "Variants against the first\n" in told
    assert "\nVariants: " in told
    assert alone.startswith("Forgetting in the study full-or-lora: lora\n")


def test_the_python_of_the_readme_prints_biased_forgetting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (text,) = [
        text for language, text in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if language == "python"
    ]
    with redirect_stdout(io.StringIO()) as output:
        exec(compile(text, "README.md", "exec"), {})  # noqa: S102 - the page is ours
    assert re.search(r"^shape: \(8, \d+\)", output.getvalue(), re.MULTILINE), "four groups, forgotten in two chains"
