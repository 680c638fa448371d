"""The sections of the page: their words, tables and figures, in their order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tuner_service.domain.plural import count
from tuner_service.domain.provenance import spec_digest
from tuner_service.domain.run import CONFIDENCE
from tuner_service.domain.trial import Trial
from tuner_service.results.export import iso, study_fields
from tuner_service.results.report import run_figures, search_figures
from tuner_service.results.report.comparison import DEFAULTS, GIVEN, RANDOM
from tuner_service.results.report.content import Content
from tuner_service.results.report.figure import Figure, number

#: Rows of the tables of trials and workers, and causes of failures with their traceback, at most.
_MOST_TRIALS, _MOST_FRONT, _MOST_WORKERS, _MOST_CAUSES = 10, 30, 64, 30


@dataclass(frozen=True)
class Card:
    """A number at the top of the page."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Table:
    """Rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()  #: columns that hold numbers
    title: str = ""


@dataclass(frozen=True)
class More:
    """Text that is shown when it is asked for."""

    summary: str
    text: str


@dataclass(frozen=True)
class Section:
    """One section; without tables and figures, of its texts."""

    anchor: str
    title: str
    texts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    details: Sequence[More] = field(default_factory=list)


def sections_of(content: Content) -> list[Section]:
    """Return the sections that have something to say."""
    made = (
        _best(content),
        _front(content),
        *_histories(content),
        _importance(content),
        _of_figures("parallel", [search_figures.parallel(content)]),
        *_slices(content),
        _contours(content),
        _curves(content),
        _best_curves(content),
        _comparison(content),
        _timeline(content),
        _use(content),
        _failures(content),
        _record(content),
    )
    return [one for one in made if one is not None]


def goal(content: Content) -> str:
    """Return what the study looks for, in words."""
    spec = content.study.spec
    return ", ".join(f"{way} {metric}" for metric, way in zip(spec.metrics, spec.directions, strict=True))


def headline(content: Content) -> list[Card]:
    """Return the numbers at the top, the best value first."""
    summary, spec = content.summary, content.study.spec
    cards = [_best_card(content)]
    counts = f"{summary.complete} complete, {summary.pruned} pruned, {summary.failed} failed"
    cards.append(Card("trials settled", f"{summary.settled} of {content.study.budget}", counts))
    share = summary.epochs_saved / ((summary.epochs_trained + summary.epochs_saved) or 1)
    cards.append(Card("epochs trained", f"{summary.epochs_trained:,}", f"{share:.0%} saved by pruning"))
    bars = content.use.bars
    if bars:
        hours = sum(bar.end - bar.begin for bar in bars) / 3600
        length = max(bar.end for bar in bars) - min(bar.begin for bar in bars)
        cards.append(Card("time", _span(length), f"{hours:.3g} slot hours, {spec.sampler.kind} + {spec.pruner.kind}"))
        busy = "" if content.use.busy is None else f"slots {content.use.busy:.0%} busy"
        cards.append(Card("workers", str(len(content.use.workers)), busy))
    return cards


def _best_card(content: Content) -> Card:
    metrics, best = content.study.spec.metrics, content.best
    if best is None:
        return Card("best", "none yet", "no trial is complete")
    if len(metrics) > 1:
        return Card("Pareto front", f"{len(content.front)} trials", ", ".join(metrics))
    spread = best.spread
    how = "one run" if spread is None else f"± {number(spread.std)}, mean of {spread.runs} runs"
    return Card(f"best {metrics[0]}", f"{best.attempt.value:.5g}", f"trial {best.attempt.number}, {how}")


def _best(content: Content) -> Section | None:
    best = content.best
    if best is None or len(content.study.spec.metrics) > 1:
        return None
    rows = [(name, _cell(value)) for name, value in best.params.items()]
    tables = [Table(("parameter", "value"), rows, frozenset({1}), "Best parameters")]
    metric, names = content.study.spec.metrics[0], content.params[:6]
    top = content.best_first(content.complete)[:_MOST_TRIALS]
    rows_top = [_trial_row(one, names) for one in top]
    columns = ("trial", metric, *names)
    tables.append(Table(columns, rows_top, frozenset(range(len(columns))), f"The best {len(top)}"))
    return Section("best", "Best", [_confidence(content, best)], _confidence_warnings(content, best), tables)


def _trial_row(one: Trial, names: Sequence[str]) -> tuple[str, ...]:
    values = [f"{value:.5g}" for value in one.attempt.values]
    spread = one.spread
    if spread is not None:
        values[0] += f" ± {number(spread.std)}"
    shown = f"{one.attempt.number}" if one.attempt.feasible else f"{one.attempt.number} (violates a constraint)"
    return (shown, *values, *(_cell(one.params.get(name)) for name in names))


def _confidence(content: Content, best: Trial) -> str:
    spread, where = best.spread, "" if best.best_epoch is None else f", in epoch {best.best_epoch}"
    said = f"Trial {best.attempt.number} reached {content.study.spec.metrics[0]} {best.attempt.value:.5g}{where}."
    if spread is None:
        return said
    return (
        f"{said} It is the mean of {spread.runs} runs with a standard deviation of {number(spread.std)}; the "
        f"{CONFIDENCE:.0%} interval of the mean is {number(spread.low)} to {number(spread.high)}."
    )


def _confidence_warnings(content: Content, best: Trial) -> list[str]:
    warnings = []
    rivals = [one for one in content.complete if one.attempt.feasible is best.attempt.feasible]
    if best.spread is None:
        warnings.append(
            "Its value comes from one training. How much of it is luck is not known: the best of "
            f"{len(rivals)} trials is also the luckiest. executions=3 or folds=5 in the specification measure it."
        )
    elif len(rivals) > 1:
        near = [one for one in rivals if _within(one, best)]
        if len(near) > 1:
            warnings.append(
                f"Within its interval: {count(len(near) - 1, 'other trial')}, maybe as good, and cheaper or simpler."
            )
    return warnings


def _within(one: Trial, best: Trial) -> bool:
    spread, value = best.spread, one.attempt.value
    return spread is not None and value is not None and spread.low <= value <= spread.high


def _front(content: Content) -> Section | None:
    metrics = content.study.spec.metrics
    if len(metrics) < 2:
        return None
    names = content.params[:8]
    rows = [_trial_row(one, names) for one in content.front[:_MOST_FRONT]]
    columns = ("trial", *metrics, *names)
    texts = [f"{len(content.front)} trials that no other beats in every objective."]
    if len(content.front) > _MOST_FRONT:
        texts.append(f"The table has the first {_MOST_FRONT}; report.json has all.")
    tables = [Table(columns, rows, frozenset(range(len(columns))))] if rows else []
    return Section("front", "Pareto front", texts, (), tables, search_figures.pareto(content) if rows else [])


def _histories(content: Content) -> list[Section | None]:
    if not any(one.attempt.values for one in content.trials):
        return []
    figures = [search_figures.history(content, index) for index in range(len(content.study.spec.metrics))]
    return [_of_figures("history" if n == 0 else f"history-{n + 1}", [one]) for n, one in enumerate(figures)]


def _importance(content: Content) -> Section | None:
    figure = search_figures.importance(content)
    if figure is None:
        return None
    few = content.importances[0].few
    return Section(
        "importance",
        figure.title,
        () if few else [figure.note],
        [figure.note] if few else (),
        (),
        [figure],
    )


def _slices(content: Content) -> list[Section | None]:
    if not any(one.attempt.values for one in content.trials):
        return []
    sections: list[Section | None] = []
    metrics = content.study.spec.metrics
    for index, metric in enumerate(metrics):
        figures = search_figures.slices(content, index)
        title = "Slices" if len(metrics) == 1 else f"Slices: {metric}"
        note = f"{metric} over each parameter, the most important first. Blue: complete; small, orange: pruned."
        if search_figures.slice_view(content, index) is not None:
            note += f" {search_figures.OUTSIDE}"
        if figures:
            sections.append(Section(f"slices-{index}" if index else "slices", title, [note], figures=figures))
    return sections


def _contours(content: Content) -> Section | None:
    figures = search_figures.contours(content)
    if not figures:
        return None
    metric = content.study.spec.metrics[0]
    note = f"{metric} over the most important pairs, smoothed from complete trials (dots); blank where none is near."
    return Section("contours", "Contours", [note], figures=figures)


def _curves(content: Content) -> Section | None:
    return _of_figures("curves", [run_figures.learning_curves(content)])


def _best_curves(content: Content) -> Section | None:
    figures = run_figures.best_curves(content)
    if not figures or content.best is None:
        return None
    runs = len(content.best_curves)
    first = f", the first of its {runs} runs" if runs > 1 else ""
    note = f"Trial {content.best.attempt.number}{first}, epoch by epoch."
    return Section("best-curves", "The best trial's training", [note], figures=figures)


def _comparison(content: Content) -> Section | None:
    comparison = content.comparison
    if len(comparison.groups) < 2:
        return None
    figure = search_figures.comparison(content)
    columns = ("parameters", "trials", "complete", "epochs", "best", "median")
    rows = [
        (one.name, str(one.trials), str(one.complete), str(one.epochs), _cell(one.best), _cell(one.median))
        for one in comparison.groups
    ]
    texts = [comparison.verdict] if comparison.verdict else []
    beside = "" if content.companion is None else f", and those of {content.companion}"
    meanings = {
        RANDOM: f"are the trials drawn before the sampler had a model{beside}",
        GIVEN: "are those of known points",
        DEFAULTS: "is that of the hyperparameters' defaults",
    }
    there = [f"'{one.name}' {meanings[one.name]}" for one in comparison.groups if one.name in meanings]
    texts.append(f"Here {', '.join(there)}. Best and median are of complete trials that violate no constraint.")
    if figure is not None:
        texts.append(figure.note)
    table = Table(columns, rows, frozenset(range(1, 6)))
    return Section("comparison", "Against random search", texts, (), [table], [figure] if figure else [])


def _timeline(content: Content) -> Section | None:
    return _of_figures("timeline", [run_figures.timeline(content)])


def _use(content: Content) -> Section | None:
    figure = run_figures.use(content)
    if figure is None:
        return None
    columns = ("worker", "host", "slots", "trials", "complete", "epochs", "busy", "s/epoch")
    rows = [
        (
            one.worker,
            one.host,
            _cell(one.slots),
            str(one.trials),
            str(one.complete),
            str(one.epochs),
            "-" if one.busy is None else f"{one.busy:.0%}",
            _cell(one.epoch_s),
        )
        for one in content.use.workers[:_MOST_WORKERS]
    ]
    note = "A slot is a GPU or a share of the cores. Seconds an epoch are medians, with what a trial takes around them."
    if len(content.use.workers) > _MOST_WORKERS:
        note += f" {len(content.use.workers) - _MOST_WORKERS} more workers are in report.json."
    return Section("use", figure.title, [note], (), [Table(columns, rows, frozenset(range(2, 8)))], [figure])


def _failures(content: Content) -> Section | None:
    if not content.causes:
        return None
    rows = [
        (str(one.reason), one.meaning, one.error or "-", str(len(one.trials)), str(one.trials[0]))
        for one in content.causes
    ]
    details = [
        More(
            f"trial {one.trials[0]}: {one.error}",
            f"{one.failure.traceback or one.failure.message}\non {one.failure.host or 'an unknown host'}",
        )
        for one in content.causes[:_MOST_CAUSES]
        if one.failure is not None
    ]
    table = Table(("reason", "means", "error", "trials", "first"), rows[:_MOST_CAUSES], frozenset({3, 4}))
    retries = content.summary.retries
    retried = "1 attempt was a retry." if retries == 1 else f"{retries} attempts were retries."
    return Section("failures", "Failures", [retried], (), [table], (), details)


def _record(content: Content) -> Section:
    study = content.study
    origin = study.provenance
    dirty = ", with changes that were not committed" if origin.dirty else ""
    facts = [
        ("file", study.code.file),
        ("code digest", study.code.digest),
        ("earlier code", ", ".join(study.code.accepted)),
        ("specification digest", spec_digest(study.spec)),
        ("git commit", f"{origin.commit}{dirty}" if origin.commit else ""),
        ("data digest", origin.data or ""),
        *((f"data, {name}", what) for name, what in origin.parts.items()),
        ("seed", str(study.spec.seed)),
        ("precision", origin.precision or ""),
        ("host", origin.host),
        ("platform", origin.platform),
        ("command", origin.command),
        ("created", iso(study.created_at) or ""),
        ("ended", iso(study.ended_at) or ""),
        ("artifacts", study.artifacts),
    ]
    facts = [fact for fact in facts if fact[1]]
    devices = Counter(str(one.environment["device"]) for one in content.trials if one.environment.get("device"))
    tables = [Table(("", ""), facts)]
    packages = "\n".join(f"{name} {version}" for name, version in sorted(origin.packages.items()))
    if devices:
        rows = [(name, str(number)) for name, number in devices.most_common(_MOST_WORKERS)]
        tables.append(Table(("device", "trials"), rows, frozenset({1})))
    digests = {one.code for one in content.trials if one.code}
    warnings = []
    if len(digests) > 1:
        warnings.append(f"Trials ran {len(digests)} versions of the code: `--accept-code` let the study go on.")
    specification = json.dumps(study_fields(study)["specification"], indent=2)
    space = json.dumps(study_fields(study)["search_space"], indent=2)
    return Section(
        "record",
        "Record",
        (),
        warnings,
        tables,
        (),
        [More("specification", specification), More("search space", space), More("packages", packages)],
    )


def _of_figures(anchor: str, figures: Sequence[Figure | None]) -> Section | None:
    drawn = [one for one in figures if one is not None]
    if not drawn:
        return None
    return Section(anchor, drawn[0].title, [drawn[0].note] if drawn[0].note else (), figures=drawn)


def _cell(value: object) -> str:
    return "-" if value is None else number(value)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"
