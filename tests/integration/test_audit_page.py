"""The how-to page on auditing (audit.md): every block runs, on two-layer models and made-up tasks of those names."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig

from chaintune.cli import main
from chaintune.models import load, save
from chaintune.models.adapters import new_adapter
from chaintune.tasks import registry
from chaintune.tasks.definition import Pool, TaskDefinition
from tests import tiny

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "audit.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def synthetic(name: str) -> TaskDefinition:
    items = [
        replace(item, groups={"category": item.groups["owner"]})
        for item in tiny.numbered(tiny.examples(200, task=name))
    ]
    return TaskDefinition(name, "safety", "made-up-1", "CC0", ("category",), lambda _: Pool(items, None, "made up"))


BBQ, CSQA = synthetic("bbq"), synthetic("csqa")


def write_adapter(folder: Path, seed: int) -> None:
    loaded = load(Path("models/before"), precision="fp32")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        loaded.model = new_adapter(loaded.model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]))
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.2)
    save(loaded, folder)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAINTUNE_STORE", str(tmp_path / "store"))
    for name in ("bbq", "csqa"):
        monkeypatch.setitem(registry.TASKS.shipped, name, f"{__name__}:{name.upper()}")
    for name, seed in (("before", 0), ("after", 3)):
        folder = tiny.write_model(Path("models") / name, seed=seed)
        (folder / "chat_template.jinja").write_text(
            "{% for turn in messages %}{{ turn.role }}:\n{{ turn.content }}</s>{% endfor %}"
            "{% if add_generation_prompt %}assistant:\n{% endif %}"
        )
    write_adapter(Path("adapters/support"), seed=1)
    write_adapter(Path("adapters/sales"), seed=2)
    tiny.write_task(Path("items.jsonl"))
    return tmp_path


def test_the_blocks_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = 0
    names: dict[str, object] = {}
    for language, text in BLOCKS:
        if language == "python":
            exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
            continue
        if language == "yaml":
            Path(text.partition("\n")[0].removeprefix("# ")).write_text(text, encoding="utf-8")
            continue
        for line in text.replace("\\\n", " ").splitlines():
            commands += 1
            with pytest.raises(SystemExit) as ended:
                main(shlex.split(line)[1:])
            printed = capsys.readouterr()
            assert ended.value.code in ((1, 3) if "--policy" in line else (0,)), f"{line}\n{printed.err}"
            assert printed.out
    assert commands == 12
    assert [language for language, _ in BLOCKS] == ["bash"] * 5 + ["yaml"] + ["bash"] * 2 + ["python"] * 2
    for name in ("report.html", "report.md", "comparison.json", "before/bbq.parquet", "after/csqa.parquet"):
        assert (place / "audit" / name).exists(), name
    folders = sorted(folder.name for folder in (place / "series" / "scores").iterdir())
    assert folders == ["1-before", "2-before+support", "3-after"]
    assert (place / "junit.xml").exists()
