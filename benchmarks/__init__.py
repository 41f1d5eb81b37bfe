"""What is measured of chaintune beside its tests: speed, error rates, rivals."""
