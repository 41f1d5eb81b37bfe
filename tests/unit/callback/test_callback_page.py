"""The how-to page on watching a training: its blocks run in a plain Trainer."""

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer, default_data_collator

from tests import tiny
from tests.unit.tuning.mitigations.plain_trainer import TOKENIZER, Texts, arguments

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "callback.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def make_trainer(folder: Path) -> Trainer:
    return Trainer(
        model=tiny.make_model(),
        args=arguments(folder, max_steps=4),
        train_dataset=Texts(8, "box"),
        data_collator=default_data_collator,
        processing_class=TOKENIZER,
    )


def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert [language for language, _ in BLOCKS] == ["python", "yaml", "python"]
    monkeypatch.chdir(tmp_path)
    tiny.write_task(Path("items.jsonl"), count=24)
    Path("policy.yaml").write_text(BLOCKS[1][1], encoding="utf-8")
    names: dict[str, Any] = {}
    for (_, text), folder in zip((BLOCKS[0], BLOCKS[2]), ("one", "two"), strict=True):
        names["trainer"] = make_trainer(tmp_path / folder)
        exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
        assert names["trainer"].state.global_step > 0
    assert Path("forgetting/before/mine.parquet").exists()
    assert names["watch"].gate.answer in capsys.readouterr().out


def test_every_name_that_is_logged_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chaintune import ForgettingCallback, tasks

    monkeypatch.chdir(tmp_path)
    path = tiny.write_task(tmp_path / "items.jsonl", count=24)
    mine = tasks.load("mine", role="safety", path=str(path), test_share=1)
    Path("policy.yaml").write_text(BLOCKS[1][1], encoding="utf-8")
    trainer = make_trainer(tmp_path)
    ForgettingCallback(mine, every=4, policy="policy.yaml").attach(trainer)
    trainer.train()
    page = PAGE.read_text(encoding="utf-8")
    logged = {name for line in trainer.state.log_history for name in line if "/" in name}
    shapes = {re.sub("mine/owner/[^/]+", "TASK/DIMENSION/GROUP", name).replace("mine", "TASK") for name in logged}
    shapes = {name.replace("/owner", "/DIMENSION") for name in shapes}
    assert len(shapes) > 8
    for name in shapes:
        known = re.sub("/(low|high)$", "", name).replace("disparity_expected/TASK/DIMENSION", "disparity_expected/...")
        assert f"`{known}`" in page, name
