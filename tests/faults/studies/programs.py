"""Starts programs that nobody waits for, one of them out of the group of its process, and waits."""

import subprocess
import time

from tuner_service import Random, StudySpec

spec = StudySpec(name="programs", metric="height", direction="minimize", trials=4, max_epochs=1, sampler=Random())


def objective(trial):
    trial.suggest_float("x", -1.0, 1.0)
    # Through a shell that ends at once, so that the first is no child of anybody's any more.
    subprocess.run("sleep 1000 &", shell=True, check=True)
    subprocess.Popen(["sleep", "1001"], start_new_session=True)
    time.sleep(1000)
