"""Fails in the way that its parameter names."""

import os
import signal
import time

from tuner_service import Random, StudySpec

CAUSES = ["fine", "slow", "stuck", "error", "crash", "nan", "memory"]
spec = StudySpec(
    name="causes",
    metric="height",
    direction="minimize",
    trials=9,
    max_epochs=100,
    sampler=Random(),
    limits={"trial_s": 3.0, "stalled_s": 2.0},
)


def objective(trial):
    cause = trial.suggest_categorical("cause", CAUSES)
    trial.report(1.0, 0)
    match cause:
        case "slow":
            for epoch in range(1, 100):
                time.sleep(0.2)
                trial.report(1.0, epoch)
        case "stuck":
            time.sleep(60)
        case "error":
            raise RuntimeError("this network cannot be built")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "nan":
            return float("nan")
        case "memory":
            raise MemoryError("64 GiB")
    return 1.0
