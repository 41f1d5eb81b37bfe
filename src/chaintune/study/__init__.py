"""A study file in; a plan, then a run of it over the store."""
