"""The page of a backtest, in a real browser: everything is there, has a size, and can be read, by day and by night."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from engine.evaluation.metrics import evaluate_forecasts
from engine.evaluation.plots import PLOTS
from ledger.contracts.job_reports.backtest_report import BacktestReport
from producer.local.backtest_html import ALT_TEXTS, write_page
from tests.support.past_fights import forecasts_of
from workers.handlers.training.backtest import backtest_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# What the page itself cannot tell: it is added to a copy, and speaks through the document.
ASK = """<script>
const boxes = [...document.querySelectorAll("svg, table, dd, h2")].map(each => {
  const box = each.getBoundingClientRect();
  return [each.tagName, box.width, box.height, each.getAttribute("aria-label")];
});
const used = [...document.querySelectorAll("use")].filter(each => !each.getBBox().width).length;
document.body.dataset.found = JSON.stringify({
  boxes, emptyGlyphs: used, wide: document.documentElement.scrollWidth, seen: innerWidth,
  paragraphs: [...document.querySelectorAll("p")].map(each => each.getBoundingClientRect().right),
  colours: ["--blue", "--back"].map(name => getComputedStyle(document.documentElement).getPropertyValue(name)),
  loaded: performance.getEntriesByType("resource").length, text: getComputedStyle(document.body).color,
});
</script>"""


def report(**columns: object) -> BacktestReport:
    return backtest_report(evaluate_forecasts(forecasts_of(600, **columns)), "0" * 64)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "backtest.html"
    write_page(report(red_odds=2.05, blue_odds=1.75, red_early_odds=2.1, blue_early_odds=1.8), path)
    return path


def chromium(folder: Path, *arguments: str) -> str:
    """Run the browser once; what it writes to its standard output."""
    assert BROWSER is not None
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={folder / 'profile'}", "--disable-background-networking", *arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def asked(page: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    copy = folder / "asked.html"
    copy.write_text(page.read_text().replace("</body>", f"{ASK}</body>"))
    dom = chromium(folder, *arguments, "--dump-dom", copy.as_uri())
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found is not None, dom[-2000:]
    return dict(json.loads(unescape(found[1])))


needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here: apt-get install chromium")


def test_it_is_one_file_without_anything_from_outside(page: Path) -> None:
    class Links(HTMLParser):
        found: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "link", "iframe", "img", "object")
            self.found += [value or "" for name, value in attributes if name in ("href", "xlink:href", "src")]

    links = Links()
    links.feed(page.read_text())
    assert links.found
    assert all(link.startswith("#") for link in links.found)
    assert not re.search(r"url\((?!#)|@import", page.read_text())


def test_figures_tables_and_method_stand_in_it(page: Path) -> None:
    text = unescape(re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", page.read_text(), flags=re.DOTALL))
    for message in (
        "600 scored of 600 fights",
        "closing odds inside the 80% interval",
        "24 rules were tried",
        "Walk forward",
    ):
        assert message in " ".join(text.split())
    assert text.count("early") > 5
    assert "nan" not in text.lower().replace("finance", "")


def test_every_plot_has_words_for_those_who_cannot_see_it(page: Path) -> None:
    assert set(ALT_TEXTS) == set(PLOTS)
    assert set(re.findall(r'<svg role="img" aria-label="([^"]*)"', page.read_text())) == {
        label.replace("'", "&#x27;") for label in ALT_TEXTS.values()
    }


def test_without_odds_what_needs_them_is_absent(tmp_path: Path) -> None:
    odds = ("market", "recalibrated_market", "market_aware", "red_odds", "blue_odds")
    write_page(report(**dict.fromkeys(odds, np.nan)), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<svg") == 1
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).lower()


@needs_browser
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_all_of_it(page: Path, width: int, tmp_path: Path) -> None:
    found = asked(page, tmp_path, f"--window-size={width},3000")
    drawn = [box for box in found["boxes"] if box[0] == "svg"]
    assert {label for *_, label in drawn} == set(ALT_TEXTS.values())
    assert all(box[1] > 300 and box[2] > 150 for box in drawn)
    assert all(box[1] > 0 and box[2] > 0 for box in found["boxes"])
    assert sum(box[0] == "TABLE" for box in found["boxes"]) == 6
    assert found["loaded"] == 0
    assert found["wide"] <= found["seen"]  # tables scroll by themselves
    assert max(found["paragraphs"]) <= found["seen"]  # and their captions do not


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    channels = [int(colour.strip()[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@needs_browser
@pytest.mark.parametrize("scheme", [1, 0], ids=["light", "dark"])
def test_the_blue_of_plots_stands_out_from_either_page(page: Path, scheme: int, tmp_path: Path) -> None:
    assert "stroke: var(--blue)" in page.read_text()
    assert page.read_text().count("#0072b2") == 1  # where the variable is set
    found = asked(page, tmp_path, f"--blink-settings=preferredColorScheme={scheme}")
    darker, lighter = sorted(map(luminance, found["colours"]))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@needs_browser
@pytest.mark.parametrize(("scheme", "paper"), [(1, 1.0), (0, 0.1)], ids=["light", "dark"])
def test_it_can_be_read_by_day_and_by_night(page: Path, scheme: int, paper: float, tmp_path: Path) -> None:
    setting = f"--blink-settings=preferredColorScheme={scheme}"
    picture = tmp_path / "page.png"
    chromium(tmp_path, setting, "--window-size=1200,3000", f"--screenshot={picture}", page.as_uri())
    pixels = imread(picture)[..., :3]
    assert pixels.shape == (3000, 1200, 3)
    corner = pixels[5, 5]
    assert corner.mean() == pytest.approx(paper, abs=0.05)
    # Ink stands out from paper, also within a plot, whose axes and words are drawn in the text's colour.
    ink = np.abs(pixels - corner).max(axis=2)
    assert (ink > 0.6).mean() > 0.005
    plot = ink[520:900, 60:600]
    assert (plot > 0.6).mean() > 0.003
