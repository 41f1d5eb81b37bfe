"""The tasks whose texts stand on the page of a finished run that is written anew."""

from pathlib import Path

import pytest

from chaintune.report.folder import tasks_of
from tests import tiny

STUDY = """
base: gpt2
chat: both
tasks:
  s: {{role: safety, path: {folder}/s.jsonl, chat_template: {folder}/template.jinja}}
  c: {{role: capability, path: {folder}/c.jsonl}}
chains: [[s, c]]
"""


def test_what_is_gone_of_a_task_leaves_ids_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "sc":
        tiny.write_task(tmp_path / f"{name}.jsonl")
    (tmp_path / "study.resolved.yaml").write_text(STUDY.format(folder=tmp_path))
    read = tasks_of(tmp_path)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "ids instead of the texts of task 's'" in said
    assert "template.jinja" in said
    assert list(read) == ["s", "c", "c-chat"]
