"""How a checkpoint is asked. A measure is a file here, or an entry point of an installed package."""

from chaintune.registry import Registry
from chaintune.scoring.measures.measure import Asking, Measure

MEASURES = Registry(
    "measure",
    "chaintune.measures",
    Measure,
    {
        name: f"chaintune.scoring.measures.{name}:MEASURE"
        for name in ("choice", "likelihood", "preference", "reference", "generation", "own_turns")
    },
)

__all__ = ["MEASURES", "Asking", "Measure"]
