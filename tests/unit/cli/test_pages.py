"""The how-to page on comparing: every block runs, and prints what the page says."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from chaintune.cli.app import main
from tests.unit.logs import logs

PAGES = Path(__file__).parents[3] / "docs" / "how-to"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "counts"),
    [("compare.md", {"python": 5, "bash": 2, "text": 4})],
)
def test_the_blocks_run_and_print_what_the_page_says(
    page: str, counts: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    ran = dict.fromkeys(counts, 0)
    printed = ""
    for language, text in BLOCK.findall((PAGES / page).read_text(encoding="utf-8")):
        ran[language] += 1
        if language == "text":
            assert text in printed
            continue
        with redirect_stdout(io.StringIO()) as output:
            if language == "python":
                exec(compile(text, page, "exec"), names)  # noqa: S102 - the page is ours
            else:
                with pytest.raises(SystemExit):
                    main(shlex.split(text)[1:])
        printed = output.getvalue()
    assert ran == counts


def test_logs_of_lm_eval_become_a_verdict_by_group_and_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    logs.write(Path("before"), [logs.sample(number, number % 8 > 0) for number in range(80)])
    logs.write(Path("after"), [logs.sample(number, number % 8 > 3) for number in range(80)])
    printed = []
    for language, text in BLOCK.findall((PAGES / "logs.md").read_text(encoding="utf-8")):
        assert language == "bash"
        with redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
            main(shlex.split(text)[1:])
        printed.append((ended.value.code or 0, output.getvalue()))
    assert [code for code, _ in printed] == [0, 0, 1]
    assert "The later checkpoint forgot faith" in printed[0][1]
    assert "Who forgot faith: doc.category" in printed[0][1]
    assert Path("page.html").is_file()
