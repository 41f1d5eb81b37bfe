"""chaintune: what a language model forgot when it was fine-tuned again, whom it forgot, and what brings it back."""
