"""Cards and reports drawn at random in the shape of the contracts, to make a dictionary and to measure sizes.

Every number has its full length and follows from the others as in a real answer: probabilities are multiples of 2**-40,
the second fighter's are complements, and values and stakes are computed from probabilities and prices.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from ledger.contracts.job_reports.update_report import FighterState
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.provenance import Provenance, RuntimeEnvironment
from ledger.contracts.reports import (
    Bet,
    CardReport,
    Decision,
    FighterAnswer,
    FightReport,
    Interval,
    IntervalMethod,
    Market,
    MarketAware,
    ServedState,
    WidthShares,
)

BOOKMAKERS = (
    "pinnacle", "draftkings", "fanduel", "betmgm", "betonlineag", "betus", "bovada", "williamhill_us", "betrivers",
    "mybookieag", "lowvig", "ballybet", "espnbet", "unibet_eu", "betfair_ex_eu", "betanything",
)  # fmt: skip
_WEIGHT_CLASSES = (
    "Flyweight", "Bantamweight", "Featherweight", "Lightweight", "Welterweight", "Middleweight", "Light Heavyweight",
    "Heavyweight", "Women's Strawweight", "Women's Flyweight", "Women's Bantamweight", "Catch Weight",
)  # fmt: skip
_SYLLABLES = (
    "an", "ar", "be", "bo", "ca", "cha", "da", "de", "do", "el", "er", "ga", "ge", "ha", "hi", "ja", "jo", "ka", "ko",
    "la", "le", "li", "lo", "ma", "me", "mi", "mo", "na", "ne", "ni", "no", "o", "pe", "ra", "re", "ri", "ro", "sa",
    "se", "sha", "si", "so", "ta", "te", "ti", "to", "va", "vi", "wa", "ya", "za",
)  # fmt: skip
_REASONS = (("price_too_low",), ("price_too_low", "high_uncertainty"), ("low_confidence",), ("high_uncertainty",))
_FLAGS = ("corner_unknown", "few_fights", "features_imputed", "stale_fight_log", "past_odds_missing", "debutant")
_PROCESSORS = ("x86_64 Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "x86_64 AMD EPYC 7R13", "aarch64 Neoverse-N1")
_LEVELS = (0.8, 0.95)
_STEPS = 2**40
_Choice = TypeVar("_Choice")
_BEGIN = datetime(2026, 1, 3, 22, tzinfo=UTC)


class SampleCards:
    """A source of cards and their answers; the same seed gives the same ones."""

    def __init__(self, seed: int, *, bookmakers: Sequence[str] = BOOKMAKERS) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._bookmakers = bookmakers

    def card(self, fights: int, books: int, *, name: str | None = None, start: datetime | None = None) -> PredictCard:
        """Return a card; its id is drawn, too, unless it is given."""
        start = start or _BEGIN + timedelta(days=7 * self._below(150), minutes=15 * self._below(16))
        quoted = self._bookmakers[:books] if self._chance(0.5) else self._some(self._bookmakers, books)
        read = start - timedelta(seconds=60 + self._below(7 * 86_400))
        drawn = tuple(self._fight(quoted, read) for _ in range(fights))
        name = name or f"mma_mixed_martial_arts@{start:%Y-%m-%dT%H:%M:%SZ}"
        return PredictCard(card_id=name, event_start=start, fights=drawn)

    def report(self, asked: PredictCard) -> CardReport:
        """Return an answer with every part that a card's answer usually has."""
        cutoff = asked.event_start.date() - timedelta(days=7)
        return CardReport(
            card_id=asked.card_id,
            model=self._hex(64),
            data_cutoff=date(2025, 12, 20),
            fights=tuple(self._answer(fight) for fight in asked.fights),
            state=ServedState(digest=self._hex(64), cutoff=cutoff, age_days=7) if self._chance(0.7) else None,
        )

    def provenance(self, answered: CardReport) -> Provenance:
        """Return the provenance of an answer, as a pool states it."""
        versions = {
            name: f"{self._below(4)}.{self._below(20)}.{self._below(10)}"
            for name in (
                "cornerman",
                "numpy",
                "python",
                "scikit-learn",
                "scipy",
                "xgboost",
                "msgspec",
                "numba",
                "pandas",
            )
        }
        states = {}
        if (state := answered.state) is not None:
            states[answered.model] = FighterState(digest=state.digest, cutoff=state.cutoff)
        return Provenance(
            claimed_at=_BEGIN + timedelta(microseconds=self._below(10**13)),
            models={"champion": answered.model},
            controls={},
            surroundings=RuntimeEnvironment(processor=self._one(_PROCESSORS), libraries=versions),
            devig_method="power",
            states=states,
        )

    def _fight(self, bookmakers: Sequence[str], read: datetime) -> Fight:
        names = self._name(), self._name()
        fair = 0.15 + 0.7 * self._random.random()
        quotes = tuple(self._quote(bookmaker, names, fair, read) for bookmaker in bookmakers)
        corners = ("red", "blue") if self._chance(0.3) else ("unknown", "unknown")
        fighters = tuple(Fighter(name=name, corner=corner) for name, corner in zip(names, corners, strict=True))  # type: ignore[arg-type]
        return Fight(
            id=self._hex(32),
            fighters=(fighters[0], fighters[1]),
            quotes=quotes,
            weight_class=self._one(_WEIGHT_CLASSES) if self._chance(0.4) else None,
            scheduled_rounds=(5 if self._chance(0.1) else 3) if self._chance(0.4) else None,
        )

    def _quote(self, bookmaker: str, names: tuple[str, str], fair: float, read: datetime) -> Quote:
        shown = min(0.95, max(0.05, fair + 0.03 * (self._random.random() - 0.5)))
        prices = (self._price(shown * 1.05), self._price((1 - shown) * 1.05))
        return Quote(
            bookmaker=bookmaker,
            prices=dict(zip(names, prices, strict=True)),
            as_of=read - timedelta(seconds=self._below(50)),
            **self._commission,
        )

    @property
    def _commission(self) -> dict[str, float]:
        return {"commission": float("0.0")} if self._chance(0.6) else {}

    def _price(self, implied: float) -> float:
        """Return a price as American odds give it, or with two digits."""
        profit = 1 / min(implied, 0.97) - 1
        if self._american:
            return 1 + (round(100 * profit) / 100 if profit >= 1 else 100 / round(100 / profit))
        return round(1 + max(profit, 0.01), 2)

    @property
    def _american(self) -> bool:
        return len(self._bookmakers) == len(BOOKMAKERS) and self._chance(0.5)

    def _answer(self, fight: Fight) -> FightReport:
        own, market = self._probability(), self._random.random()
        aware = self._probability()
        intervals = tuple(self._bounds(own, width) for width in (0.15, 0.25))
        band = tuple(self._bounds(aware, width) for width in (0.05, 0.08))
        sampling, error = self._bounds(own, 0.03), self._random.random() / 100
        members = {name: self._probability() for name in ("random_forest", "xgboost", "neural_network")}
        judged, judged_aware = self._random.random(), self._random.random()
        sides = []
        for side, fighter in enumerate(fight.fighters):
            turned = side == 1
            probability = 1.0 - own if turned else own
            lower = 1.0 - intervals[0][1] if turned else intervals[0][0]
            sides.append(
                FighterAnswer(
                    name=fighter.name,
                    fighter_id=fighter.name.casefold().replace(" ", ""),
                    probability=probability,
                    intervals=_intervals(intervals, "anchored", turned=turned),
                    sampling_interval=Interval(
                        level=0.95,
                        lower=1.0 - sampling[1] if turned else sampling[0],
                        upper=1.0 - sampling[0] if turned else sampling[1],
                        method="bootstrap_percentile",
                        monte_carlo_error=error,
                    ),
                    members={name: 1.0 - value if turned else value for name, value in members.items()},
                    market_probability=1.0 - market if turned else market,
                    market_aware=MarketAware(
                        probability=1.0 - aware if turned else aware,
                        band=_intervals(band, "market_assumption", turned=turned),
                    ),
                    best=_bet(
                        fight,
                        fighter.name,
                        (probability, lower),
                        1.0 - judged if turned else judged,
                        1.0 - judged_aware if turned else judged_aware,
                    ),
                )
            )
        noise = self._random.random()
        return FightReport(
            id=fight.id,
            fighters=(sides[0], sides[1]),
            decision=self._decision(sides),
            market=Market(
                method="power",
                bookmakers=tuple(sorted(quote.bookmaker for quote in fight.quotes)),
                overround=1.0 + self._random.random() / 10,
            ),
            flags=self._some(_FLAGS, self._below(3)),
            width_shares=WidthShares(market_noise=noise, not_learnt=1.0 - noise, allowance=0.0),
        )

    def _decision(self, sides: Sequence[FighterAnswer]) -> Decision:
        best = sides[0].best
        if best is None or self._chance(0.7):
            return Decision(action="abstain", reasons=self._one(_REASONS))
        return Decision(
            action="bet",
            reasons=("lower_bound_pays",),
            fighter=sides[0].name,
            bookmaker=best.bookmaker,
            price=best.price,
            stake_fraction=self._random.random() / 20,
        )

    def _bounds(self, centre: float, width: float) -> tuple[float, float]:
        low, high = (self._random.random() * width for _ in range(2))
        return max(0.0, _on_grid(centre - low)), min(1.0, _on_grid(centre + high))

    def _probability(self) -> float:
        return _on_grid(0.05 + 0.9 * self._random.random())

    def _name(self) -> str:
        words = ("".join(self._parts(1 + self._below(3))) for _ in range(2 if self._chance(0.9) else 3))
        return " ".join(word.capitalize() for word in words)

    def _parts(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield self._one(_SYLLABLES)

    def _hex(self, digits: int) -> str:
        return "".join(self._one("0123456789abcdef") for _ in range(digits))

    # Only `random()` gives the same numbers in all versions of Python.
    def _below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _one(self, choices: Sequence[_Choice]) -> _Choice:
        return choices[self._below(len(choices))]

    def _some(self, choices: Sequence[str], count: int) -> tuple[str, ...]:
        left = list(choices)
        return tuple(left.pop(self._below(len(left))) for _ in range(min(count, len(left))))


def _on_grid(value: float) -> float:
    return round(value * _STEPS) / _STEPS


def _intervals(bounds: Sequence[tuple[float, float]], method: IntervalMethod, *, turned: bool) -> tuple[Interval, ...]:
    return tuple(
        Interval(
            level=level,
            lower=1.0 - upper if turned else lower,
            upper=1.0 - lower if turned else upper,
            method=method,
        )
        for level, (lower, upper) in zip(_LEVELS, bounds, strict=True)
    )


def _bet(fight: Fight, name: str, own: tuple[float, float], market: float, aware: float) -> Bet | None:
    if not fight.quotes:
        return None
    best = max(fight.quotes, key=lambda quote: quote.prices[name])
    price = best.prices[name]
    values = tuple(probability * price - 1.0 for probability in own)
    stakes = tuple(max(0.0, value / (price - 1.0)) for value in values)
    return Bet(
        bookmaker=best.bookmaker,
        price=price,
        expected_value=values[0],
        expected_value_lower=values[1],
        kelly_fraction=stakes[0],
        kelly_fraction_lower=stakes[1],
        market_probability=market,
        market_edge=market * price - 1.0,
        without_own_quote=True,
        market_aware_probability=aware,
        market_aware_edge=aware * price - 1.0,
    )
