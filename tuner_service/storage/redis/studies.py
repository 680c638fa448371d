"""Studies in Redis: a record each, changed as a whole."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, cast

import optuna
import redis
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from tuner_service.domain.spec import StudySpec
from tuner_service.domain.study import CodeRecord, Control, Ending, NewStudy, Point, StudyRecord
from tuner_service.errors import SchemaError, SchemaVersionError, StorageError, StudyExistsError, StudyNotFoundError
from tuner_service.storage.redis import rows
from tuner_service.storage.redis.journal import RedisJournal, unavailable
from tuner_service.storage.url import StorageUrl

_SCHEMA = "tuner:schema"
#: Version of the keys.
_VERSION = 4
NAMES = "tuner:studies"  # hash: name to study id

_TIMEOUT_S = 30


def study_key(study_id: int) -> str:
    """Return the key of a study's record."""
    return f"tuner:study:{study_id}"


def points_key(study_id: int) -> str:
    """Return the key of the points of a study."""
    return f"tuner:points:{study_id}"


class RedisStudies:
    """Records of studies in Redis, beside Optuna's journal; a record changes in one transaction."""

    def __init__(self, url: StorageUrl) -> None:
        self._url = url
        self._client = redis.Redis.from_url(
            url.secret_text, socket_timeout=_TIMEOUT_S, socket_connect_timeout=10, health_check_interval=30
        )
        self._journal: optuna.storages.JournalStorage | None = None

    def create_tables(self) -> None:
        with unavailable(self._url):
            self._client.setnx(_SCHEMA, _VERSION)
        self.check_tables()

    def migrate_tables(self) -> int | None:
        with unavailable(self._url):
            version = cast(bytes | None, self._client.get(_SCHEMA))
        self.create_tables()
        return None if version is None else int(version)

    def check_tables(self) -> None:
        with unavailable(self._url):
            version = cast(bytes | None, self._client.get(_SCHEMA))
        if version is None:
            raise SchemaError(f"the storage {self._url} holds nothing yet; `tuner create` or `tuner run` begins it")
        if int(version) != _VERSION:
            raise SchemaVersionError(
                f"the storage {self._url} is of version {int(version)}, this program works with version {_VERSION}; "
                "Redis is not migrated: use the program that made it, or another database"
            )

    def create_roles(self, prefix: str) -> None:  # noqa: ARG002 - the protocol's
        raise StorageError("Redis has no roles of this service; PostgreSQL does")

    def close(self) -> None:
        self._client.close()

    def now(self) -> float:
        with unavailable(self._url):
            seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6

    def optuna_storage(self) -> optuna.storages.JournalStorage:
        if self._journal is None:
            self._journal = optuna.storages.JournalStorage(RedisJournal(self._client, self._url))
        return self._journal

    def create_study(self, new: NewStudy) -> StudyRecord:
        name, storage = new.spec.name, self.optuna_storage()
        directions = [StudyDirection[direction.upper()] for direction in new.spec.directions]
        try:
            study_id = storage.create_new_study(directions, name)
        except DuplicatedStudyError:
            # Somebody else's, or one whose creation was cut off before it was recorded below.
            study_id = storage.get_study_id_from_name(name)
            if storage.get_study_directions(study_id) != directions or self._trials(study_id):
                raise StudyExistsError(f"a study {name!r} exists already") from None
        storage.set_study_system_attr(study_id, "study:metric_names", list(new.spec.metrics))
        record = StudyRecord(
            study_id=study_id,
            name=name,
            spec=new.spec,
            budget=new.budget,
            code=new.code,
            kind=new.kind,
            artifacts=new.artifacts,
            probe=new.probe,
            space=dict(new.space),
            provenance=new.provenance,
            points=len(new.points),
            created_at=self.now(),
        )
        with unavailable(self._url):
            # The name first: cut off between the two, it leads nowhere, and the study can still be created.
            self._client.hset(NAMES, name, str(study_id))
            self._record(record, new)
        return record

    def _record(self, record: StudyRecord, new: NewStudy) -> None:
        key, of_points = study_key(record.study_id), points_key(record.study_id)
        points: dict[Any, Any] = {
            str(number): json.dumps(dataclasses.asdict(point)) for number, point in enumerate(new.points)
        }

        def transaction(pipe: redis.client.Pipeline) -> None:
            if pipe.exists(key):
                raise StudyExistsError(f"a study {record.name!r} exists already")
            pipe.multi()
            pipe.delete(of_points)
            if points:
                pipe.hset(of_points, mapping=points)
            pipe.set(key, rows.study_to_json(record))

        self._client.transaction(transaction, key)

    def study(self, name: str) -> StudyRecord:
        with unavailable(self._url):
            study_id = cast(bytes | None, self._client.hget(NAMES, name))
            text = None if study_id is None else cast(bytes | None, self._client.get(study_key(int(study_id))))
        study = None if text is None else rows.study_from_json(text)
        if study is None or not self._is_in_optuna(study):
            raise StudyNotFoundError.for_name(name, (one.name for one in self.studies()))
        return study

    def studies(self) -> list[StudyRecord]:
        with unavailable(self._url):
            ids = sorted(int(one) for one in cast(list[bytes], self._client.hvals(NAMES)))
            texts = cast(list[bytes | None], self._client.mget([study_key(one) for one in ids])) if ids else []
        records = [rows.study_from_json(text) for text in texts if text is not None]
        return [study for study in records if self._is_in_optuna(study)]

    def _is_in_optuna(self, study: StudyRecord) -> bool:
        """Return whether a study is still there for Optuna: optuna-dashboard deletes what it knows of."""
        try:
            return self.optuna_storage().get_study_name_from_id(study.study_id) == study.name
        except KeyError:
            return False

    def extend_study(self, study_id: int, budget: int) -> None:
        def extended(study: StudyRecord) -> StudyRecord:
            if budget <= study.budget:
                return study
            return self._reopened(dataclasses.replace(study, budget=budget), Ending.FINISHED)

        self._change(study_id, extended)

    def accept_code(self, study_id: int, code: CodeRecord) -> None:
        self._change(study_id, lambda study: dataclasses.replace(study, code=code))

    def revise_study(self, study_id: int, spec: StudySpec) -> None:
        def changed(study: StudyRecord) -> StudyRecord:
            return self._reopened(dataclasses.replace(study, spec=spec), Ending.FINISHED)

        self._change(study_id, changed)

    def set_control(
        self, study_id: int, control: Control, message: str = "", *, seen: StudyRecord | None = None
    ) -> None:
        def steered(study: StudyRecord) -> StudyRecord:
            if seen is not None and not study.wants_the_same_as(seen):
                return study
            why = message if study.ending is None else study.ending_message
            study = dataclasses.replace(study, control=control, ending_message=why)
            return self._reopened(study, *Ending) if control is Control.RUN else study

        self._change(study_id, steered)

    def end_study(self, study_id: int, ending: Ending, message: str = "", *, seen: StudyRecord | None = None) -> bool:
        now = self.now()

        def ended(study: StudyRecord) -> StudyRecord:
            changed = seen is not None and not study.wants_the_same_as(seen)
            if study.ending is not None or changed:
                return study
            return dataclasses.replace(study, ending=ending, ending_message=message, ended_at=now)

        return self._change(study_id, ended)

    def _change(self, study_id: int, change: Callable[[StudyRecord], StudyRecord]) -> bool:
        """Change a record, again where somebody else changed it meanwhile, and return whether anything changed."""
        key = study_key(study_id)

        changed = False

        def transaction(pipe: redis.client.Pipeline) -> None:
            nonlocal changed
            text = cast(bytes | None, pipe.get(key))
            old = None if text is None else rows.study_from_json(text)
            new = None if old is None else change(old)
            changed = new is not None and new != old
            pipe.multi()
            if new is not None and changed:
                pipe.set(key, rows.study_to_json(new))

        with unavailable(self._url):
            self._client.transaction(transaction, key)
        return changed

    def _point(self, study_id: int, configuration: int) -> Point | None:
        with unavailable(self._url):
            text = cast(bytes | None, self._client.hget(points_key(study_id), str(configuration)))
        return None if text is None else Point(**json.loads(text))

    def _reopened(self, study: StudyRecord, *endings: Ending) -> StudyRecord:
        if study.ending not in endings:
            return study
        control = Control.PAUSE if study.control is Control.PAUSE else Control.RUN
        return dataclasses.replace(
            study, ending=None, ending_message="", ended_at=None, resumed_at=self.now(), control=control
        )

    def _trials(self, study_id: int) -> list[FrozenTrial]:
        try:
            return self.optuna_storage().get_all_trials(study_id, deepcopy=False)
        except KeyError:
            return []

    def _rows(self, study_id: int) -> list[FrozenTrial]:
        """Return the rows of a study: of each attempt the first, since others are withdrawn by whoever sees them."""
        trials = self._trials(study_id)
        first = rows.first_rows(trials)
        return [one for one in trials if rows.is_ours(one) and first[rows.key_of(one)] == one._trial_id]
