"""Each cause of failure, in one study: its row, its reason, its place in the budget, and what people are shown."""

from __future__ import annotations

from pathlib import Path

from tests.faults.pool import check_rows, pool
from tests.servers import PostgresServer
from tuner_service.bootstrap import open_storage
from tuner_service.coordinator.control import enqueue

_ATTEMPTS = {
    "fine": ["finished"],
    "slow": ["timeout", "timeout"],
    "stuck": ["stalled", "stalled"],
    "error": ["error", "error"],
    "crash": ["crashed", "crashed"],
    "nan": ["diverged"],
    "memory": ["oom", "infeasible"],
}
_STATES = {"finished": "COMPLETE", "diverged": "PRUNED", "infeasible": "PRUNED"}


def test_each_cause_is_treated_as_it_deserves(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Too long, stuck, an error, a crash, not a number, out of memory: `status` shows each, and the budget is exact.

    ``study.optimize`` ends with the first error, dies with the crash, and waits for what is stuck for ever.
    """
    with pool(tmp_path, postgres_server, "causes") as workers:
        storage = open_storage(workers.tuner.storage)
        for cause in _ATTEMPTS:
            enqueue(storage, "causes", {"cause": cause})
        storage.close()
        workers.start(1, slots=2)
        workers.wait()
        rows = workers.query(
            "SELECT configuration, attempt, state::text, reason, param_value FROM tuner_attempts "
            "JOIN trials USING (trial_id) JOIN trial_params USING (trial_id) ORDER BY configuration, attempt"
        )
        causes = {configuration: list(_ATTEMPTS)[int(value)] for configuration, _, _, _, value in rows}
        assert set(causes.values()) == set(_ATTEMPTS)
        for configuration, cause in causes.items():
            reasons = [reason for mine, _, _, reason, _ in rows if mine == configuration]
            assert reasons == _ATTEMPTS[cause], cause
        assert all(state == _STATES.get(reason, "FAIL") for _, _, state, reason, _ in rows)
        failed = [one for one, cause in causes.items() if cause in ("slow", "stuck", "error", "crash")]
        check_rows(workers, 9, failed=failed)

        status = workers.tuner("status", "causes").out
        for shown in (
            "timeout", "stalled", "error", "crashed", "diverged", "oom", "infeasible", "longer than its limit of 3 s",
            "no epoch ended for 2 s", "this network cannot be built", "SIGSEGV", "objective returned nan", "64 GiB",
        ):  # fmt: skip
            assert shown in " ".join(status.split()), f"{shown}:\n{status}"

        workers.tuner("retry", "causes", "--failed")
        again = workers.query(
            "SELECT configuration FROM tuner_attempts JOIN trials USING (trial_id) WHERE state::text = 'WAITING' "
            "ORDER BY configuration"
        )
        assert [one for (one,) in again] == sorted(failed)
