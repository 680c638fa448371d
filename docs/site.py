"""Builds the documentation site: the README, the pages of docs/, and a reference worked out of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docs import reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Where the pages of the site are put together, and where it is built, as zensical.toml says too.
PAGES, SITE = ROOT / "site" / "pages", ROOT / "site" / "html"

#: Files beside docs/ that are pages of the manual.
_OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LANGUAGES = {".py": "python", ".sh": "sh", ".sbatch": "sh", ".json": "json", ".service": "ini"}

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]+)?\)")


def put_together() -> None:
    """Write the pages of the site, with links among them, and with a page for each file of the code that one shows."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(DOCS, PAGES, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    sources = {page: Path(page).relative_to(DOCS) for page in DOCS.glob("**/*.md")}
    sources |= {ROOT / name: Path(page) for name, page in _OUTSIDE.items()}
    shown: set[Path] = set()
    for source, page in sources.items():
        _write(page, _with_links(source.read_text(), source, page, sources, shown))
    for name, text in reference.pages().items():
        _write(Path("reference", name), text)
    for file in shown:
        language = _LANGUAGES.get(file.suffix, "yaml")
        title = file.relative_to(ROOT)
        text = f"---\nsearch:\n  exclude: true\n---\n# `{title}`\n\n````{language}\n{file.read_text()}````\n"
        _write(_code_page(file), text)


def _with_links(text: str, source: Path, page: Path, pages: dict[Path, Path], shown: set[Path]) -> str:
    """Return a page's text with its links as they are on the site; ``shown`` gets the files of the code among them."""

    def link(found: re.Match[str]) -> str:
        words, path, anchor = found[1], found[2], found[3] or ""
        if words.startswith("!["):
            # A picture that is a link
            words = _LINK.sub(link, words)
        target = (source.parent / path).resolve()
        if "://" in path:
            return found[0]
        if target in pages:
            to = pages[target]
        elif target.is_relative_to(DOCS):
            to = target.relative_to(DOCS)
        elif target.is_file():
            shown.add(target)
            to = _code_page(target)
        else:
            # A folder is nothing to look at; what is not there is a dead link.
            return words if target.is_dir() else found[0]
        return f"[{words}]({os.path.relpath(to, page.parent)}{anchor})"

    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in _FENCE.split(text))


def _code_page(file: Path) -> Path:
    return Path("code", f"{file.relative_to(ROOT)}.md")


def _write(page: Path, text: str) -> None:
    (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
    (PAGES / page).write_text(text)


def build() -> int:
    """Build the site, and return the exit code: a link that leads nowhere is an error."""
    put_together()
    shutil.rmtree(SITE, ignore_errors=True)
    return subprocess.call([Path(sys.executable).with_name("zensical"), "build", "--clean", "--strict"], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(build())
