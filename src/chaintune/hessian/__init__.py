"""The loss around a checkpoint: how sharply it bends there, and what lies between there and another checkpoint."""

from chaintune.hessian.examples import choose_examples
from chaintune.hessian.line import loss_line
from chaintune.hessian.spectrum import curvature

__all__ = ["choose_examples", "curvature", "loss_line"]
