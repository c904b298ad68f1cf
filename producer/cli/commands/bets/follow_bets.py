"""Command that places paper bets by itself: `bets follow`."""

from __future__ import annotations

import threading

import click

from producer.betting.bet_follower import BetFollower, FollowedDecision
from producer.client import Client
from producer.output.console import Console, json_option, pass_console


@click.command()
@click.option("--once", is_flag=True, help="End when no outcome is left.")
@json_option
@pass_console
def follow(console: Console, once: bool) -> None:
    """Place paper bets as the decisions of answers say, until Ctrl-C.

    Only the newest answer to a card counts, and only before its event starts; each fight gets one bet. Any number of
    these commands may run: they continue where one of them stopped, and place nothing twice. While the control betting
    is live or off, nothing is placed.
    """
    with Client.from_env() as client:
        follower = BetFollower(client.ledger)
        if once:
            decisions = list(follower.run(threading.Event(), once=True))
            console.output({"decisions": decisions}, *map(_text, decisions))
        else:
            console.note("Following the outcomes. Ctrl-C stops it.")
            for decision in follower.run(threading.Event()):
                console.output(decision, _text(decision))
        if follower.missed or follower.unreadable:
            console.note(f"{follower.missed} gaps and {follower.unreadable} unreadable outcomes were skipped.")


def _text(decision: FollowedDecision) -> str:
    where = f"fight {decision.fight_id} of job {decision.job_id}"
    bet = decision.bet
    if bet is None:
        return f"{where}: skipped, {decision.reason}"
    return f"{where}: {bet.stake:,} on {bet.fighter} at {bet.price:g} by {bet.bookmaker} (bet {bet.bet_id})"
