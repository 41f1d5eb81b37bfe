"""Results in; tables and words out."""
