"""Trying a study file to find everything that is wrong with it, where making a study stops at the first error."""

from __future__ import annotations

import ast
import contextlib
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from tuner_service.domain import rules
from tuner_service.domain.finding import Finding, Level, in_order
from tuner_service.domain.spec import StudySpec
from tuner_service.errors import OtherBackendError, StudyFileError, TunerServiceError
from tuner_service.search.space import check_point, merge
from tuner_service.training import inspection, study_file
from tuner_service.training.data import Data
from tuner_service.training.recording_trial import RecordingTrial
from tuner_service.training.study_file import StudyFile


@dataclass(frozen=True)
class Checked:
    """What trying a study file has found."""

    findings: Sequence[Finding]
    tried: str  #: in words

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(one.level is Level.ERROR for one in self.findings)


def check(path: Path, changes: Sequence[Mapping[str, object]] = ()) -> Checked:
    """Return everything that is found wrong with a study file. This runs user code.

    Raises:
        StudyFileError: If the file cannot be read.
    """
    try:
        study_file.digest(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except StudyFileError as error:
        if not isinstance(error.__context__, SyntaxError):
            raise
        finding = Finding(Level.ERROR, "syntax", str(error), error.__context__.lineno)
        return Checked([finding], "nothing was tried: it is not Python")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    checking = _Check(path, tree)
    tried = checking.run(changes)
    return Checked(in_order(checking.findings), tried)


class _Check:
    def __init__(self, path: Path, tree: ast.Module) -> None:
        self._path = path
        self._sites = rules.call_sites(tree)
        self._lines = _definitions(tree)
        self.findings: list[Finding] = list(rules.of_source(self._sites))

    def run(self, changes: Sequence[Mapping[str, object]]) -> str:
        """Try the file, and return in words what was tried."""
        study: StudyFile | None = None
        with self._stage("import"):
            study = study_file.load(self._path)
        if study is None:
            return "nothing was tried: it cannot be used"
        spec: StudySpec | None = None
        with self._stage("specification", "spec"):
            spec = inspection.specification(study, changes)
        if spec is not None:
            self._found(rules.of_spec(spec), self._lines.get("spec"))
        if study.build_model is None:
            self._replay()
            return "the parameters that are written as numbers; objective(trial) trains when it is called"
        data: Data | None = None
        with self._stage("load-data", "load_data"):
            assert study.load_data is not None  # noqa: S101 - the file was checked for it
            data = Data.check(study.load_data())
        if data is not None:
            from tuner_service.training.data_rules import of_data

            self.findings += of_data(data, self._lines.get("load_data"))
        return self._try_networks(study, spec, data)

    def _try_networks(self, study: StudyFile, spec: StudySpec | None, data: Data | None) -> str:
        """Build networks of some draws, and train the first for one batch."""
        from tuner_service.training import network

        built = 0
        trained = ""
        space: dict[str, str] = {}
        started = time.monotonic()
        for seed in range(inspection.DRAWS):
            trial = RecordingTrial(str(self._path), seed)
            # A corner of the space that the study's code refuses costs a trial there, not the whole study.
            level = Level.ERROR if built == 0 else Level.WARNING
            model: Any = None
            options: dict[str, Any] | None = {}
            with self._stage("build-model", "build_model", level):
                model = network.build(study, trial, spec.computing.on_one_device if spec else None)
            if model is not None and study.fit is None:
                options = None
                with self._stage("fit-options", "fit_options", level):
                    options = network.options(study, trial, spec.max_epochs if spec else _ANY_EPOCHS)
            elif model is not None and study.fit_options is not None:
                # Its fit hands them on, and may take others than `model.fit`.
                with self._stage("fit-options", "fit_options", level):
                    study.fit_options(trial)
            self.findings += trial.findings
            space = merge(space, trial.distributions)
            if model is not None and options is not None:
                built += 1
                if not trained:
                    trained = self._try_one(study, spec, data, model, options)
                    self._build_again(study, trial.params, seed)
            if spec is not None:
                self.findings += self._epochs_beyond(trial, spec)
            if time.monotonic() - started > inspection.DRAWING_S:
                break
        if spec is not None:
            for asked in inspection.probe_points(study, spec, space):
                space = merge(space, asked)
        for point in spec.points if spec else ():
            with self._stage("point", "spec"):
                check_point(space, point, others=study.fit is not None)
        if spec is not None and spec.defaults_first and built:
            with self._stage("point", "spec"):
                inspection.defaults_of(study, spec)
        return f"random draws that were built: {built}{trained}"

    def _try_one(
        self,
        study: StudyFile,
        spec: StudySpec | None,
        data: Data | None,
        model: Any,  # noqa: ANN401 - Keras has no types
        options: dict[str, Any],
    ) -> str:
        from tuner_service.training import model_rules

        unknown = model_rules.unknown_arguments(model, options)
        line = self._lines.get("fit_options")
        self._found([Finding(Level.ERROR, "unknown-fit-argument", one, line) for one in unknown])
        if data is None:
            return ", none of them trained"
        labels = model_rules.of_labels(model, data, self._lines.get("load_data"))
        self._found(labels)
        if study.fit is not None or spec is None or unknown or labels:
            return ", none of them trained"
        with self._stage("fit", "build_model"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reported = inspection.try_metric(model, options, inspection.first_run(data, spec), spec)
            self._found(model_rules.of_metrics(spec.metrics, reported, self._lines.get("spec")))
        return ", the first of them trained for one batch"

    def _build_again(self, study: StudyFile, params: Mapping[str, Any], seed: int) -> None:
        from tuner_service.training import model_rules, network

        asked: list[Mapping[str, Any]] = []

        def build() -> Any:  # noqa: ANN401 - a model
            trial = RecordingTrial(str(self._path), seed, params)
            model = network.build(study, trial)
            asked.append(trial.distributions)
            return model

        what: str | None = None
        with self._stage("build-model", "build_model"):
            what = model_rules.difference(build, seed=seed)
            if asked[0] != asked[1]:
                names = sorted(asked[0].keys() ^ asked[1].keys())
                what = f"the parameters it asks for ({', '.join(names) or 'their ranges'})"
        if what is not None:
            self._found(
                [
                    Finding(
                        Level.ERROR,
                        "not-repeatable",
                        f"build_model, called twice with the same parameters and seed, gave networks that differ in "
                        f"{what}, so that a retry would train something else. Make it depend on its trial alone",
                        self._lines.get("build_model"),
                    )
                ]
            )

    def _epochs_beyond(self, trial: RecordingTrial, spec: StudySpec) -> list[Finding]:
        distribution = trial.distributions.get("epochs")
        if distribution is None:
            return []
        largest = max(getattr(distribution, "choices", None) or [distribution.high])  # type: ignore[attr-defined]
        if not isinstance(largest, int | float) or largest <= spec.max_epochs:
            return []
        return [
            Finding(
                Level.ERROR,
                "epochs-above-max",
                f"the parameter 'epochs' goes up to {largest}, above max_epochs, which is {spec.max_epochs}; raise the "
                "one or lower the other",
                next((one.line for one in self._sites if one.name == "epochs"), None),
            )
        ]

    def _replay(self) -> None:
        """Try the parameters of a script that are written as values."""
        trial = RecordingTrial(str(self._path), 0)
        for site in self._sites:
            if site.arguments is not None and site.method in rules.OPTUNA:
                trial.line = site.line
                with contextlib.suppress(TypeError):  # arguments that it does not have: the script's own error
                    getattr(trial, site.method)(site.name, *site.arguments, **site.keywords)
        self.findings += trial.findings

    @contextlib.contextmanager
    def _stage(self, rule: str, where: str = "", level: Level = Level.ERROR) -> Iterator[None]:
        """Take note of an error of the block, and go on after it."""
        try:
            yield
        except OtherBackendError:
            # Not a mistake of the file: it is looked at again, in a process with that one.
            raise
        except TunerServiceError as error:
            line = _line_of(error, self._path)
            self._found([Finding(level, rule, str(error), line or self._lines.get(where))])
        except (Exception, SystemExit) as error:
            message = f"{rule.replace('-', '_')} failed: {study_file.last_line(error)}"
            self._found([Finding(level, rule, message, _line_of(error, self._path) or self._lines.get(where))])

    def _found(self, findings: Sequence[Finding], line: int | None = None) -> None:
        for one in findings:
            placed = Finding(one.level, one.rule, one.message, one.line or line)
            # Of what fails in some draws the first is enough.
            known = any((other.rule, other.line) == (placed.rule, placed.line) for other in self.findings)
            if placed.level is not Level.WARNING or not known:
                self.findings.append(placed)


#: Where there is no specification to say how many epochs a trial may have.
_ANY_EPOCHS = 2**31


def _definitions(tree: ast.Module) -> dict[str, int]:
    """Return the lines in which the file defines its functions and its specification."""
    lines: dict[str, int] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name):
                lines[name] = node.lineno
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                lines[name] = node.lineno
    return lines


def _line_of(error: BaseException, path: Path) -> int | None:
    """Return the line of the study file in which an error arose, the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    if error.__context__ is not None:
        # An error of the file that was told in one of ours.
        frames.extend(traceback.extract_tb(error.__context__.__traceback__))
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else None
