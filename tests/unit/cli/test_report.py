"""The tasks whose texts stand on the page of a finished run that is written anew."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.cli import main
from chaintune.report import folder
from tests import tiny

STUDY = """
base: gpt2
chat: both
tasks:
  s: {{role: safety, path: {folder}/s.jsonl, chat_template: {folder}/template.jinja}}
  c: {{role: capability, path: {folder}/c.jsonl}}
chains: [[s, c]]
"""


def test_what_is_gone_of_a_task_leaves_ids_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[str, Any] = {}
    monkeypatch.setattr(folder, "write_report", lambda _, tasks: written.update(tasks) or "")
    for name in "sc":
        tiny.write_task(tmp_path / f"{name}.jsonl")
    (tmp_path / "study.resolved.yaml").write_text(STUDY.format(folder=tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path)])
    assert ended.value.code == 0
    (said,) = [record.getMessage() for record in caplog.records]
    assert "ids instead of the texts of task 's'" in said
    assert "template.jinja" in said
    assert list(written) == ["s", "c", "c-chat"]
