"""Hooks of the documentation's site (`mkdocs.yml`): pages from outside of docs/, links between all of them, formulas.

The README, CONTRIBUTING, the model cards and others become pages where they lie, with links that work both in the
repository and on the site. A link to any other file of the repository leads to its source.
"""

import logging
import os
import posixpath
import re
from html import unescape
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "weights/*.md", "weights/*.png", "samples/*")
RENAMED = {"README.md": "index.md"}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
logging.getLogger("mkdocs.plugins.api-autonav").setLevel(logging.WARNING)  # It names each of 300 modules otherwise.
FORMULA = re.compile(r'<(?:span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie outside of docs/."""
    for path in (path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))):
        where = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, RENAMED.get(where, where), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point relative links at the site's pages, or at the repository where the site has none."""
    source = page.file.abs_src_path
    if source is None:  # A page of the reference.
        return markdown
    sites = {file.abs_src_path: file.src_uri for file in files if file.abs_src_path}

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(Path(source).parent / link[1])
        if target in sites:
            return posixpath.relpath(sites[target], posixpath.dirname(page.file.src_uri) or ".")
        if Path(target).exists():
            return f"{config.extra['repository']}/{os.path.relpath(target, ROOT)}"
        return link[1]  # MkDocs reports it.

    return LINK.sub(moved, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Turn formulas into MathML, which browsers draw without a script."""

    def drawn(formula: re.Match[str]) -> str:
        if formula[1] == "(":
            return convert(unescape(formula[2]))
        return f'<div class="formula">{convert(unescape(formula[2]), display="block")}</div>'

    return FORMULA.sub(drawn, html)
