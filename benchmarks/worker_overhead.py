"""What a trial costs in a warm worker beyond the same training in a plain script, and what the worker's memory does.

    python benchmarks/worker_overhead.py [TRIALS]

Both train the same small network on scikit-learn's digits, one thread, in turn. Printed: the median seconds of a trial
in the worker, from one settled trial to the next, of the same building and fitting in one plain process, their
difference, and the resident memory of the worker's supervisor early and late.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tuner_service import open_storage

STUDY = """
import keras
from sklearn.datasets import load_digits
from tuner_service import Data, Random, StudySpec

spec = StudySpec(name="overhead", metric="val_accuracy", trials=20, max_epochs=3, sampler=Random())

def load_data():
    images, labels = load_digits(return_X_y=True)
    return Data.split(images.astype("float32") / 16, labels, seed=0)

def build_model(trial):
    units = trial.suggest_int("units", 16, 64)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.Adam(trial.suggest_float("rate", 1e-3, 1e-2)), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    return model

def fit_options(trial):
    return {"batch_size": 64}
"""

PLAIN = """
import sys, time
sys.path.insert(0, sys.argv[1])
import keras, optuna, overhead
data = overhead.load_data()
for number in range(int(sys.argv[2])):
    started = time.perf_counter()
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number)).ask()
    keras.utils.set_random_seed(number)
    model = overhead.build_model(trial)
    model.fit(*data.train, validation_data=data.validation, epochs=3, verbose=0, **overhead.fit_options(trial))
    print(time.perf_counter() - started, flush=True)
"""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def main(trials: int) -> None:
    """Run both, print the figures."""
    environment = {**os.environ, **ONE_THREAD, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "overhead.py").write_text(STUDY)
        url = f"sqlite:///{folder}/tuner.db"
        tuner = [sys.executable, "-m", "tuner_service"]
        create = [*tuner, "create", "overhead.py", "--set", f"trials={trials}", "--storage", url]
        subprocess.run(create, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        worker = subprocess.Popen(
            [*tuner, "worker", "overhead", "--studies", ".", "--slots", "1", "--storage", url],
            cwd=folder,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        memory = sample_memory(worker, url)
        plain = subprocess.run(
            [sys.executable, "-c", PLAIN, folder, "20"], env=environment, check=True, capture_output=True, text=True
        )
        storage = open_storage(url)
        ended = sorted(one.ended_at or 0.0 for one in storage.attempts(storage.study("overhead").study_id))
        ours = statistics.median(later - earlier for earlier, later in itertools.pairwise(ended))
    theirs = statistics.median(float(line) for line in plain.stdout.split()[1:])
    print(f"trials                     {trials}")
    print(f"worker, seconds a trial    {ours:.2f}")
    print(f"plain script               {theirs:.2f}")
    print(f"difference                 {ours - theirs:.2f}")
    tenth = max(len(memory) // 10, 1)
    early, late = statistics.median(memory[tenth : 2 * tenth]), statistics.median(memory[-tenth:])
    print(f"supervisor memory, MiB     {early:.1f} early, {late:.1f} late, ratio {late / early:.3f}")


def sample_memory(worker: subprocess.Popen[bytes], url: str) -> list[float]:
    """Return the supervisor's resident memory in MiB, twice a second from its first settled trial to its end."""
    process, storage = psutil.Process(worker.pid), open_storage(url)
    samples: list[float] = []
    study_id = storage.study("overhead").study_id
    while worker.poll() is None:
        if samples or any(one.state.final for one in storage.attempts(study_id)):
            try:
                samples.append(process.memory_info().rss / 2**20)
            except psutil.NoSuchProcess:
                break
        time.sleep(0.5)
    return samples


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
