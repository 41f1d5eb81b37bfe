"""A checkpoint and a task in; measurements and `Scores` out."""
