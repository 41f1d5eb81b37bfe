"""A study on many machines: which node comes when and goes where, workers on Ray, and the same simulated."""
