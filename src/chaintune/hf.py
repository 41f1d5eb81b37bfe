"""Imported first by every room that computes with a model; without the extra `hf` it says what to install.

The rest of chaintune loads none of these packages: comparing, reports, the gate, tasks and study files work without.
"""

from chaintune.errors import require

require("training and scoring", "torch", "transformers", "peft", "accelerate", "safetensors", extra="hf")
