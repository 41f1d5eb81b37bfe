"""A few damaged inputs of each kind, always the same ones; `python tests/fuzz --inputs 2000 --seed 7` takes more."""

import sys
from pathlib import Path

import pytest

from tests.programs import Start

FUZZ = Path(__file__).parent
KINDS = 6
EACH = 6


@pytest.mark.skipif(sys.platform != "linux", reason="each input runs in a forked process with a limit of memory")
def test_damaged_inputs_are_answered_with_a_sentence(start: Start) -> None:
    program = start(str(FUZZ), "--inputs", str(KINDS * EACH))
    assert program.wait() == 0, program.out + program.err
    assert program.out.count(f": {EACH} inputs: {EACH} answered") == KINDS
