"""`chaintune compare` and `chaintune policy` as a user meets them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaintune.cli.app import main
from chaintune.forgetting import power

FAST = ["--resamples", "200"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_text_says_what_was_forgotten_and_by_whom(sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "compare", *sides, "--by", "faith", *FAST)
    assert (code, err) == (0, "")
    assert "14 were right before and wrong after" in out
    assert "These two checkpoints" not in out.split("Who forgot items: faith")[1]


def test_formats(sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(capsys, "compare", *sides, "--format", "json", "--by", "faith", *FAST)
    told = json.loads(text)
    assert (told["comparisons"][0]["overall"]["forgot"], told["gate"]) == (14, None)
    _, page, _ = run(capsys, "compare", *sides, "--format", "md", *FAST)
    assert "| task | n | clusters |" in page


def test_options_reach_the_comparison(sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--level", "0.9", "--seed", "7", "--margin", "0.5", "--multiplicity", "bh", "--reference", "rest"]
    _, text, _ = run(capsys, "compare", *sides, *options, "--scale", "0,2", "--format", "json", *FAST)
    found = json.loads(text)["comparisons"][0]
    named = [found[name] for name in ("level", "seed", "margin", "adjust", "reference", "graded")]
    assert named == [0.9, 7, 0.5, "bh", "rest", True]


def test_power_is_simulated_where_it_is_asked_for(
    sides: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_DRAWS_OF_WHOLE", "_MOST_DRAWS", "_FEWEST_DRAWS"):
        monkeypatch.setattr(power, name, 2)
    code, out, _ = run(capsys, "compare", *sides, "--by", "faith", "--power", *FAST)
    assert code == 0
    assert "Power by simulation: items" in out
    assert "a loss of 5 points of the whole is shown in" in out
    assert "Power by simulation" not in run(capsys, "compare", *sides, "--by", "faith", *FAST)[1]


@pytest.mark.parametrize(
    ("share", "code", "word"), [("0.9", 0, "PASS"), ("0.01", 1, "FAIL"), ("0.35", 3, "INCONCLUSIVE")]
)
def test_exit_codes_of_a_policy(
    sides: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, share: str, code: int, word: str
) -> None:
    policy, junit = tmp_path / "p.yaml", tmp_path / "junit.xml"
    policy.write_text(f"budgets: [{{task: items, by: faith, group: a, forgetting: {share}}}]")
    found, out, _ = run(capsys, "compare", *sides, "--policy", str(policy), "--junit", str(junit), *FAST)
    assert found == code
    assert out.splitlines()[-1].startswith(word)
    assert "<testsuites>" in junit.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "fiath"], "did you mean 'faith'"),
        (["--columns", "id"], "expected NAME=COLUMN"),
        (["--scale", "1"], "expected two numbers"),
        (["--junit", "x.xml"], "name one with --policy"),
        (["--policy", "none.yaml"], "cannot read the policy"),
        (["--level", "2"], "confidence level"),
        (["--cluster", "nothing"], "in Python columns={...}), or the tasks that have it as --task"),
        (["--reader", "lm-evl"], "did you mean 'lm-eval'"),
    ],
)
def test_what_cannot_be_meant_is_one_message(
    sides: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = run(capsys, "compare", *sides, *arguments, *FAST)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_only_one_side_has_is_counted(sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(sides[1])
    path.write_text("".join(path.read_text().splitlines(keepends=True)[4:]))
    code, _, err = run(capsys, "compare", *sides, *FAST)
    assert (code, "4 only before" in err) == (2, True)
    _, out, _ = run(capsys, "compare", *sides, "--on-missing", "intersect", *FAST)
    assert "4 other examples lack a score" in out


@pytest.mark.parametrize(("way", "code", "answer"), [("intersect", 3, "inconclusive"), ("drop", 0, "pass")])
def test_a_gate_passes_without_the_missing_answers_only_where_they_are_taken_to_be_missing_at_random(
    way: str, code: int, answer: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [f"q{i},{int(i < 80 or i % 10 < 7)}" for i in range(400)]
    before, after, policy = (str(tmp_path / name) for name in ("before.csv", "after.csv", "policy.yaml"))
    Path(before).write_text("\n".join(["id,score", *rows]))
    Path(after).write_text("\n".join(["id,score", *rows[80:]]))
    Path(policy).write_text("budgets: [{task: items, forgetting: 0.02}]")
    options = ["--on-missing", way, "--policy", policy, "--format", "json", *FAST]
    got, out, _ = run(capsys, "compare", before, after, *options)
    told = json.loads(out)
    assert (got, told["gate"]["answer"], told["comparisons"][0]["on_missing"]) == (code, answer, way)
    assert ("missing at random" in told["gate"]["judgements"][0]["reason"]) == (way == "drop")
    assert len(told["comparisons"][0]["bounds"]) == (way == "intersect")


def test_the_starter_is_a_policy_and_nothing_is_overwritten(
    sides: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    assert run(capsys, "policy", "init", str(path))[0] == 0
    assert run(capsys, "compare", *sides, "--policy", str(path), *FAST)[0] == 1
    # What the comments show is a policy too.
    lines = [
        line.replace("  # ", "  ", 1) if line.startswith(("  # - ", "  #   ")) else line
        for line in path.read_text().splitlines()
    ]
    whole = tmp_path / "whole.yaml"
    whole.write_text("\n".join(lines))
    from chaintune.gate import read_policy

    assert len(read_policy(whole).budgets) == 7
    code, _, err = run(capsys, "policy", "init", str(path))
    assert (code, "there is a file already" in err) == (2, True)


def test_comparing_loads_nothing_heavy(sides: tuple[str, str], tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("budgets: [{task: items, forgetting: 0.9}]")
    code = (
        "import sys\nfrom chaintune.cli.app import _exit_code\n"
        f"code = _exit_code(['compare', *{list(sides)!r}, '--policy', {str(policy)!r}])\n"
        "heavy = {'torch', 'transformers', 'polars', 'pandas', 'scipy.stats', 'datasets', 'inspect_ai'}\n"
        "heavy = (heavy | {'chaintune.tasks'}) & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def several(tmp_path: Path) -> tuple[str, str]:
    """Two tables of the tasks A, which loses half, and B and C, which lose nothing; ids are called `qid`."""
    paths = (tmp_path / "several-before.csv", tmp_path / "several-after.csv")
    for path, lost in zip(paths, ("", "A"), strict=True):
        rows = [f"{task},q{i},{int(task != lost or i % 2)}" for task in "ABC" for i in range(60)]
        path.write_text("\n".join(["task,qid,right", *rows]))
    return str(paths[0]), str(paths[1])


NAMED = ["--columns", "id=qid", "--columns", "score=right"]


def test_every_task_that_is_named_is_judged(
    several: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("budgets: [{task: '*', forgetting: 0.1}]")
    named = ["--task", "A", "--task", "B"]
    code, text, _ = run(capsys, "compare", *several, *NAMED, *named, "--policy", str(policy), "--format", "json", *FAST)
    assert (code, [found["task"] for found in json.loads(text)["comparisons"]]) == (1, ["A", "B"])


def test_a_task_that_one_side_lacks_is_told(several: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "compare", *several, *NAMED, "--task", "A", "--task", "D", *FAST)
    assert (code, "there is no task 'D'" in err) == (2, True)


@pytest.mark.parametrize(("required", "code"), [("true", 3), ("false", 0)])
def test_a_dimension_of_the_policy_that_the_task_lacks_is_missing(
    sides: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, required: str, code: int
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(
        f"budgets: [{{task: items, forgetting: 0.9}}, {{task: items, by: age, forgetting: 0.9, required: {required}}}]"
    )
    found, out, _ = run(capsys, "compare", *sides, "--policy", str(policy), *FAST)
    assert (found, "MISSING" in out) == (code, True)
    assert run(capsys, "compare", *sides, "--policy", str(policy), "--by", "age", *FAST)[0] == 2


def test_what_vanished_does_not_pass(
    several: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    after = Path(several[1])
    after.write_text("\n".join(line for line in after.read_text().splitlines() if not line.startswith(("A", "C"))))
    policy = tmp_path / "p.yaml"
    policy.write_text("budgets: [{task: '*', forgetting: 0.9}]")
    options = [*NAMED, "--on-missing", "intersect", "--policy", str(policy), "--format", "md"]
    code, page, _ = run(capsys, "compare", *several, *options, *FAST)
    assert (code, "Tasks left out, as only one side has them: A, C." in page) == (3, True)


def test_other_files_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text('{"a": 1, "b": 2}')
    (tmp_path / "x.csv").write_text("id;score\nq1;1")
    for name, said in (
        ("x.json", "a list of rows with id and score; got a mapping with 'a', 'b'"),
        ("x.csv", "semicolons"),
    ):
        path = str(tmp_path / name)
        code, _, err = run(capsys, "compare", path, path)
        assert (code, said in err) == (2, True), err


def test_names_from_data_reach_no_terminal_as_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"id": i, "score": i % 2, "g": "\x1b[31mred\x07"}) + "\n" for i in range(40)))
    for form in ("text", "md"):
        _, out, _ = run(capsys, "compare", str(path), str(path), "--by", "g", "--format", form, *FAST)
        assert r"31mred\u0007" in out.replace("\\[", "[")
        assert not {"\x1b", "\x07"} & set(out)


def test_the_bare_command_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, out.startswith("Usage: "), err) == (0, True, "")
