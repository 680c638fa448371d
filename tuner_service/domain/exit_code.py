"""How a command ends."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``tuner``; what starts workers, such as a Kubernetes Job, goes by them."""

    DONE = 0  #: done; from a worker: the study has ended
    #: not as it should be: the study failed by its own errors (`run`), the file has mistakes (`check`), something is
    #: wrong with the machine or the storage (`doctor`), a trial came out differently (`rerun`)
    NOT_GOOD = 1
    MISTAKE = 2  #: a mistake in what was given, told in one line
    #: interrupted (`run`, `worker`), or the storage did not answer (`worker`): start it again, it goes on
    INTERRUPTED = 75
    MISCONFIGURED = 78  #: a worker's configuration is wrong; starting it again does not help
