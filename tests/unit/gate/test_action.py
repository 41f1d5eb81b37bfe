"""The GitHub Action: its shell steps run here as a runner runs them, in a folder with a fake environment."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ ?([\w.-]+) ?\}\}")
NASTY = "$(touch pwned) `touch pwned` '; touch pwned; \" # ${{ github.token }}"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport json, os, subprocess, sys\nfrom pathlib import Path\n{text}")
    path.chmod(0o755)


@dataclass
class Runner:
    """What GitHub's runner gives to steps and takes from them."""

    folder: Path
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""

    def step(self, name: str) -> int:
        """Run one step; its code."""
        (step,) = [step for step in STEPS if step.get("id") == name]
        script = self.folder / f"{name}.sh"
        script.write_text(step["run"])
        answers = {key: self.folder / f"{name}.{key}" for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in answers.values():
            path.write_text("")
        own = {key: self._resolved(str(value)) for key, value in step.get("env", {}).items()}
        done = subprocess.run(  # noqa: S603 - our own script
            ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(self.folder), "OMP_NUM_THREADS": "1"}
            | {key: str(path) for key, path in answers.items()}
            | own,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log = done.stdout + done.stderr
        self.outputs[name] = outputs(answers["GITHUB_OUTPUT"].read_text())
        return done.returncode

    def summary(self) -> str:
        return (self.folder / "judge.GITHUB_STEP_SUMMARY").read_text()

    def _resolved(self, text: str) -> str:
        defaults = {name: str(spec.get("default", "")) for name, spec in ACTION["inputs"].items()}
        known = {f"inputs.{name}": value for name, value in (defaults | self.inputs).items()}
        known |= {f"steps.{step}.outputs.{n}": v for step, named in self.outputs.items() for n, v in named.items()}
        known |= {"github.action_path": str(ROOT)}
        return EXPRESSION.sub(lambda found: known[found[1]], text)


def outputs(text: str) -> dict[str, str]:
    """What a step wrote, read as the runner does."""
    found, lines = {}, iter(text.splitlines(keepends=True))
    for line in lines:
        name, mark, rest = re.split(r"(<<|=)", line.rstrip("\n"), maxsplit=1)
        found[name] = rest
        if mark == "<<":
            found[name] = "".join(iter(lambda: next(lines), rest + "\n"))
    return found


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    program(
        tmp_path / "chaintune-venv" / "bin" / "chaintune",
        f"sys.exit(subprocess.call([{sys.executable!r}, '-m', 'chaintune', *sys.argv[1:]]))",
    )
    for name, wrong in (("before.csv", ()), ("after.csv", range(0, 400, 20))):
        rows = [f"q{i},{int(i not in wrong)},{'ab'[i % 2]}" for i in range(400)]
        (tmp_path / name).write_text("\n".join(["id,score,kind", *rows]))
    return Runner(tmp_path, {"before": "before.csv", "after": "after.csv", "arguments": "--resamples\n200"})


def judged(runner: Runner, share: float, **inputs: str) -> tuple[str, int]:
    """The answer at a budget, and the code that the last step ends with."""
    (runner.folder / "p.yaml").write_text(f"budgets: [{{task: items, forgetting: {share}}}]")
    runner.inputs |= {"policy": "p.yaml"} | inputs
    assert runner.step("judge") == 0, runner.log
    return runner.outputs["judge"]["answer"], runner.step("gate")


@pytest.mark.parametrize(
    ("share", "answer", "code", "counts"),
    [(0.2, "pass", 0, "00"), (0.01, "fail", 1, "10"), (0.06, "inconclusive", 3, "01")],
)
def test_the_job_ends_as_the_gate_says(runner: Runner, share: float, answer: str, code: int, counts: str) -> None:
    assert judged(runner, share) == (answer, code)
    told = runner.outputs["judge"]
    assert (told["exit-code"], told["markdown"]) == (str(code), runner.summary())
    assert runner.summary().startswith(f"**{answer.upper()}: ")
    assert f"| {answer.upper()} | block |" in runner.summary()
    (suite,) = Xml.parse(Path(told["folder"]) / "junit.xml").getroot()  # noqa: S314 - ours
    assert (suite.get("failures"), suite.get("errors")) == tuple(counts)
    assert (Path(told["folder"]) / "report.md").read_text() == runner.summary()


@pytest.mark.parametrize(("answer", "code", "ends"), [("inconclusive", 3, 0), ("fail", 1, 1), ("error", 70, 70)])
def test_only_an_undecided_answer_can_be_let_through(runner: Runner, answer: str, code: int, ends: int) -> None:
    runner.inputs |= {"allow-inconclusive": "true"}
    runner.outputs["judge"] = {"answer": answer, "exit-code": str(code)}
    assert runner.step("gate") == ends
    assert runner.log.startswith("::warning::" if ends == 0 else "::error::")


def test_without_a_policy_the_comparison_is_told_and_nothing_judged(runner: Runner) -> None:
    runner.inputs |= {"by": "\nkind\n"}
    assert runner.step("judge") == 0
    assert (runner.outputs["judge"]["answer"], runner.step("gate")) == ("none", 0)
    assert "Who forgot items: kind" in runner.summary()
    assert not (runner.folder / "chaintune-gate" / "junit.xml").exists()


def test_bad_input_is_an_error_and_its_message_in_the_log(runner: Runner) -> None:
    (runner.folder / "p.yaml").write_text("budgets: [{task: items, forgeting: 0.1}]")
    runner.inputs |= {"policy": "p.yaml"}
    assert runner.step("judge") == 0
    assert "did you mean 'forgetting'" in runner.log
    assert runner.outputs["judge"]["answer"] == "error"
    assert runner.step("gate") == 2
    assert "::error::" in runner.log


def test_a_command_that_is_none_is_refused(runner: Runner) -> None:
    runner.inputs |= {"command": "run"}
    assert runner.step("judge") == 2


def test_audit_gets_its_tasks_and_what_is_written_is_never_code(runner: Runner) -> None:
    """Every input reaches the program as one argument, whatever it holds; models that look like options too."""
    program(runner.folder / "chaintune-venv" / "bin" / "chaintune", "print(json.dumps(sys.argv[1:]))")
    runner.inputs = {
        "command": "audit", "before": "--help", "after": NASTY, "policy": NASTY, "task": f"bbq\n{NASTY}", "by": NASTY,
        "arguments": f"--level\n{NASTY}",
    }  # fmt: skip
    assert runner.step("judge") == 0, runner.log
    told = json.loads(runner.summary())
    junit = str(runner.folder / "chaintune-gate" / "junit.xml")
    assert told == [
        "audit", "--format", "md", "--policy", NASTY, "--junit", junit, "--task", "bbq", "--task", NASTY, "--by", NASTY,
        "--level", NASTY, "--", "--help", NASTY,
    ]  # fmt: skip
    assert not list(runner.folder.rglob("pwned"))


def test_a_long_report_is_cut_between_lines_and_no_data_ends_the_output(runner: Runner) -> None:
    program(
        runner.folder / "chaintune-venv" / "bin" / "chaintune",
        "print('answer=fail\\nEOF\\n' + 'ä' * 99 + '\\n::error::no', file=sys.stderr)\n"
        "print('EOF\\nanswer=fail\\n' + ('ä' * 99 + '\\n') * 400)",
    )
    assert runner.step("judge") == 0
    told = runner.outputs["judge"]
    assert (told["answer"], set(told)) == ("none", {"answer", "exit-code", "folder", "markdown"})
    assert told["markdown"].endswith("ä\n\nCut here; report.md in the artifact has the rest.\n")
    assert 50_000 < len(told["markdown"].encode()) < 65_536
    assert len(runner.summary()) > 39_000
    # What the program says stands between these two, where the runner reads no command.
    assert re.search(r"^::stop-commands::(end-\w{32})$.*^::\1::$", runner.log, re.MULTILINE | re.DOTALL)


def installed(runner: Runner) -> list[list[str]]:
    """The arguments of each call of Python in the step that installs."""
    fake = runner.folder / "python"
    note = "with open('calls', 'a') as file: file.write(json.dumps(sys.argv[1:]) + chr(10))\n"
    program(
        fake,
        note
        + "if sys.argv[2] == 'venv':\n"
        + "    made = Path(sys.argv[3], 'bin', 'python')\n"
        + "    made.write_bytes(Path(sys.argv[0]).read_bytes())\n"
        + "    made.chmod(0o755)\n",
    )
    runner.outputs["python"] = {"python-path": str(fake)}
    assert runner.step("install") == 0, runner.log
    return [json.loads(line) for line in (runner.folder / "calls").read_text().splitlines()]


def test_installing_makes_an_environment_of_its_own(runner: Runner) -> None:
    runner.inputs |= {"extras": "lm-eval,inspect"}
    venv, own = installed(runner)
    assert venv == ["-m", "venv", str(runner.folder / "chaintune-venv")]
    assert own[:3] == ["-m", "pip", "--disable-pip-version-check"]
    assert own[-3:] == ["--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[lm-eval,inspect]"]


def test_only_an_audit_needs_torch(runner: Runner) -> None:
    runner.inputs |= {"command": "audit"}
    _, torch, own = installed(runner)
    assert torch[-3:] == ["--index-url", "https://download.pytorch.org/whl/cpu", needed("torch")]
    assert own[-1] == f"{ROOT}[hf]"


def needed(package: str) -> str:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (found,) = [text for text in project["optional-dependencies"]["hf"] if re.match(rf"{package}\b", text)]
    return str(found)


def test_no_input_is_text_of_a_script_and_every_action_is_pinned() -> None:
    assert [step.get("id") for step in STEPS] == [
        "python", "versions", None, None, "install", "judge", None, None, "gate",
    ]  # fmt: skip
    for step in STEPS:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) == (step.get("shell") == "bash")
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40}", step["uses"])


_OF_GITHUB, _OF_RUNNER = {"action_path", "run_id", "run_attempt"}, {"arch", "os", "temp"}


def test_every_name_in_an_expression_is_there() -> None:
    steps = {step["id"] for step in STEPS if "id" in step}
    written = (ROOT / "action.yml").read_text(encoding="utf-8")
    named = EXPRESSION.findall(written)
    assert len(named) > 15
    for name in named:
        room, key, *_ = name.split(".")
        rooms = {"inputs": ACTION["inputs"], "steps": steps, "github": _OF_GITHUB, "runner": _OF_RUNNER}
        assert key in rooms[room], name
    used = {name.split(".")[1] for name in named if name.startswith("inputs.")} | {"artifact", "cache"}
    assert used == set(ACTION["inputs"])


def test_only_an_audit_keeps_what_it_downloads_and_scores(runner: Runner) -> None:
    kept = [step for step in STEPS if step.get("uses", "").startswith("actions/cache")]
    assert [step["with"]["path"] for step in kept] == ["${{ runner.temp }}/chaintune-pip", *[".chaintune/score"] * 2]
    assert {step["if"] for step in kept} == {"inputs.command == 'audit' && inputs.cache == 'true'"}
    assert runner.step("versions") == 0, runner.log
    assert re.fullmatch(r"\d+", runner.outputs["versions"]["digest"])
    (install,) = [step for step in STEPS if step.get("id") == "install"]
    assert 'PIP_CACHE_DIR="$RUNNER_TEMP/chaintune-pip"' in install["run"]
