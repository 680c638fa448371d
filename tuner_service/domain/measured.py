"""Objectives that are measured on a trained network, beside the metrics that Keras reports; less is always better."""

from __future__ import annotations

from collections.abc import Mapping

#: What each is, by its name, which no metric of a model may have.
MEASURED: Mapping[str, str] = {
    "parameters": "parameters of the network, as Keras counts them",
    "model_bytes": "size of the saved model, a .keras file, in bytes",
    "latency_s": "median time of predicting one row on the device that trained it, in seconds",
}
