"""A checkpoint and a task in; `Scores` out."""
