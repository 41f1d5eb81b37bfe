"""Does what a plan says, over the store."""
