"""Stages that other programs train: looked at before anything runs, and brought into the store's form."""
