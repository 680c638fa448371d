"""A short training of a few configurations, to learn how long an epoch takes and how much memory it needs."""

from __future__ import annotations

import itertools
import os
import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.sampler import is_exhaustive
from tuner_service.domain.spec import StudySpec
from tuner_service.errors import StudyFileError
from tuner_service.training import inspection, study_file
from tuner_service.training.data import Data

#: Configurations that are drawn, epochs that each trains, and seconds after which no further one is begun.
_CONFIGURATIONS, _EPOCHS, _ENOUGH_S = 3, 3, 60.0


@dataclass(frozen=True)
class Measured:
    """What training took; a range is from the fastest configuration to the slowest."""

    configurations: int
    epoch_s: tuple[float, float]  #: an epoch, the first of each configuration left out
    start_s: float  #: building a network and compiling it, which its first epoch does
    memory_mb: float  #: the largest size of the process
    data_mb: float  #: of it, the arrays of the data
    parameters: tuple[int, int]  #: of the networks


@dataclass(frozen=True)
class Looked:
    """What a plan is made from."""

    spec: StudySpec
    cells: int | None  #: of a finite search space that is tried whole
    measured: Measured | None


def look(path: Path, changes: Sequence[Mapping[str, object]], devices: str | None) -> Looked:
    """Return what a study file says of its size, and train a little if devices are named. This runs user code.

    Args:
        path: The study file.
        changes: Fields that replace those of its specification.
        devices: The GPUs that may be used, as CUDA_VISIBLE_DEVICES has them; "-1" is none. None: nothing is trained.

    Raises:
        SpecError: If the specification is not valid.
        StudyFileError: If the file cannot be used, or is to be measured and trains by itself.
    """
    if devices is not None:
        # Before Keras is imported: it looks at them once.
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    study = study_file.load(path)
    spec = inspection.specification(study, changes)
    cells = len(inspection.cells(study, spec)[0]) if is_exhaustive(spec.sampler) else None
    return Looked(spec, cells, None if devices is None else _measure(study, spec))


def _measure(study: study_file.StudyFile, spec: StudySpec) -> Measured:
    """Train some random configurations for three epochs, as a slot does."""
    if study.build_model is None or study.load_data is None or study.fit is not None:
        raise StudyFileError(
            f"{study.path.name} trains by itself, so that its epochs cannot be timed beforehand; leave out --measure, "
            "and ask again by the study's name once some trials have ended"
        )
    data = inspection.first_run(Data.check(study.load_data()), spec)
    from tuner_service.training.data_rules import arrays

    size = sum(one.nbytes for part in (data.train, data.validation, data.test) for one in arrays(part).values())
    import keras

    from tuner_service.training import network

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        """Notes when epochs end."""

        def __init__(self) -> None:
            super().__init__()
            self.ended: list[float] = []

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
            self.ended.append(time.monotonic())

    epochs, starts, counts = [], [], []
    begun = time.monotonic()
    for seed in range(_CONFIGURATIONS):
        trial, started, watch = inspection.probe_trial(seed), time.monotonic(), Watch()
        model = network.build(study, trial, spec.computing.on_one_device)
        given = network.options(study, trial, spec.max_epochs)
        trained = min(_EPOCHS, given["epochs"])
        model.fit(
            **network.arguments(data.train),
            validation_data=data.validation,
            **{**given, "epochs": trained, "verbose": 0, "callbacks": [*given["callbacks"], watch]},
        )
        ends = [started, *watch.ended]
        lasted = [later - earlier for earlier, later in itertools.pairwise(ends)]
        epoch = statistics.median(lasted[1:] or lasted)
        epochs.append(epoch)
        starts.append(max(lasted[0] - epoch, 0.0))
        counts.append(int(model.count_params()))
        if time.monotonic() - begun > _ENOUGH_S:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(
        configurations=len(epochs),
        epoch_s=(min(epochs), max(epochs)),
        start_s=statistics.median(starts),
        memory_mb=peak,
        data_mb=size / 1e6,
        parameters=(min(counts), max(counts)),
    )
