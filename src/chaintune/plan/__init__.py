"""What a study must do: a graph of checkpoints and measurements. Pure: nothing runs here."""
