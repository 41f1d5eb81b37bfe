"""What GitHub and pre-commit do with the repository: they name what exists, at the versions of everything else."""

import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"].values()]
STEPS = [step for _, job in JOBS for step in job["steps"]]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[0].split())
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))


def scripts(job: dict[str, Any]) -> Iterator[str]:
    """What a job runs, with each value of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    lists = {key: values for key, values in matrix.items() if key != "include"}
    cells = [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    for step, cell in product(job["steps"], cells):
        text = step.get("run", "")
        for name, value in step.get("env", {}).items():
            for key, chosen in cell.items():
                text = text.replace(f"${name}", chosen) if value == f"${{{{ matrix.{key} }}}}" else text
        yield text.replace('"', "")


def test_workflows_make_only_what_the_makefile_has() -> None:
    assert set(WORKFLOWS) == {"docs", "release", "tests", "weekly"}
    made = [
        target
        for _, job in JOBS
        for text in scripts(job)
        for target in " ".join(re.findall(r"^make (.+)$", text)).split()
    ]
    assert {"test", "lint", "types", "lowest-test", "newest-test", "browser-test", "docs", "wheel", "check"} == set(
        made
    )
    assert set(made) <= TARGETS
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in TARGETS)


def test_actions_are_pinned_and_may_do_no_more_than_they_need() -> None:
    assert len(STEPS) > 20
    for step in STEPS:
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"(actions|pypa)/[\w-]+@[0-9a-f]{40}", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert all(workflow["permissions"] == {} for workflow in WORKFLOWS.values())
    asked = {(name, *job["permissions"]) for name, job in JOBS if job["permissions"] != {"contents": "read"}}
    assert asked == {("docs", "pages", "id-token"), ("release", "id-token")}


def test_each_action_has_one_version() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / ".github").rglob("*.yml")]
    uses = {found for text in texts for found in re.findall(r"uses: ([\w/-]+)@(\S+) # (v[\d.]+)", text)}
    assert sum(text.count("uses: ") for text in texts) == sum(len(re.findall(r"uses: \S+ # v", text)) for text in texts)
    assert len(uses) == len({name for name, *_ in uses})


def test_pre_commit_has_the_tools_and_versions_of_make_check() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {"ruff-check", "ruff-format", "mypy", "zizmor"}
    for hook in hooks.values():
        for needed in hook.get("additional_dependencies", ()):
            name, version = needed.split("==")
            assert PINNED[name] == version
            assert f"$(BIN)/{name} " in MAKEFILE
        if hook["language"] == "system":
            assert hook["entry"].removeprefix("make ") in TARGETS


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    (paper,) = citation["references"]
    assert paper["title"] == "Chained Tuning Leads to Biased Forgetting"
    assert paper["identifiers"][0]["value"] == "arXiv:2412.16469"


def test_a_fault_asks_for_the_study_file_and_for_versions() -> None:
    forms = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")
    }
    assert set(forms) == {"config", "1-fault", "2-wish"}
    asked = {part.get("id"): part for part in yaml.safe_load(forms["1-fault"])["body"]}
    assert all(asked[part]["validations"]["required"] for part in ("happened", "study", "versions"))
    assert "chaintune --version --all" in asked["versions"]["attributes"]["label"]
