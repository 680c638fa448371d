"""A study that writes down everything it can read of its own process and of those above it."""

import os
import signal
from pathlib import Path

import optuna

from tuner_service import StudySpec

spec = StudySpec(name="nosy", metric="score", direction="maximize", trials=2, max_epochs=1)


def look_around() -> str:
    """Return the environment and the arguments of this process and of its parents, as far as they can be read."""
    found = [repr(dict(os.environ))]
    process = os.getpid()
    while process > 1:
        for name in ("environ", "cmdline"):
            try:
                found.append(Path(f"/proc/{process}/{name}").read_bytes().decode(errors="replace"))
            except OSError as error:
                found.append(f"{name}: {error}")
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return "\n".join(found)


def write_down(when: str) -> None:
    """Leave what was found beside the study file."""
    Path(__file__).with_name(f"seen-{when}-{os.getpid()}.txt").write_text(look_around())


write_down("import")


def objective(trial: optuna.Trial) -> float:
    """Look around, once more, and tell it on every way out that there is."""
    write_down("trial")
    trial.set_user_attr("seen", look_around()[-30_000:])
    print(look_around())
    if trial.number == 1:
        raise RuntimeError(look_around())
    if trial.number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return trial.suggest_float("x", 0.0, 1.0)
