"""One node on several devices of one machine: processes that train a stage, or score a checkpoint, together."""
