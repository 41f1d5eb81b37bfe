"""The curvature of the loss at a checkpoint."""

from chaintune.hessian.examples import choose_examples
from chaintune.hessian.spectrum import curvature

__all__ = ["choose_examples", "curvature"]
