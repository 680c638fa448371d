"""A whole study written for TensorBoard at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuner_service.errors import SpecError, how_to_install
from tuner_service.results.tensorboard.event_file import EventFile
from tuner_service.results.tensorboard.events import experiment, of_run, run_folder
from tuner_service.results.trials import curves, reported_curve
from tuner_service.storage.ledger_storage import LedgerStorage


def export_tensorboard(storage: LedgerStorage, name: str, folder: Path) -> int:
    """Write a study below ``folder/NAME``, a folder a trial, and return how many trials there are.

    Said again, it writes the files anew.

    Raises:
        SpecError: If TensorBoard is not installed, or the folder cannot be written to.
    """
    check_installed()
    study = storage.study(name)
    trials = [one for one in storage.trials(study.study_id, curves=True) if one.started_at is not None]
    root, metrics = folder / study.name, dict[str, None]()
    with told_if_unwritable(folder):
        for one in trials:
            kept = curves(study, one.attempt.number) or [reported_curve(study, one)]
            for run, curve in enumerate(kept):
                metrics |= dict.fromkeys(curve)
                EventFile(root / run_folder(study, one.attempt.number, run)).replace(of_run(study, one, curve))
        EventFile(root).replace([experiment(study, trials, metrics)])
    return len(trials)


def check_installed() -> None:
    """Raise ``SpecError`` where TensorBoard is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise SpecError(
            f"--tensorboard needs TensorBoard, which is not installed: {how_to_install('tensorboard')}"
        ) from None


@contextmanager
def told_if_unwritable(folder: Path) -> Iterator[None]:
    """Raise ``SpecError`` where the block cannot write to the folder."""
    try:
        yield
    except OSError as error:
        raise SpecError(f"{folder} of --tensorboard cannot be written to: {error.strerror or error}") from None
