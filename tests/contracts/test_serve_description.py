"""The read API's own description, and that it keeps to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import sampled_from

from tests.served import BEARER, TOKEN, seed
from tuner_service.bootstrap import open_storage
from tuner_service.domain.study import Ending
from tuner_service.serve.app import make_app
from tuner_service.serve.users import Users

#: Everything but those that want another method refused as unknown: who may only look is refused first.
_CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def description(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Provide the API's description, over a study on PostgreSQL, which is the strictest with odd values."""
    postgres_server.create_database("description")
    with closing(open_storage(postgres_server.url("description"))) as storage:
        storage.create_tables()
        study = seed(storage, tmp_path_factory.mktemp("artifacts"))
        # A stream ends with its study only.
        storage.end_study(study.study_id, Ending.STOPPED)
        app = make_app(storage, Users({"token": TOKEN}))
        yield schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=BEARER)
    postgres_server.drop_database("description")


def test_the_api_keeps_to_its_description(description: Any) -> None:
    """Whatever is asked, likely or not, nothing breaks, and each answer is as described."""
    asked = Counter[tuple[str, int]]()
    for found in description.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(), is_there=sampled_from([True, False]))
        @settings(max_examples=30, suppress_health_check=list(HealthCheck), database=None)
        def keeps_to_it(case: schemathesis.Case, *, is_there: bool) -> None:
            if "name" in case.path_parameters and is_there:
                case.path_parameters["name"] = "digits"
                case.query = {"trial": 0} if case.path.endswith("/curve") else case.query
            answer = case.call_and_validate(headers=BEARER, checks=_CHECKS)
            asked[case.path, answer.status_code] += 1

        keeps_to_it()
    answered = {path for path, status in asked if status == 200}
    assert answered == set(description.raw_schema["paths"])
