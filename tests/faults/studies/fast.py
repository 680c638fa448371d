"""Trains nothing, in epochs of a given time, to a value that its parameters decide; who trained which is written down."""

import json
import math
import os
import signal
import time
from pathlib import Path

from tuner_service import Random, StudySpec

spec = StudySpec(name="fast", metric="height", direction="minimize", trials=24, max_epochs=10, sampler=Random())
EPOCHS = 10
EPOCH_S = float(os.environ.get("EPOCH_S", "0.05"))
HISTORY = Path(__file__).with_name("history")


def objective(trial):
    if "STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    x, y = trial.suggest_float("x", -1.0, 1.0), trial.suggest_float("y", -1.0, 1.0)
    for epoch in range(1, EPOCHS + 1):
        time.sleep(EPOCH_S)
        height = x**2 + y**2 + math.exp(-epoch)
        line = {"number": trial.number, "params": trial.params, "epoch": epoch, "value": height}
        with (HISTORY / str(os.getpid())).open("a") as file:
            file.write(json.dumps(line) + "\n")
        trial.report(height, epoch - 1)
    return height
