"""The loss around a checkpoint: how sharply it bends there, and what lies between there and another checkpoint."""

from chaintune.landscape.examples import choose_examples
from chaintune.landscape.line import loss_line
from chaintune.landscape.spectrum import curvature

__all__ = ["choose_examples", "curvature", "loss_line"]
