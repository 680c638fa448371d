"""The documentation site: it builds, leads nowhere wrong, and its reference leaves out nothing."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from pydantic import BaseModel

from docs import reference, site
from tuner_service.cli.app import app
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.spec import _PARTS, StudySpec
from tuner_service.serve import models
from tuner_service.serve.metrics import all_metrics


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tag names."""
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag in ("img", "script", "iframe") and "src" in given:
            self.loaded.add(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.add(given["href"])


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """Provide the pages of the site, built."""
    assert site.build() == 0
    return {path.relative_to(site.SITE): Page(path) for path in site.SITE.glob("**/*.html")}


def test_links_of_the_site_lead_somewhere(pages: dict[Path, Page]) -> None:
    """Every page, file and anchor that a page of the site names is there."""
    dead = defaultdict(set)
    for path, page in pages.items():
        # The page of what is not there is shown at any path, so its own are absolute.
        for link in page.links | page.loaded if path.name != "404.html" else ():
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (site.SITE / path.parent / unquote(parts.path)).resolve() if parts.path else site.SITE / path
            found = pages.get(target.relative_to(site.SITE))
            if not target.is_file() or (parts.fragment and found and unquote(parts.fragment) not in found.anchors):
                dead[str(path)].add(link)
    assert dict(dead) == {}


def test_nothing_is_loaded_from_another_host(pages: dict[Path, Page]) -> None:
    """The site can be read where there is no network."""
    assert {one for page in pages.values() for one in page.loaded if urlsplit(one).netloc} == set()


def test_every_page_can_be_found(pages: dict[Path, Page]) -> None:
    """The navigation of the home page names every page, but for the files of the code."""
    named = {Path(link) for link in pages[Path("index.html")].links}
    assert {path for path in pages if path.parts[0] not in ("404.html", "code")} - named == set()


def test_reference_has_every_part_of_a_specification() -> None:
    """A new sampler, pruner or other part cannot be forgotten in it."""
    described = {part for parts in reference.PARTS.values() for part in parts}
    assert described == {StudySpec, *_PARTS.values()}


def test_every_field_is_described() -> None:
    """Each field of a specification says its unit or meaning in a comment, which the reference shows."""
    rows = [(part, row) for parts in reference.PARTS.values() for part in parts for row in reference.spec_fields(part)]
    assert [f"{part.__name__}.{row[0]}" for part, row in rows if not row[-1]] == []
    assert ("`stalled_s`", "number > 0", "`600.0`") in {row[:3] for _, row in rows}


def test_every_exit_code_is_described() -> None:
    """Each says in a comment what it means for whatever started the command."""
    said = reference.comments(ExitCode)
    assert [code.name for code in ExitCode if not said.get(code.name)] == []


def test_every_command_and_option_has_help() -> None:
    """Each says in its help what it does; that of a group says so too."""
    nameless = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for inner, one in {"": command, **getattr(command, "commands", {})}.items():
            called = f"{name} {inner}".strip()
            nameless += [called] if not one.help else []
            nameless += [
                f"{called} {parameter.name}"
                for parameter in one.params
                if not getattr(parameter, "hidden", False) and not getattr(parameter, "help", None)
            ]
    assert nameless == []


def test_every_metric_is_described() -> None:
    """Each says in a sentence what it counts."""
    assert [one.name for one in all_metrics() if not one.documentation.endswith(".")] == []


def test_every_field_of_the_api_is_described() -> None:
    """Each field of an answer says its unit or meaning in a comment, which the reference shows."""
    answers = [
        one
        for one in vars(models).values()
        if isinstance(one, type) and issubclass(one, BaseModel) and one is not BaseModel
    ]
    nameless = [
        f"{one.__name__}.{field}"
        for one in answers
        for field in one.model_fields
        if not reference.comments(one).get(field)
    ]
    assert answers
    assert nameless == []
