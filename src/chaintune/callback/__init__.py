"""The Trainer callback that measures forgetting while a model is trained."""
