"""`chaintune compare` of three checkpoints and more, as a user meets it."""

import json
from pathlib import Path

import pytest

from chaintune.cli.app import main

FAST = ["--resamples", "200"]
NAMES = ("base", "sft", "dpo")


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[str]:
    """Three tables of 80 items; what the last one lost is of group a."""
    right = {"base": lambda i: i % 9 > 0, "sft": lambda i: i % 8 > 0, "dpo": lambda i: i % 9 > 0 and i % 4 > 1}
    paths = []
    for name in NAMES:
        lines = [f"{i},{int(right[name](i))},{'ab'[i % 4 > 1]}" for i in range(80)]
        paths.append(tmp_path / "runs" / name / "items.csv")
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_text("\n".join(["id,score,faith", *lines]))
    return [str(path) for path in paths]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments, *FAST])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_series_is_told_step_by_step(
    checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    code, out, err = run(capsys, *checkpoints, "--by", "faith", "--format", "md", "--html", str(page))
    assert (code, err) == (0, "")
    assert "Score in items along 3 checkpoints: 88.8 % (base), 87.5 % (sft), 45.0 % (dpo)." in out
    assert "Step by step:\n\n- Whether sft forgot items since the base" in out
    assert "dpo forgot items since sft" in out
    assert "a (faith) lost more than the whole" in out.split("Step by step")[1]
    assert out.count("corrected over pairs of checkpoints as one family: forgetting over 3 pairs of checkpoints") == 2
    assert "adjusted for the number of groups and of pairs of checkpoints" in out
    assert out.count("was not checked") == 1
    assert "| task | from | to | n | clusters | before | after |" in out
    rows = [line.split(" | ")[:3] for line in out.splitlines() if line.startswith(("| items |", "| a |"))]
    pairs = [["base", "sft"], ["sft", "dpo"], ["base", "dpo"]]
    assert [row[1:] for row in rows] == [*pairs, *pairs]
    html = page.read_text(encoding="utf-8")
    assert "Forgetting along base, sft, dpo: items" in html
    for title in ("Every task along base, sft and dpo", "items by faith along base, sft and dpo"):
        assert title in html
    assert "items: from sft to dpo" in html, "the items that flipped"


def test_rivals_stand_side_by_side(checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    options = ["--by", "faith", "--against-first", "--format", "md", "--html", str(page)]
    code, out, _ = run(capsys, *checkpoints, *options)
    assert code == 0
    assert ["From base to sft" in out, "From base to dpo" in out, "Step by step" in out] == [True, True, False]
    rows = [line.split(" | ")[:3] for line in out.splitlines() if line.startswith("| a |")]
    assert rows == [["| a", "base", "sft"], ["| a", "base", "dpo"]]
    html = page.read_text(encoding="utf-8")
    assert "Forgetting of sft, dpo against base: items" in html
    assert "items by faith: forgetting since base of sft and dpo" in html


@pytest.mark.parametrize(
    ("options", "code", "pairs"),
    [
        ([], 1, ["base to dpo"]),
        (["--policy-on", "last"], 1, ["base to dpo"]),
        (["--policy-on", "each"], 1, ["base to sft", "sft to dpo", "base to dpo"]),
        (["--against-first"], 1, ["base to sft", "base to dpo"]),
    ],
)
def test_a_policy_judges_what_it_is_told_to(
    checkpoints: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    pairs: list[str],
) -> None:
    policy, junit = tmp_path / "p.yaml", tmp_path / "junit.xml"
    policy.write_text("budgets: [{task: items, forgetting: 0.2}]")
    ended, out, _ = run(
        capsys, *checkpoints, *options, "--policy", str(policy), "--junit", str(junit), "--format", "json"
    )
    assert ended == code
    judged = json.loads(out)["gate"]["judgements"]
    assert [f"{one['from']} to {one['to']}" for one in judged] == pairs
    assert [one["answer"] for one in judged] == ["fail" if pair.endswith("dpo") else "pass" for pair in pairs]
    assert junit.read_text().count("at most 20") == len(pairs)
    assert pairs[0] in junit.read_text()


def test_what_cannot_be_meant_is_one_message(checkpoints: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        ([checkpoints[0]], "expected two checkpoints or more"),
        ([*checkpoints, "--policy-on", "each"], "--policy-on says what a policy judges"),
        ([*checkpoints, "--chosen-of", "0"], "--chosen-of"),
        ([*checkpoints, "--by", "fiath"], "did you mean 'faith'"),
        ([*checkpoints, "nowhere.csv"], "nowhere.csv"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert "Traceback" not in err


def test_a_card_is_of_the_last_checkpoint_since_the_first(
    checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, code, said in (([], 0, "88.8 to 45.0 %"), (["--against-first"], 2, "holds 2 rivals")):
        (tmp_path / "x.json").write_text(run(capsys, *checkpoints, *options, "--format", "json")[1])
        with pytest.raises(SystemExit) as ended:
            main(["card", str(tmp_path / "x.json")])
        assert ended.value.code == code
        assert said in "".join(capsys.readouterr())


def test_two_stay_what_they_are(checkpoints: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, plain, _ = run(capsys, *checkpoints[:2], "--format", "json")
    assert run(capsys, *checkpoints[:2], "--against-first", "--format", "json")[1] == plain
    assert "from" not in json.loads(plain)["comparisons"][0]
