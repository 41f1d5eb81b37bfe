"""Do intervals cover, and do tests keep their error rates? Simulated comparisons of two checkpoints."""
