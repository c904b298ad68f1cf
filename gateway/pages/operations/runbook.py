"""The runbook: what to do about each alert and symptom.

Its text is the section "Symptoms and alerts" of docs/guides/operators.md, made into a part of a page by

    python -m gateway.pages.operations.runbook docs/guides/operators.md
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.response import Response

from gateway.pages.rendering import render
from gateway.security.caller import Caller, Role

TEMPLATE = Path(__file__).parents[1] / "templates/operations/runbook_text.html"
GUIDE = "guides/operators.md"
SECTION = "Symptoms and alerts"
_HEADING = re.compile(r"<h3>(.*?)</h3>")
_LINK = re.compile(r'<a href="([^"]*)">(.*?)</a>', re.DOTALL)


def runbook_address(alert: str) -> str:
    """Return the address of the heading of an alert."""
    return f"/operations/runbook#{alert.lower()}"


@get("/operations/runbook", opt={"role": Role.OPERATOR}, include_in_schema=False)
async def get_runbook(request: Request[Caller, Any, Any]) -> Response[bytes]:
    """Return the page of the runbook."""
    return render(request, "operations/runbook.html", section="operations", page="runbook")


def runbook_html(document: str) -> str:
    """Return the runbook as HTML, from the text of the guide for operators."""
    from markdown_it import MarkdownIt  # needed to write the file, not to show the page

    section = document.partition(f"\n## {SECTION}\n")[2].partition("\n## ")[0]
    html = MarkdownIt("commonmark").enable("table").render(section)
    html = _HEADING.sub(lambda found: f'<h2 id="{_anchor(found[1])}">{found[1]}</h2>', html)
    html = html.replace("<table>", '<div class="table" tabindex="0" role="region" aria-label="Table"><table>')
    html = html.replace("</table>", "</table></div>")
    anchors = set(re.findall(r'id="([^"]+)"', html))
    return _LINK.sub(lambda found: _link(found[1], found[2], anchors), html)


def _anchor(heading: str) -> str:
    """Return the id of a heading, as documents link to it."""
    text = re.sub(r"<[^>]*>", "", heading).lower()
    return re.sub(r"[^a-z0-9 -]", "", text).replace(" ", "-")


def _link(address: str, words: str, anchors: set[str]) -> str:
    """Return a link within the page; of a link to another section or document its words and the file."""
    if address.removeprefix("#") in anchors:
        return f'<a href="{address}">{words}</a>'
    file = address.removeprefix("../").partition("#")[0] or GUIDE
    return f"{words} (<code>docs/{escape(file)}</code>)"


ROUTES = (get_runbook,)

if __name__ == "__main__":
    TEMPLATE.write_text(runbook_html(Path(sys.argv[1]).read_text()))
