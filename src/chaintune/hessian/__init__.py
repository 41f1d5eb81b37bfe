"""The curvature of the loss at a checkpoint."""

import chaintune.hf  # noqa: F401 - says what to install
from chaintune.hessian.double_backward import merely_adds
from chaintune.hessian.examples import choose_examples
from chaintune.hessian.lanczos import Search
from chaintune.hessian.overlap import gradient_overlap
from chaintune.hessian.spectrum import curvature

__all__ = ["Search", "choose_examples", "curvature", "gradient_overlap", "merely_adds"]
