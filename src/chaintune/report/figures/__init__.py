"""Figures of a study and of comparisons: one Vega-Lite spec each, with words and a table."""
