"""YAML with line numbers, and what is wrong in it as one sentence a place."""
