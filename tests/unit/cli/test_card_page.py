"""The how-to page on model cards: every block runs, and prints what the page says."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from chaintune.cli.app import main

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "card.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_blocks_run_and_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert [language for language, _ in blocks] == ["python", "bash", "text", "bash", "text"]
    printed = ""
    for language, text in blocks:
        if language == "text":
            assert printed == text
            continue
        with redirect_stdout(io.StringIO()) as output:
            if language == "python":
                exec(compile(text, str(PAGE), "exec"), {})  # noqa: S102 - the page is ours
            else:
                with pytest.raises(SystemExit) as ended:
                    main(shlex.split(text)[1:])
                assert not ended.value.code
        printed = output.getvalue()
    assert "my-model v1" in Path("README.md").read_text(encoding="utf-8")
