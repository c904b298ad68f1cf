"""Parts of self-contained HTML pages without scripts: the page, its style, figures and tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rich.table import Table

from ledger.contracts.job_reports.backtest_report import Estimate

_STYLE = """
:root {
  color-scheme: light dark;
  --text: #1d2329; --soft: #5b6570; --back: #ffffff; --line: #d9dee3; --card: #f5f7f9; --blue: #0072b2
}
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --soft: #9aa5b0; --back: #15191d; --line: #333b43; --card: #1e242a; --blue: #4da6e0 }
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 }
main { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem }
h2 { border-top: 1px solid var(--line); font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-top: 1.2rem }
p { max-width: 46rem } .soft { color: var(--soft) }
dl { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); margin: 1.5rem 0 }
dl div { background: var(--card); border-radius: .4rem; padding: .8rem 1rem }
dt { color: var(--soft); font-size: .85rem } dd { font-size: 1.15rem; font-weight: 600; margin: .15rem 0 0 }
dd small { color: var(--soft); display: block; font-size: .85rem; font-weight: 400 }
.plots { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)) }
figure { margin: 0; max-width: 38rem } figure svg { display: block; fill: currentColor; height: auto; width: 100% }
.wide { margin: 1.2rem 0 .5rem; overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: right }
th { color: var(--soft); font-weight: 500 } .left { text-align: left }
code { overflow-wrap: anywhere }
"""


def html_page(title: str, content: str) -> str:
    """Return a page with a title, which is escaped, and content, which is HTML."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""


def figure_list(entries: Iterable[tuple[str, tuple[str, str]]]) -> str:
    """Return figures as HTML: of each what it is, its value, and a note."""
    cells = (
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for what, (value, note) in entries
    )
    return f"<dl>{''.join(cells)}</dl>"


def estimate_cells(estimate: Estimate | None, form: str) -> tuple[str, str]:
    """Return an estimate as text, and its interval as text, '' without one."""
    if estimate is None:
        return "-", ""
    if estimate.lower is None or estimate.upper is None:
        return form.format(estimate.value), ""
    return form.format(estimate.value), f"{form.format(estimate.lower)} to {form.format(estimate.upper)}"


def html_table(table: Table) -> str:
    """Convert a table of the terminal to HTML."""
    sides = ["left" if column.justify == "left" else "" for column in table.columns]
    heads = "".join(
        f'<th class="{side}">{escape(str(column.header))}</th>'
        for side, column in zip(sides, table.columns, strict=True)
    )
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{side}">{escape(str(cell))}</td>' for side, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in rows
    )
    caption = " ".join(filter(None, (str(table.title or ""), f"({table.caption})" if table.caption else "")))
    label = escape(str(table.title or ""), quote=True)
    return (  # the caption stays outside the scrolling area, so that a narrow console does not cut it off
        f'<div class="wide"><table aria-label="{label}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="soft">{escape(caption)}</p>'
    )
