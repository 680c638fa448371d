"""The documentation site: it builds, leads nowhere wrong, and its reference leaves out nothing."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs import reference, site
from tuner_service.domain.spec import _PARTS, StudySpec


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
