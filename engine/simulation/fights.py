"""The fights of a simulated league: matchmaking, results, and statistics.

`Matchmaker` makes the cards one after the other, because availability, standing and retirement depend on earlier
results. The consequences of a result (method, duration, stat lines) are drawn afterwards for all fights at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from engine.arrays import Floats, Indices
from engine.errors import ValidationError
from engine.simulation.fighters import (
    DEFENCE,
    GRAPPLING,
    PACE,
    POWER,
    STRIKING,
    WEIGHT_CLASSES,
    WRESTLING,
    SimulatedFighters,
    skills_at_age,
    takedown_share,
    true_logit,
)

Days = NDArray[np.int64]

_NEVER = -100_000
_REST_DAYS = (63, 28, 7)
"""Rest between two fights, and shorter alternatives for leagues in which no other fighter is free."""
_DAYS_A_YEAR = 365.25
_LOGIT_SD = 0.94
"""Standard deviation of the true logit in a league whose market sees everything."""


@dataclass(frozen=True, eq=False)
class SimulatedFights:
    """m simulated fights in order; every array has length m.

    Attributes
    ----------
    event
        Number of the event.
    day
        Days since the league's first event.
    first, second
        Indices of the fighters.
    first_age, second_age
        Ages in years on the day.
    rounds
        Scheduled rounds.
    title_bout
        True for a title.
    probability
        True probability that the first fighter wins, given that one of them does.
    unseen
        The part of its logit of which the market knows nothing.
    first_won
        The drawn result.
    """

    event: Indices
    day: Days
    first: Indices
    second: Indices
    first_age: Floats
    second_age: Floats
    rounds: Floats
    title_bout: NDArray[np.bool_]
    probability: Floats
    unseen: Floats
    first_won: NDArray[np.bool_]

    def swap_sides(self, turn: NDArray[np.bool_]) -> SimulatedFights:
        """Return the same fights with first and second swapped where `turn` is True."""
        return SimulatedFights(
            event=self.event,
            day=self.day,
            first=np.where(turn, self.second, self.first),
            second=np.where(turn, self.first, self.second),
            first_age=np.where(turn, self.second_age, self.first_age),
            second_age=np.where(turn, self.first_age, self.second_age),
            rounds=self.rounds,
            title_bout=self.title_bout,
            probability=np.where(turn, 1.0 - self.probability, self.probability),
            unseen=np.where(turn, -self.unseen, self.unseen),
            first_won=self.first_won ^ turn,
        )


def join_cards(cards: list[SimulatedFights]) -> SimulatedFights:
    """Return the fights of several cards as one, in order."""
    return SimulatedFights(
        **{name: np.concatenate([getattr(card, name) for card in cards]) for name in SimulatedFights.__annotations__}
    )


class Matchmaker:
    """The promoter of a league: signs debutants, matches fighters of similar standing, releases losers."""

    def __init__(
        self,
        fighters: SimulatedFighters,
        roster_size: int,
        rng: np.random.Generator,
        market_blindness: float = 0.0,
    ) -> None:
        self.fighters = fighters
        self._market_blindness = market_blindness
        self.birth_day = np.zeros(len(fighters.name))
        self._rng = rng
        self._last_day = np.full(len(fighters.name), _NEVER, dtype=np.int64)
        self._standing = np.zeros(len(fighters.name))
        self._fight_counts = np.zeros(len(fighters.name), dtype=np.int64)
        self._waiting = [list(np.flatnonzero(fighters.weight_class == k)) for k in range(len(WEIGHT_CLASSES))]
        self._signed: list[list[np.intp]] = [[] for _ in WEIGHT_CLASSES]
        self._places = [max(12, round(division.share * roster_size)) for division in WEIGHT_CLASSES]

    def make_card(self, event: int, day: int, size: int, *, veterans_only: bool = False) -> SimulatedFights:
        """Return the next card, main event first. Its fighters are not matched again until rested.

        Parameters
        ----------
        event
            Number of the event.
        day
            Days since the league's first event.
        size
            Number of fights.
        veterans_only
            True to leave out debutants.
        """
        self._sign(day)
        pairs = np.array([self._match(day, veterans_only=veterans_only) for _ in range(size)], dtype=np.intp)
        return self._fights(event, day, (pairs[:, 0], pairs[:, 1]), np.where(np.arange(size) == 0, 5.0, 3.0))

    def replace_second(self, card: SimulatedFights, row: int) -> SimulatedFights:
        """Return a card with another second fighter in one fight, who has fought before and is rested.

        Raises ValidationError if the weight class has no free fighter.
        """
        day, division = int(card.day[row]), int(self.fighters.weight_class[card.first[row]])
        for rest_days in _REST_DAYS:
            free = self._free(self._signed[division], day - rest_days, veterans_only=True)
            if len(free):
                break
        else:
            raise ValidationError("no fighter is free to replace another: take a larger roster or fewer cards")
        second = self._rng.choice(free)
        self._last_day[second] = day
        pair = card.first[row : row + 1], np.array([second], dtype=np.intp)
        fight = self._fights(int(card.event[row]), day, pair, card.rounds[row : row + 1])
        columns = {
            name: np.concatenate([getattr(card, name)[:row], getattr(fight, name), getattr(card, name)[row + 1 :]])
            for name in SimulatedFights.__annotations__
        }
        return SimulatedFights(**(columns | {"title_bout": card.title_bout}))

    def _fights(self, event: int, day: int, pair: tuple[Indices, Indices], rounds: Floats) -> SimulatedFights:
        """Return fights between the first and the second of each pair, main event first."""
        first, second = pair
        size = len(first)
        ages = (day - self.birth_day[first]) / _DAYS_A_YEAR, (day - self.birth_day[second]) / _DAYS_A_YEAR
        # Form on the night: part of the true probability, partly known to bookmakers, never in the statistics.
        form = self._rng.normal(0.0, 0.20, size)
        seen = np.sqrt(1.0 - self._market_blindness) * (true_logit(self.fighters, (first, second), ages, rounds) + form)
        difference = (self.fighters.unpriced[first] - self.fighters.unpriced[second]) / np.sqrt(2.0)
        unseen: Floats = np.sqrt(self._market_blindness) * _LOGIT_SD * difference
        probability: Floats = expit(seen + unseen)
        return SimulatedFights(
            event=np.full(size, event, dtype=np.intp),
            day=np.full(size, day, dtype=np.int64),
            first=first,
            second=second,
            first_age=ages[0],
            second_age=ages[1],
            rounds=rounds,
            title_bout=(np.arange(size) == 0) & (event % 3 == 0),
            probability=probability,
            unseen=unseen,
            first_won=self._rng.random(size) < probability,
        )

    def record_results(self, card: SimulatedFights) -> None:
        """Update the standings after a card and release some fighters: losers and those over 35 more often."""
        winner = np.where(card.first_won, card.first, card.second)
        loser = np.where(card.first_won, card.second, card.first)
        surprise = 1.0 - expit(self._standing[winner] - self._standing[loser])
        self._standing[winner] += 0.45 * surprise
        self._standing[loser] -= 0.45 * surprise
        for group, risk in ((winner, 0.02), (loser, 0.12)):
            self._fight_counts[group] += 1
            age = (card.day - self.birth_day[group]) / _DAYS_A_YEAR
            for gone in group[self._rng.random(len(group)) < risk + 0.15 * (age > 35)]:
                self._signed[self.fighters.weight_class[gone]].remove(gone)

    def _sign(self, day: int) -> None:
        for signed, waiting, places in zip(self._signed, self._waiting, self._places, strict=True):
            while len(signed) < places and waiting:
                debutant = waiting.pop()
                signed.append(debutant)
                self.birth_day[debutant] = np.round(day - self.fighters.debut_age[debutant] * _DAYS_A_YEAR)

    def _match(self, day: int, *, veterans_only: bool) -> tuple[np.intp, np.intp]:
        candidates = self._division(day, veterans_only=veterans_only)
        first = self._rng.choice(candidates)
        others = candidates[candidates != first]
        gap = np.abs(self._standing[others] - self._standing[first])
        distance = gap + 0.10 * np.abs(self._fight_counts[others] - self._fight_counts[first])
        closeness = np.exp(-1.5 * (distance - distance.min()))
        second = self._rng.choice(others, p=closeness / closeness.sum())
        self._last_day[[first, second]] = day
        return first, second

    def _division(self, day: int, *, veterans_only: bool) -> Indices:
        """Return the free fighters of a weight class, drawn in proportion to their number."""
        for rest_days in _REST_DAYS:
            free = [self._free(signed, day - rest_days, veterans_only=veterans_only) for signed in self._signed]
            weight = np.array([len(candidates) if len(candidates) > 1 else 0 for candidates in free], dtype=np.float64)
            if weight.any():
                return free[self._rng.choice(len(free), p=weight / weight.sum())]
        raise ValidationError("no two fighters are free: simulate more fights, fewer upcoming cards or a larger roster")

    def _free(self, signed: list[np.intp], rested_since: int, *, veterans_only: bool) -> Indices:
        candidates = np.array(signed, dtype=np.intp)
        return candidates[
            (self._last_day[candidates] <= rested_since)
            & (self._fight_counts[candidates] >= (1 if veterans_only else 0))
        ]


def draw_endings(bouts: SimulatedFights, fighters: SimulatedFighters, rng: np.random.Generator) -> pd.DataFrame:
    """Return winner (first, second, draw, nc), method and end_time_seconds of every fight."""
    count = len(bouts.day)
    own, other = _skills(bouts, fighters)
    won = np.where(bouts.first_won[:, None], own, other)
    lost = np.where(bouts.first_won[:, None], other, own)
    # Log-weights of decision, knock-out, submission: power beats defence, grappling beats grappling.
    weights = np.stack(
        [
            np.zeros(count),
            0.4 * (won[:, POWER] - lost[:, DEFENCE]) - 0.5,
            0.4 * (won[:, GRAPPLING] - lost[:, GRAPPLING]) - 1.1,
        ],
        axis=1,
    )
    # The largest of weights with Gumbel noise is a draw from their softmax.
    kind = np.argmax(weights + rng.gumbel(size=weights.shape), axis=1)
    split = rng.random(count) < 0.22
    method = np.where(split, "Decision - Split", "Decision - Unanimous")
    method = np.select([kind == 1, kind == 2], ["KO/TKO", "Submission"], method)
    full_seconds = bouts.rounds * 300.0
    finished = np.floor(10.0 + (full_seconds - 20.0) * rng.beta(1.0, 1.6, count))
    winner = np.where(bouts.first_won, "first", "second")
    odd = rng.random(count)
    winner = np.select([odd < 0.009, odd < 0.018], ["draw", "nc"], winner)
    method = np.select([odd < 0.009, odd < 0.018], ["Decision - Majority", "Overturned"], method)
    seconds = np.where(np.char.startswith(method, "Decision"), full_seconds, finished)
    return pd.DataFrame({"winner": winner, "method": method, "end_time_seconds": seconds})


def draw_stat_lines(
    bouts: SimulatedFights, fighters: SimulatedFighters, endings: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Return two stat lines a fight, without its id: all of the first fighters, then all of the second."""
    skills = _skills(bouts, fighters)
    lines = []
    for side, (fought, won) in enumerate(((bouts.first, bouts.first_won), (bouts.second, ~bouts.first_won))):
        counts = _performance(skills[side], skills[1 - side], won, endings, rng)
        lines.append(pd.DataFrame({"fighter_id": fighters.fighter_id[fought], **counts}))
    return pd.concat(lines, ignore_index=True)


def _performance(
    own: Floats, other: Floats, won: NDArray[np.bool_], endings: pd.DataFrame, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Return the statistics of one side: counts that grow with skill and time, and with the form of the night."""
    count = len(own)
    minutes = endings["end_time_seconds"].to_numpy(np.float64) / 60.0
    night = rng.normal(np.where(won, 0.25, -0.25), 0.35)
    attempts = rng.poisson(
        minutes * np.exp(1.95 + 0.30 * own[:, PACE] + 0.10 * own[:, STRIKING] + rng.normal(0.0, 0.2, count))
    )
    landed = rng.binomial(attempts, expit(-0.2 + 0.45 * (own[:, STRIKING] - other[:, DEFENCE]) + 0.4 * night))
    shots = rng.poisson(minutes / 15.0 * np.exp(1.10 + 0.55 * own[:, WRESTLING] + rng.normal(0.0, 0.4, count)))
    takedowns = rng.binomial(shots, takedown_share(own, other))
    held = takedowns * rng.gamma(2.0, 25.0, count) * np.exp(0.4 * (own[:, GRAPPLING] - other[:, GRAPPLING]))
    knocked_out = won & (endings["method"] == "KO/TKO").to_numpy()
    submitted = won & (endings["method"] == "Submission").to_numpy()
    drops = rng.poisson(
        minutes * np.exp(-4.2 + 0.5 * (own[:, POWER] + 0.5 * own[:, STRIKING] - other[:, DEFENCE]) + night)
    )
    holds = rng.poisson(minutes * np.exp(-3.8 + 0.5 * (own[:, GRAPPLING] - 0.5 * other[:, GRAPPLING])))
    return {
        "knockdowns": drops + (knocked_out & (rng.random(count) < 0.6)),
        "submission_attempts": holds + submitted,
        "takedowns_landed": takedowns,
        "takedowns_attempted": shots,
        "significant_strikes_landed": landed,
        "significant_strikes_attempted": attempts,
        # Less than half of the fight each, so that both together fit into it.
        "control_seconds": np.minimum(held, 27.0 * minutes).astype(np.int64),
    }


def _skills(bouts: SimulatedFights, fighters: SimulatedFighters) -> tuple[Floats, Floats]:
    return (
        skills_at_age(fighters, bouts.first, bouts.first_age),
        skills_at_age(fighters, bouts.second, bouts.second_age),
    )
