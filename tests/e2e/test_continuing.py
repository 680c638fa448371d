"""A study that is continued: with the same specification, a larger budget, other code."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.tuner import Tuner, settled, until
from tuner_service.bootstrap import open_storage
from tuner_service.domain.study import CodeRecord
from tuner_service.training.study_file import digest


@pytest.fixture(scope="module")
def study(module_tuner: Tuner) -> Path:
    """Provide the file of a study that ran to its end."""
    path = module_tuner.add_study("bowl")
    module_tuner("run", "studies/bowl.py", "--slots", "2")
    return path


def test_study_goes_on_as_far_as_it_is_the_same(module_tuner: Tuner, study: Path) -> None:
    """A budget is extended exactly; another specification or other code is refused, until the code is accepted."""
    tuner, source = module_tuner, study.read_text()
    assert settled(tuner.attempts()) == [0, 1, 2, 3]
    first_code = tuner("trials", "bowl", "--json").json("trials")[0]["code"]

    # The same again, also with a comment more.
    study.write_text(f"# A remark.\n{source}")
    assert "already finished" in tuner("create", "studies/bowl.py").out

    # A larger budget.
    assert "6 trials" in tuner("extend", "bowl", "--trials", "6").out
    assert tuner("status", "bowl", "--json").json("study")["budget"] == 6
    assert "6" in tuner("extend", "bowl", "--trials", "6", code=2).err
    assert "continued, 6 trials" in tuner("run", "studies/bowl.py", "--slots", "2").out
    assert settled(tuner.attempts()) == list(range(6))

    # Another specification.
    refused = tuner("create", "studies/bowl.py", "--set", "max_epochs=50", "--set", "sampler=tpe", code=2).err
    assert "max_epochs: recorded 9, received 50" in refused
    assert "sampler: recorded random" in refused
    assert "received tpe" in refused
    assert "cannot shrink to 5" in tuner("create", "studies/bowl.py", "--set", "trials=5", code=2).err

    # How long a trial may take is no part of what it means.
    assert "limits.trial_s None -> 0.001" in tuner("create", "studies/bowl.py", "--set", "limits.trial_s=0.001").out
    assert tuner("status", "bowl", "--json").json("study")["state"] == "finished"
    assert "limits.trial_s 0.001 -> None" in tuner("create", "studies/bowl.py").out

    # Other code.
    study.write_text(source.replace("x**2 + y**2", "x**2 + 2 * y**2"))
    before = tuner("export", "bowl").out
    refused = tuner("run", "studies/bowl.py", code=2).err
    assert "has changed" in refused
    assert first_code in refused
    assert "--accept-code" in refused
    assert "not the code" in tuner("worker", "bowl", code=78).err
    assert tuner("export", "bowl").out == before

    # Other code that is accepted, with a larger budget.
    out = tuner("run", "studies/bowl.py", "--accept-code", "--set", "trials=8", "--slots", "2").out
    assert "continued with other code, extended from 6 to 8 trials" in out
    assert settled(tuner.attempts()) == list(range(8))
    codes = [one["code"] for one in tuner("trials", "bowl", "--json").json("trials")]
    assert codes[:6] == [first_code] * 6
    assert codes[6] == codes[7] != first_code

    # From scratch.
    tuner("delete", "bowl", "--yes")
    assert tuner("list", "--json").json("studies") == []
    assert tuner.artifacts() == []
    assert "created" in tuner("create", "studies/bowl.py").out


def test_a_worker_finishes_its_trial_where_other_code_is_accepted_meanwhile(tuner: Tuner) -> None:
    """It claims no other with the code that it has loaded; the next one trains with the new code."""
    slow = "import time\n\n    time.sleep(3)\n    return x**2"
    path = tuner.add_study("bowl", change=lambda source: source.replace("return x**2", slow))
    tuner("create", "studies/bowl.py")
    with tuner.start("worker", "bowl", "--studies", "studies", "--slots", "1") as worker:
        until("a trial runs", lambda: [one for one in tuner.attempts() if one[2] == "RUNNING"])
        path.write_text(path.read_text().replace("time.sleep(3)", "time.sleep(0)"))
        with closing(open_storage(tuner.storage)) as storage:
            study = storage.study("bowl")
            storage.accept_code(study.study_id, CodeRecord(path.name, digest(path), (study.code.digest,)))
        result = worker.wait()
    assert result.code == 75, result.err
    assert "start it again where the new study file is" in result.err
    assert len(settled(tuner.attempts())) < 4
    tuner("worker", "bowl", "--studies", "studies", "--slots", "1")
    trials = tuner("trials", "bowl", "--json").json("trials")
    assert {one["reason"] for one in trials} == {"finished"}
    assert len({one["code"] for one in trials}) == 2
