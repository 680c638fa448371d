"""What is recorded of where a study comes from."""

from __future__ import annotations

import pytest

from tests.records import make_spec
from tuner_service.domain.provenance import shown_command, spec_digest

_CANARY = "canary7"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--storage", f"postgresql://u:{_CANARY}@h/d"], id="the storage"),
        pytest.param([f"--storage=postgresql://h/d?password={_CANARY}"], id="the storage in one word"),
        pytest.param(["--artifacts", f"s3://{_CANARY}:x@bucket"], id="another URL"),
        pytest.param(["--set", f"sampler.kwargs.api_key={_CANARY}"], id="a key"),
        pytest.param(["--set", f"sampler.token: {_CANARY}"], id="a token"),
        pytest.param(["--warm-start", f"http://h/?sslpassword={_CANARY}&x=1"], id="a password in a query"),
    ],
)
def test_a_shown_command_holds_no_secret(arguments: list[str]) -> None:
    """Passwords go, and the rest of the command stays readable."""
    shown = shown_command(["tuner", "create", "a b.py", *arguments, "--accept-code"])
    assert _CANARY not in shown
    assert shown.startswith("tuner create 'a b.py'")
    assert shown.endswith("--accept-code")


def test_the_digest_of_a_specification_is_that_of_its_meaning() -> None:
    """Another budget or limit leaves it as it is, and so does a direction that is known; a seed does not."""
    digest = spec_digest(make_spec())
    same = [make_spec(trials=99), make_spec(limits={"trial_s": 5}), make_spec(direction="maximize")]
    assert {spec_digest(one) for one in same} == {digest}
    assert len({digest, spec_digest(make_spec(seed=1)), spec_digest(make_spec(sampler="random"))}) == 3
