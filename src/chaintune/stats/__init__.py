"""Intervals, tests, multiplicity, power: numbers in, `Estimate` out. numpy and scipy only."""
