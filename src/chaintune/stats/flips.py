"""Exact McNemar test of flips between two checkpoints, example by example."""

from scipy import special


def mcnemar_p(forgot: int, learned: int) -> float:
    """Two-sided p-value that right-to-wrong and wrong-to-right are equally likely; 1 without a flip.

    It takes every example for independent; the clustered test is `sign_flip_p`.

    Source: McNemar (1947), exact binomial form.
    """
    return min(1.0, 2.0 * float(special.bdtr(min(forgot, learned), forgot + learned, 0.5)))
