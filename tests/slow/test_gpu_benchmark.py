"""The benchmark of everything that a GPU may take differently runs from end to end, on a shape that is none."""

import json
from pathlib import Path

import pytest

from benchmarks import gpu

# TRL warns of what transformers will rename.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]


def test_every_part_has_a_line_with_a_rate_or_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    gpu.main(["--shapes", "tiny", "--items", "8", "--taught", "8", "--out", str(out)])
    written = json.loads(out.read_text())
    lines = written["lines"]
    failures = [line["note"] for line in lines if line["note"].startswith("failed")]
    assert not [note for note in failures if "CUDA" not in note and "needs bitsandbytes" not in note]
    assert all(line["rate"] or line["note"] for line in lines)
    named = {line["part"] for line in lines}
    assert named >= {f"{written['precision']} products", "scoring, bbq", "scoring, csqa", "scoring in fp32",
                     "training, full", "training, LoRA", "training, LoRA on 4 bits", "training, DPO",
                     "generation", "curvature, fp32", "scoring, bbq, two processes", "out-of-memory retry"}  # fmt: skip
    (agreement,) = [line["note"] for line in lines if line["part"] == "scoring in fp32"]
    assert float(agreement.split()[2]) < 1e-3
    assert "| tiny | scoring, bbq | chaintune |" in capsys.readouterr().out


def test_what_there_is_no_time_for_says_so(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    gpu.main(["--shapes", "tiny", "--minutes", "0", "--out", str(out)])
    _, *lines = json.loads(out.read_text())["lines"]
    assert {line["note"] for line in lines} == {"not run: no time was left"}
