"""What docs/how-to/chat.md, dpo.md and before-after.md do, on two-layer chat models with a real template."""

import io
import json
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chaintune.cli import main
from chaintune.tasks import registry
from tests import tiny
from tests.integration import test_audit_page
from tests.integration.test_pages import BLOCK, ROOT, commands, run
from tests.unit.models.test_chat import family

WHAT = {"new": "Where is parcel", "regular": "Is the box here, order"}
TOPICS = ("shipping", "returns", "payment")


def rows(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages say that lies there."""
    place = tmp_path_factory.mktemp("chat")
    tokenizer = family("smollm2")
    tiny.make_model(vocabulary=len(tokenizer)).save_pretrained(place / "my-chat-model")
    tokenizer.save_pretrained(place / "my-chat-model")
    items = tiny.numbered(tiny.examples(32))
    rows(
        place / "items.jsonl",
        [
            {"prompt": item.prompt, "choices": list(item.choices.texts), "gold": item.choices.gold}
            | {"owner": item.groups["owner"][0], "cluster": item.cluster}
            for item in items
        ],
    )
    rows(
        place / "chats.jsonl",
        [
            {"messages": turns(f"Parcel {n} is red?", "It is.", "Sure?", f"Yes, box {n}."), "topic": TOPICS[n % 3]}
            for n in range(90)
        ],
    )
    rows(
        place / "pairs.jsonl",
        [{"prompt": f"Ball {n} is late!", "chosen": f"Sorry, ball {n}.", "rejected": "Wait."} for n in range(50)],
    )
    return place


def study(page: str, place: Path) -> Path:
    """The study file that a page shows, under the name in its first line."""
    (text,) = [text for language, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if language == "yaml"]
    name = re.match(r"# (\S+\.yaml)\n", text)
    assert name
    (place / name[1]).write_text(text, encoding="utf-8")
    return place / name[1]


def test_a_chat_model_is_tuned_on_conversations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "docs/how-to/chat.md"
    study(page, folder)
    monkeypatch.chdir(folder)
    told = [run(arguments) for arguments in commands(page)]
    assert len(told) == 2
    found = pl.read_parquet(folder / "runs" / "chat" / "results.parquet")
    lost = found.filter((pl.col("task") == "fairness") & (pl.col("metric") == "forgetting"))
    assert set(lost["group"]) == {"", *tiny.OWNERS}
    gained = found.filter((pl.col("task") == "support") & (pl.col("metric") == "gain") & (pl.col("dimension") == ""))
    assert gained["unit"].to_list() == ["nats"]
    assert gained["low"].item() > 0
    assert set(found.filter(pl.col("task") == "support")["dimension"]) == {"", "topic"}


def test_preferences_come_after_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "docs/how-to/dpo.md"
    study(page, folder)
    monkeypatch.chdir(folder)
    (arguments,) = commands(page)
    run(arguments)
    found = pl.read_parquet(folder / "runs" / "dpo" / "results.parquet")
    whole = found.filter((pl.col("chain") == "support>manners") & (pl.col("dimension") == "") & pl.col("deciding"))
    metric = dict(zip(whole["task"], whole["item_metric"], strict=True))
    assert {metric["fairness"], metric["support"], metric["manners"]} >= {"accuracy", "likelihood"}
    lost = whole.filter(pl.col("metric") == "forgetting")
    assert set(zip(lost["task"], lost["reference"], strict=True)) >= {("support", "support"), ("fairness", "base")}
    assert whole.filter(pl.col("metric") == "kl_forward").height == 1


def test_a_chat_model_before_and_after_a_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the later model was taught, answers to new customers are other ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry.TASKS.shipped, "bbq", f"{test_audit_page.__name__}:BBQ")
    asked = {customer: [f"{what} {n}?" for n in range(20)] for customer, what in WHAT.items()}
    rows(
        Path("answers.jsonl"),
        [
            {"prompt": prompt, "response": "It left today.", "customer": customer, "case": f"{customer} {n // 2}"}
            for customer, prompts in asked.items()
            for n, prompt in enumerate(prompts)
        ],
    )
    for name, new in (("before", "It left today."), ("after", "No idea.")):
        answers = dict.fromkeys(asked["new"][:4], new) | dict.fromkeys(asked["regular"][:4], "It left today.")
        tiny.write_chat_model(Path("models") / name, answers, steps=30, tokenizer=family("smollm2"))
    codes, printed = [], []
    for language, text in BLOCK.findall((ROOT / "docs/how-to/before-after.md").read_text("utf-8")):
        if file := re.match(r"# (\S+\.yaml)\n", text):
            Path(file[1]).write_text(text, encoding="utf-8")
        for line in text.splitlines() if language == "bash" else ():
            with redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
                main(shlex.split(line)[1:])
            codes.append(ended.value.code)
            printed.append(output.getvalue())
    assert codes == [0, 0, 0, 1]
    assert "new (customer) lost more than the whole" in printed[0]
    assert "Asked both ways" in printed[2]
    assert Path("audit/report.html").is_file()


@pytest.mark.parametrize("page", ["docs/how-to/chat.md", "docs/how-to/dpo.md"])
def test_rows_of_a_page_are_read_as_its_study_reads_them(page: str) -> None:
    shown = [text for language, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if language == "jsonl"]
    assert len(shown) == 1
    for line in shown[0].splitlines():
        assert set(json.loads(line)) in ({"messages", "topic"}, {"prompt", "chosen", "rejected"})
