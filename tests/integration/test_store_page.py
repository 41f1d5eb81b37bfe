"""The how-to page on stores (store.md): its commands on two machines, with a bucket of a server on this one."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaintune.cli import main
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.unit.store import s3_server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "store.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3Server]:
    monkeypatch.chdir(tmp_path)
    tiny.write_smoke(tmp_path / "tiny")
    study = (ROOT / "studies" / "smoke.yaml").read_text(encoding="utf-8")
    for long, short in (("runs/tiny", "tiny"), ("../tiny", "tiny"), ("epochs: 4", "epochs: 1"), ("1000", "200")):
        assert long in study
        study = study.replace(long, short)
    Path("study.yaml").write_text(study, encoding="utf-8")
    with s3_server.running() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def run_block(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the commands of a block that are ours; how many there were."""
    count = 0
    for line in text.splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", maxsplit=1))
        if words[0] == "chaintune":
            with pytest.raises(SystemExit) as ended:
                main(words[1:])
            assert ended.value.code in {0, None}, line
            count += 1
    return count


def test_the_page_has_the_blocks_that_are_tested() -> None:
    assert [language for language, _ in BLOCKS] == ["bash", "python", "bash"]


def test_a_second_machine_computes_nothing(
    server: s3_server.S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {}
    for machine in ("one", "two"):
        monkeypatch.setenv("CHAINTUNE_CACHE", machine)
        assert run_block(BLOCKS[0][1].replace("results", f"results-{machine}"), monkeypatch) == 2
        out = capsys.readouterr().out
        assert ("14 computed, 0 reused" if machine == "one" else "0 computed, 14 reused") in out
        assert re.search(r"total +\d+ entries", out)
        folder = Path(f"results-{machine}")
        # The second machine never had the checkpoints, whose logs the losses of training come from.
        results[machine] = [(folder / name).read_bytes() for name in ("results.parquet", "training.parquet")]
    assert results["one"] == results["two"]
    assert all(name.startswith("forgetting/") for name in server.objects)

    exec(compile(BLOCKS[1][1], str(PAGE), "exec"), {})  # noqa: S102 - the page is ours
    assert "balls>boxes, seed 0 on balls " in capsys.readouterr().out

    (cache,) = Path("two").iterdir()
    assert cache.name.startswith("s3-my-bucket-forgetting-")
    home = "~/.cache/chaintune/s3-my-bucket-forgetting-*"
    assert home in BLOCKS[2][1]
    before = len(FolderStore(cache).keys("score"))
    assert run_block(BLOCKS[2][1].replace(home, str(cache)).replace("20GB", "1KB"), monkeypatch) == 1
    assert before > 0
    assert FolderStore(cache).keys("score") == []
