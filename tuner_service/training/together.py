"""Runs that are trained together: executions and folds of a configuration share a graph, so one program is theirs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tuner_service.domain.run import Run
from tuner_service.training import network
from tuner_service.training.assignment import Assignment
from tuner_service.training.batches import BATCH_SIZE, order_of, rows_of, standardized
from tuner_service.training.checkpoint import Checkpoint, restore
from tuner_service.training.compiled import logs_of, weighted
from tuner_service.training.data import Data, Part
from tuner_service.training.engine import TrainingPath, path_for
from tuner_service.training.epoch_watch import EpochWatch, MemberWatch
from tuner_service.training.folds import all_rows, fold_rows
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.study_file import StudyFile

if TYPE_CHECKING:
    from tuner_service.training.jax_epoch import JaxEpoch
    from tuner_service.training.jax_together import JaxEpochs

_Rows = np.ndarray[Any, Any]

#: Callbacks that act on their own network and nothing else, so that several networks may take turns with theirs.
_HONOURED = (
    keras.callbacks.EarlyStopping, keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau
)  # fmt: skip

#: What the program may need of the memory that is free.
_SHARE_OF_FREE = 0.5


class NotTogetherError(Exception):
    """Why runs are trained one after the other; none of them has begun. Empty where nobody would expect otherwise."""


@dataclass(frozen=True)
class Member:
    """One of the runs that are trained together."""

    model: keras.Model
    given: Mapping[str, Any]  #: arguments of ``fit``
    watch: MemberWatch
    epochs: Sequence[JaxEpoch]  #: of training, then of validation, if there is any
    callbacks: keras.callbacks.CallbackList

    def end(self, logs: Mapping[str, Any]) -> None:
        """Train it no further."""
        self.watch.has_ended = True
        self.model.optimizer.finalize_variable_values(self.model.trainable_weights)
        self.callbacks.on_train_end(logs)


@dataclass(frozen=True)
class _Pool:
    """Rows on the device, and which of them each run has."""

    part: Part
    rows: Sequence[_Rows]


def obstacle(study: StudyFile, task: Assignment, runs: Sequence[Run]) -> str | None:
    """Return why runs are not trained together, as far as that is known before a network is built."""
    if keras.backend.backend() != "jax" or study.fit is not None or task.engine == "fit" or len(task.runs) == 1:
        return ""
    if task.judges_runs:
        return "the pruner may end the trial after each"
    if len(runs) == 1 or (task.rungs and runs[0].index == 0):
        # Most trials end there; the others are trained together once they have passed.
        return ""
    return None


@dataclass(frozen=True)
class Together:
    """Some runs of an attempt in one program."""

    prepare: Callable[[Run], network.Prepared]  #: the network of a run
    trial: RemoteTrial
    data: Data  #: of the study, not cut into folds
    pipe: Pipe
    task: Assignment
    watch: EpochWatch  #: the attempt's; it stands at the first of the runs
    scratch: Path  #: folder of the attempt

    def train(self, runs: Sequence[Run], first: network.Prepared, saved: Sequence[Checkpoint] = ()) -> list[Member]:
        """Train the runs, each to its own end, and return them in their order.

        Args:
            runs: At least two.
            first: Network and options of the first one.
            saved: The state of each in a checkpoint to go on from.

        Raises:
            NotTogetherError: If that is not possible.
            DivergedError: If the metric of a run became NaN or infinite.
            StudyFileError: If the study's code broke its side of the contract.
        """
        model, given = first
        self._check(model, given)
        pools = self._pools(runs, given)
        programs, members = self._compile(runs, model, given, pools)
        members += [self._next(run, members[0], programs) for run in runs[1:]]
        callbacks = [id(callback) for member in members for callback in member.given["callbacks"]]
        if len(set(callbacks)) < len(callbacks):
            raise NotTogetherError("fit_options gives them the same callback")
        variables = [id(one) for member in members for group in member.epochs[0].variables for one in group]
        if len(set(variables)) < len(variables):
            raise NotTogetherError("their networks share a metric or a layer")
        for run, member, state in zip(runs, members, saved, strict=False):
            if not restore(member.model, state.variables):
                raise NotTogetherError("what was saved of them is of another shape")
            member.watch.go_on(run, state)
        which = f"runs {runs[0].index + 1} to {runs[-1].index + 1} as one program"
        self.watch.take_path(TrainingPath("compiled", which))
        self.watch.together = [member.watch for member in members]
        self._fit(members, programs, pools)
        return members

    def _check(self, model: keras.Model, given: Mapping[str, Any]) -> None:
        if path_for(self.task.engine, model, self.data, given).name != "compiled":
            raise NotTogetherError("")
        for callback in given["callbacks"]:
            if type(callback) not in _HONOURED:
                raise NotTogetherError(f"they have a {type(callback).__name__} among their callbacks")
        if given["verbose"] != 0:
            raise NotTogetherError("fit_options gives verbose")

    def _pools(self, runs: Sequence[Run], given: Mapping[str, Any]) -> list[_Pool]:
        """Return the rows for training, then those for validation, if there are any."""
        data, folds, weights = self.data, self.task.folds, given.get("class_weight")
        if folds is None:
            parts = [part for part in (data.train, data.validation) if part is not None]
            rows: list[Sequence[_Rows]] = [[np.arange(rows_of(part)) for part in parts]] * len(runs)
        else:
            parts = [all_rows(data)] * 2
            cut = functools.cache(lambda fold: fold_rows(data, folds, fold))
            rows = [cut(run.fold) for run in runs]
        on_device = [_on_device(weighted(standardized(parts[0]), weights))]
        if len(parts) > 1:
            is_same = folds is not None and weights is None
            on_device.append(on_device[0] if is_same else _on_device(standardized(parts[1])))
        return [_Pool(part, [one[place] for one in rows]) for place, part in enumerate(on_device)]

    def _compile(
        self, runs: Sequence[Run], model: keras.Model, given: dict[str, Any], pools: Sequence[_Pool]
    ) -> tuple[list[JaxEpochs], list[Member]]:
        """Return the programs, for training and for validation, and the first member."""
        from tuner_service.training.jax_together import JaxEpochs, free_device_bytes

        try:
            first = self._member(runs[0], model, given, [pool.part for pool in pools])
            programs = [
                JaxEpochs(epoch, [len(rows) for rows in pool.rows])
                for epoch, pool in zip(first.epochs, pools, strict=True)
            ]
            needed = max(program.prepare() for program in programs)
        except Exception as error:
            # Whatever it is, a run alone either does not mind or goes to `fit`.
            lines = str(error).strip().splitlines() or [""]
            raise NotTogetherError(f"they do not compile ({type(error).__name__}: {lines[0][:200]})") from error
        if needed > _SHARE_OF_FREE * free_device_bytes():
            raise NotTogetherError(f"together they need {needed / 1e6:.0f} MB of memory")
        return programs, [first]

    def _next(self, run: Run, first: Member, programs: Sequence[JaxEpochs]) -> Member:
        parameters = set(self.trial.distributions)
        model, given = self.prepare(run)
        network.check_parameters(self.trial, parameters, run)
        if _plain(given) != _plain(first.given):
            raise NotTogetherError("fit_options gives them different options")
        self._check(model, given)
        member = self._member(run, model, given, [epoch.part for epoch in first.epochs])
        if not all(program.has_graph_of(epoch) for program, epoch in zip(programs, member.epochs, strict=True)):
            raise NotTogetherError("build_model makes another network for each")
        return member

    def _member(self, run: Run, model: keras.Model, given: dict[str, Any], parts: Sequence[Part]) -> Member:
        from tuner_service.training.jax_epoch import JaxEpoch

        size = given.get("batch_size") or BATCH_SIZE
        epochs = [JaxEpoch(model, parts[0], size, trains=True)]
        # Now, while random numbers are this run's.
        epochs[0].build()
        if len(parts) > 1:
            epochs.append(JaxEpoch(model, parts[1], given.get("validation_batch_size") or size, trains=False))
        watch = MemberWatch(self.pipe, self.task, self.scratch)
        watch.begin(run)
        watch.keep_checkpoints(given["callbacks"])
        callbacks = keras.callbacks.CallbackList(
            [*given["callbacks"], watch], add_history=True, model=model, epochs=given["epochs"], verbose=0
        )
        return Member(model, given, watch, epochs, callbacks)

    def _fit(self, members: Sequence[Member], programs: Sequence[JaxEpochs], pools: Sequence[_Pool]) -> None:
        for member in members:
            if not member.watch.has_ended:
                member.model.stop_training = False
                member.callbacks.on_train_begin()
        epoch = max(member.watch.epochs for member in members)
        while active := [member for member in members if not member.watch.has_ended]:
            for member in active:
                member.callbacks.on_epoch_begin(epoch)
            orders = [
                rows[order_of(len(rows), member.watch.run.seed, epoch)] if member.given.get("shuffle", True) else rows
                for member, rows in zip(members, pools[0].rows, strict=True)
            ]
            logs = _run(programs[0], 0, members, orders)
            if len(programs) > 1:
                judged = _run(programs[1], 1, members, pools[1].rows)
                for its_logs, others in zip(logs, judged, strict=True):
                    its_logs |= {f"val_{name}": value for name, value in others.items()}
            for member, its_logs in zip(active, logs, strict=True):
                member.callbacks.on_epoch_end(epoch, its_logs)
                if member.model.stop_training or member.watch.epochs >= member.given["epochs"]:
                    member.end(its_logs)
            self.watch.tell_progress(active[0].watch)
            if not all(member.watch.has_ended for member in active):
                self.watch.save_if_due()
            epoch += 1


def _run(program: JaxEpochs, kind: int, members: Sequence[Member], orders: Sequence[_Rows]) -> list[dict[str, Any]]:
    """Compute an epoch of those that have not ended, and return the logs of each of them."""
    active = [member.model for member in members if not member.watch.has_ended]
    for model in active:
        model.reset_metrics()
    lasts = program.run(
        [member.epochs[kind] for member in members], orders, [not member.watch.has_ended for member in members]
    )
    return [logs_of(model, last) for model, last in zip(active, lasts, strict=True)]


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "callbacks"}


def _on_device(part: Part) -> Part:
    import jax

    return keras.tree.map_structure(jax.numpy.asarray, part)
