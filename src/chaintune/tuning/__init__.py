"""A parent, a task and a recipe in; a checkpoint out."""
