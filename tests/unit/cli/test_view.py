"""What the live view says of a study."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from tests.records import make_attempt, make_spec, make_study
from tuner_service.cli import live
from tuner_service.cli.view import best_so_far, left_words, one_line, sparkline, view
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.study import Ending
from tuner_service.domain.worker import WorkerInfo
from tuner_service.errors import StorageUnavailableError
from tuner_service.results.summary import Summary, summary_of

_NOW = 1000.0


def _worker(name: str = "w1", **fields: Any) -> WorkerInfo:
    given = {"started_at": 900.0, "beat_at": _NOW - 4, "lease_s": 60.0, **fields}
    host = given.pop("host", f"host-{name}")
    return WorkerInfo(name, 1, host, 7, 2, **given)


def _summary(*attempts: Attempt, workers: tuple[WorkerInfo, ...] = (), **study: Any) -> Summary:
    return summary_of(make_study(**{"created_at": 880.0, **study}), attempts, workers, _NOW)


def _running(number: int = 5, **fields: Any) -> Attempt:
    given = {"owner": "w1", "claimed_at": 976.0, "epoch": 4, "last_value": 0.75, **fields}
    return make_attempt(number, 0, State.RUNNING, number=number, **given)


def _shown(summary: Summary, storage: str = "", *, width: int = 120, colours: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colours, color_system="standard" if colours else None
    )
    console.print(view(summary, storage))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_worker_has_a_row_with_its_trial() -> None:
    """Host, slots, trial, epoch of all, metric, seconds an epoch and the age of its last beat."""
    shown = _shown(_summary(_running(), workers=(_worker(),)))
    (row,) = [line for line in shown.splitlines() if line.startswith("host-w1")]
    # 20 s from claim to the last beat, 4 epochs.
    assert row.split()[:4] == ["host-w1", "w1", "2", "5"]
    assert row.split()[-4:] == ["4/9", "0.75", "5", "4s"]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        pytest.param(120, ["host", "worker", "slots", "trial", "epoch", "val_accuracy", "s/epoch", "beat"], id="wide"),
        pytest.param(80, ["host", "trial", "epoch", "val_accuracy", "s/epoch", "beat"], id="a terminal of old"),
        pytest.param(50, ["host", "trial", "epoch", "val_accuracy", "beat"], id="a phone"),
    ],
)
def test_a_narrow_terminal_shows_what_matters(width: int, columns: list[str]) -> None:
    """Trial, epoch, metric and beat are whole, and what is known otherwise is left out."""
    name = "local-node-26711-a966c2-0-0"
    shown = _shown(_summary(_running(owner=name), workers=(_worker(name, host="node"),)), width=width)
    (head,) = [line for line in shown.splitlines() if line.startswith("host")]
    assert head.split() == columns
    assert "…" not in shown
    assert "4/9" in shown


def test_a_late_beat_is_red() -> None:
    """A worker that missed two beats is marked, one that is gone though it has a trial is called lost."""
    red = "\x1b[1;31m"
    assert red not in _shown(_summary(_running(), workers=(_worker(),)), colours=True)
    assert red in _shown(_summary(_running(), workers=(_worker(beat_at=_NOW - 30),)), colours=True)
    assert "lost" in _shown(_summary(_running(owner="gone")))


def test_a_worker_without_trial_is_idle() -> None:
    """Each worker that is alive has a row."""
    assert "idle" in _shown(_summary(workers=(_worker(),)))


def test_many_rows_are_cut() -> None:
    """A terminal has no room for a hundred workers."""
    workers = tuple(_worker(f"w{number:03d}") for number in range(100))
    shown = _shown(_summary(workers=workers))
    assert "and 84 more" in shown
    assert len(shown.splitlines()) < 30


def test_last_finished_and_last_failure_are_lines() -> None:
    """The failure in one line, however long its message, and the command that shows all of it."""
    summary = _summary(
        make_attempt(0, reason=Reason.FINISHED, value=0.5, epoch=9, ended_at=990.0, number=0),
        make_attempt(1, reason=Reason.ERROR, error="ValueError: " + "no " * 100, ended_at=995.0, number=1),
        make_attempt(2, reason=Reason.PRUNED, value=0.25, epoch=1, ended_at=998.0, number=2),
    )
    shown = _shown(summary)
    assert "trial 2 pruned val_accuracy 0.25 after 1 epoch, 2s ago" in shown
    (failure,) = [line for line in shown.splitlines() if line.startswith("last failure")]
    assert "trial 1 error, tuner show digits 1  ValueError: no no" in failure


def test_counters_tell_what_pruning_saved() -> None:
    """Epochs that were not trained, and their share."""
    pruned = make_attempt(0, reason=Reason.PRUNED, value=0.1, epoch=3, ended_at=990.0)
    assert "3 epochs trained, 6 saved by pruning (67%)" in _shown(_summary(pruned))


def test_the_storage_is_told_of() -> None:
    """Its words stand in the first line."""
    assert "storage away" in _shown(_summary(), "[red]storage away for 3s[/]").splitlines()[0]


def test_markup_in_names_is_text() -> None:
    """What looks like a colour in a metric's name or an error is shown as it is."""
    spec = make_spec(metric="[red]x", direction="maximize")
    failed = make_attempt(1, reason=Reason.ERROR, error="[bold]E: [/]", ended_at=995.0, number=1)
    shown = _shown(_summary(_running(), failed, spec=spec, workers=(_worker(owner := "w1"),)))
    assert owner in shown
    assert "maximize [red]x" in shown
    assert "[bold]E: [/]" in shown


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width_will_do(width: int) -> None:
    """Lines are no longer than the terminal."""
    shown = _shown(_summary(_running(), workers=(_worker(),)), width=width)
    assert max(map(len, shown.splitlines())) <= width


def test_the_time_left_is_a_range() -> None:
    """From gaps of 1 to 19 s between ends follows a range, from equal gaps one time."""
    ends = [900.0, 901.0, 920.0, 921.0, 940.0, 960.0, 961.0, 980.0, 1000.0]
    vary = [make_attempt(n, reason=Reason.FINISHED, value=0.5, ended_at=end) for n, end in enumerate(ends)]
    summary = _summary(*vary, workers=(_worker(),), budget=30)
    assert summary.left_range is not None
    assert summary.left_range[0] < (summary.seconds_left or 0.0) < summary.left_range[1]
    assert " to " in left_words(summary)
    even = [make_attempt(n, reason=Reason.FINISHED, value=0.5, ended_at=940.0 + 10 * n) for n in range(7)]
    assert left_words(_summary(*even, workers=(_worker(),), budget=10)) == "about 30s"


def test_best_so_far_never_gets_worse() -> None:
    """In the order in which trials ended, not in that of their numbers."""
    rows = [
        make_attempt(number, reason=Reason.FINISHED, value=value, ended_at=end)
        for number, (value, end) in enumerate([(0.5, 30.0), (0.9, 10.0), (0.95, 40.0)])
    ]
    assert best_so_far(_summary(*rows)) == [0.9, 0.9, 0.95]
    assert len(sparkline(list(range(1000)))) <= 24


def test_best_so_far_satisfies_the_constraints() -> None:
    """A better value that violates one is none, unless all do."""
    rows = [
        make_attempt(n, reason=Reason.FINISHED, value=value, ended_at=10.0 + n, feasible=n != 1)
        for n, value in enumerate([0.5, 0.99, 0.6])
    ]
    assert best_so_far(_summary(*rows)) == [0.5, 0.6]
    assert best_so_far(_summary(rows[1])) == [0.99]


def _looks(*looks: Summary | Exception) -> Callable[[], Summary]:
    left = list(looks)

    def look() -> Summary:
        now = left.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    return look


def test_a_storage_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal a line says so, once; the view goes on when it answers again."""
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    away = StorageUnavailableError("away")
    done = _summary(ending=Ending.FINISHED)
    seen = live.follow(_looks(_summary(), away, away, done), lambda one: one.study.ending is not None)
    assert seen is done
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2].partition(",")[0] for line in lines] == [
        "waiting for workers", "the storage does not answer", "finished"
    ]  # fmt: skip
    assert lines[-1] == one_line(done)


def test_a_storage_that_never_answered_is_an_error() -> None:
    """Who watches a study that cannot be reached is told at once."""
    with pytest.raises(StorageUnavailableError):
        live.follow(_looks(StorageUnavailableError("away")), lambda _: True)
