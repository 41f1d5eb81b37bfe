"""A few damaged inputs of each kind, always the same ones; `python tests/fuzz --inputs 2000 --seed 7` takes more."""

import sys
from pathlib import Path

import pytest

from tests.programs import Start

FUZZ = Path(__file__).parent


@pytest.mark.skipif(sys.platform != "linux", reason="each input runs in a forked process with a limit of memory")
@pytest.mark.parametrize(("kind", "inputs"), [("data", 60)])
def test_damaged_inputs_are_answered_with_a_sentence(start: Start, kind: str, inputs: int) -> None:
    program = start(str(FUZZ), "--kind", kind, "--inputs", str(inputs))
    assert program.wait() == 0, program.out + program.err
    assert f"{kind}: {inputs} inputs: {inputs} answered" in program.out
