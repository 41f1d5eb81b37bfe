"""The how-to page on the gate: its policy is one, its example prints what it says, its workflow comments."""

import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.cli.app import main
from chaintune.gate import read_policy

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how-to" / "gate.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
MARK = "<!-- chaintune gate -->"


def test_the_page_has_the_blocks_that_are_tested() -> None:
    assert [language for language, _ in BLOCKS] == ["yaml", "python", "bash", "text", "yaml", "bash"]


def test_the_policy_is_one(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(BLOCKS[0][1], encoding="utf-8")
    assert len(read_policy(path).budgets) == 7


def test_the_example_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[1][1], str(PAGE), "exec"), {})  # noqa: S102 - the page is ours
    for command, said in ((BLOCKS[2][1], BLOCKS[3][1]), (BLOCKS[5][1], f"**{BLOCKS[3][1].strip()}**")):
        with redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        assert said in output.getvalue()
        assert ended.value.code == 3
        assert Path("junit.xml").exists()
        Path("junit.xml").unlink()


def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(BLOCKS[4][1])
    return found


def test_the_table_names_every_input_and_output() -> None:
    text = PAGE.read_text(encoding="utf-8").split("| input | says |")[1]
    named = set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))))
    assert named == set(ACTION["inputs"])
    assert set(re.findall(r"`([a-z-]+)`", text.split("Outputs:")[1].split("It runs")[0])) >= set(ACTION["outputs"])


def test_only_the_job_that_runs_nothing_of_the_pull_request_may_write() -> None:
    found = workflow()
    assert found[True] == "pull_request"  # YAML 1.1 reads `on` so
    assert found["permissions"] == {"contents": "read"}
    gate, comment = found["jobs"]["gate"], found["jobs"]["comment"]
    assert ("permissions" in gate, comment["permissions"]) == (False, {"pull-requests": "write"})
    assert gate["steps"][0]["with"] == {"persist-credentials": False}
    assert set(gate["steps"][1]["with"]) <= set(ACTION["inputs"])
    assert all("uses" not in step and "${{" not in step["run"] for step in comment["steps"])


GH = """
with open("asked", "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
if "--jq" in sys.argv:
    print(os.environ["KNOWN"], end="")
else:
    open("body", "w").write(sys.stdin.read())
"""


@pytest.mark.parametrize(
    ("known", "method", "where"),
    [("", "POST", "repos/o/r/issues/7/comments"), ("11\n12\n", "PATCH", "repos/o/r/issues/comments/12")],
)
def test_one_comment_is_kept_up_to_date(tmp_path: Path, known: str, method: str, where: str) -> None:
    (step,) = workflow()["jobs"]["comment"]["steps"]
    gh = tmp_path / "gh"
    gh.write_text(f"#!{sys.executable}\nimport json, os, sys\n{GH}")
    gh.chmod(0o755)
    given = {
        "MARKDOWN": "**FAIL**\n| @you $(touch pwned) |",
        "ISSUES": "repos/o/r/issues",
        "NUMBER": "7",
        "GH_TOKEN": "",
    }
    assert set(given) == set(step["env"])
    subprocess.run(  # noqa: S603 - our own script
        ["/bin/bash", "-e", "-c", step["run"]],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "KNOWN": known} | given,
        check=True,
    )
    listed, sent = (json.loads(line) for line in (tmp_path / "asked").read_text().splitlines())
    assert listed[:3] == ["api", "--paginate", "repos/o/r/issues/7/comments"]
    assert MARK in listed[-1].replace('\\"', '"')
    assert sent == ["api", "--silent", "--method", method, where, "--field", "body=@-"]
    assert (tmp_path / "body").read_text() == f"{MARK}\n**FAIL**\n| @<!-- -->you $(touch pwned) |\n"
    assert not (tmp_path / "pwned").exists()
