"""Files written whole or not at all, rows read with their places, and disk space."""
