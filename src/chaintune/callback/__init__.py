"""The Trainer callback that measures forgetting while a model is trained."""

import chaintune.hf  # noqa: F401 - says what to install
