"""What is taught and measured: registry, sources, prompts, splits."""
