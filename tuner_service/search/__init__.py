"""Samplers and search spaces: from the specification to Optuna's objects."""
