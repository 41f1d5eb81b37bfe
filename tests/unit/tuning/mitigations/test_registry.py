"""The mitigations that there are, shipped and offered by an installed package."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chaintune.errors import ConfigError
from chaintune.tuning.mitigations import MITIGATIONS, BetweenSpec, DoseSpec, Mitigation, MitigationSpec
from chaintune.tuning.mitigations.mitigation import Place
from tests.conftest import Install
from tests.dummy_engine import make_study

NAMES = (
    "replay",
    "self_replay",
    "rehearse",
    "joint",
    "interpolate",
    "merge_back",
    "distill",
    "l2sp",
    "ewc",
    "sam",
    "ema",
    "freeze",
    "osf",
)
SOURCE = Path(__file__).parents[4] / "src" / "chaintune"


def test_every_shipped_mitigation_is_one_file_that_says_when_to_use_it() -> None:
    assert tuple(MITIGATIONS.shipped) == NAMES
    for name in NAMES:
        module = importlib.import_module(f"chaintune.tuning.mitigations.{name}")
        assert getattr(module, MITIGATIONS.get(name).own_trainer).__doc__, name
        assert MITIGATIONS.get(name).spec.__doc__, name
        for word in ("Use when:", "On your own", "Source:"):
            assert word in (module.__doc__ or ""), (name, word)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="mitigation 'ecw': did you mean 'ewc'"):
        MITIGATIONS.get("ecw")


def test_what_sharding_has_to_know_of_each() -> None:
    needs = {name: MITIGATIONS.get(name).weights for name in NAMES}
    assert [name for name in NAMES if needs[name] == "whole"] == ["distill", "sam", "osf"]
    assert [name for name in NAMES if needs[name] == "whole at the start"] == ["l2sp", "ewc", "ema"]


def test_no_line_of_the_code_asks_for_a_mitigation_by_name() -> None:
    asks = re.compile(rf"(==|!=|\bin\b|\bcase)[^=\n]*[\"']({'|'.join(NAMES)})[\"']")
    lines = [(path, line) for path in SOURCE.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 10_000
    assert [line for _, line in lines if asks.search(line) and ">>>" not in line] == []


def test_a_study_with_every_mitigation_is_read_without_torch() -> None:
    code = (
        "import sys; from chaintune.tuning.mitigations import MITIGATIONS\n"
        "from chaintune.study import study; from chaintune.plan import plan\n"
        "from chaintune.tuning.objectives import OBJECTIVES\n"
        "all(registry.get(name) for registry in (MITIGATIONS, OBJECTIVES) for name in registry.names)\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (MitigationSpec, "later stages"),
        (MitigationSpec, "after the loss"),
        (DoseSpec, "between checkpoints"),
        (BetweenSpec, "between checkpoints"),
    ],
)
def test_a_mitigation_that_would_do_nothing_is_refused(spec: type[MitigationSpec], place: Place) -> None:
    with pytest.raises(TypeError, match=f"{spec.__name__}: '{place}' does not go with it"):
        Mitigation(spec=spec, place=place)


def test_an_offer_that_is_no_mitigation_is_told_where_the_file_asks_for_it(
    install: Install,
) -> None:
    install("chaintune.mitigations: wrong = wrongly:offered", "def offered(): ...\n")
    with pytest.raises(ConfigError, match=r"mitigations\[0\].wrong: .* gives a function, expected a Mitigation"):
        make_study("ab", chains=[["a", "b"]], mitigations=[{"wrong": {"task": "a"}}])
