"""Bets as they are kept: what was placed, voided and settled, what is at stake, and the room that caps leave.

All amounts are integers of the smallest unit of one currency, such as cents, so that sums are exact. A bet is known by
its id, by default a digest of its job, its fight and its mode, so that placing it twice places it once.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, LedgerError, NotFoundError
from ledger.contracts.jobs import Commission, DecisionRules, Identifier, Moment, Name, Price, Share

BetMode = Literal["paper", "live"]
BetResult = Literal["won", "lost", "void"]
BetState = Literal["open", "won", "lost", "void"]
CapName = Literal["bankroll", "fight", "card", "bookmaker", "week"]

DEFAULT_BANKROLL = 1_000_000
"""Bankroll of paper bets if no operator has set one; in cents, 10,000.00."""
MAX_AMOUNT = 100_000_000_000
"""Largest amount: its product with the 10,000 basis points of a share is an exact number in Lua, too."""
BASIS_POINTS = 10_000
"""The whole, in the unit of shares that operators set."""

Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]


class PlacedBet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bet on one fighter.

    Attributes
    ----------
    bet_id
        Id of the bet; empty for the digest of job, fight and mode.
    job_id, card_id, fight_id
        The job whose answer suggested the bet, its card, and the fight.
    event_start
        Start of the event; its ISO week in UTC is the week of the bet.
    fighters, fighter
        Names as the job spells them, and the one that the bet is on.
    price, commission
        Decimal price as the bookmaker shows it, and the share of the winnings that an exchange keeps.
    stake
        In the smallest unit of the currency.
    probability, lower
        Of the answer: probability of the fighter, and its lower bound at the level of the rules.
    rules
        Rules by which the bet was decided.
    who
        Who placed the bet.
    mode
        `paper`: no money was moved. `live`: the bet was taken, or is about to be, at the bookmaker.
    beyond_caps
        True if the bet had been taken already and was recorded without a check of the caps.
    placed_at
        Time at which the bet was recorded; set by the server.
    """

    bet_id: Annotated[str, Meta(max_length=200)] = ""
    job_id: Identifier
    card_id: Identifier
    fight_id: Identifier
    event_start: Moment
    fighters: tuple[Name, Name]
    fighter: Name
    bookmaker: Name
    price: Price
    commission: Commission = 0.0
    stake: Amount
    probability: Share | None = None
    lower: Share | None = None
    rules: DecisionRules = DecisionRules()
    who: str
    mode: BetMode = "paper"
    beyond_caps: bool = False
    placed_at: datetime | None = None

    @property
    def id(self) -> str:
        """Id of the bet, the digest if none was given."""
        return self.bet_id or default_bet_id(self.job_id, self.fight_id, self.mode)

    @property
    def week(self) -> str:
        """ISO week of the event in UTC, such as `2026-W48`."""
        return iso_week(self.event_start)

    @property
    def payout(self) -> int:
        """What comes back if the bet wins, stake included, net of commission; a fraction of the unit is dropped."""
        won = self.stake * (Decimal(repr(self.price)) - 1) * (1 - Decimal(repr(self.commission)))
        return self.stake + int(won.to_integral_value(ROUND_DOWN))


class BetRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request to record a bet on a fight of an answered card. What is not given is that of the answer's decision.

    Attributes
    ----------
    job_id, fight_id
        The answered card, and the fight.
    stake
        In the smallest unit of the currency.
    fighter, bookmaker, price, commission
        What was really taken.
    bet_id
        Id of the bet; empty for the digest of job, fight and mode. A second bet on a fight by one answer needs its own.
    mode
        By default that of the control `betting`.
    taken
        True if the bet was taken at the bookmaker already: it is recorded whatever the caps say.
    """

    job_id: Identifier
    fight_id: Identifier
    stake: Amount
    fighter: Name | None = None
    bookmaker: Name | None = None
    price: Price | None = None
    commission: Commission | None = None
    bet_id: Annotated[str, Meta(max_length=200)] = ""
    mode: BetMode | None = None
    taken: bool = False


class BetPlaced(Struct, frozen=True, kw_only=True, tag_field="entry", tag="placed"):
    """Entry: a bet was placed."""

    place: str
    at: datetime
    bet: PlacedBet


class BetVoided(Struct, frozen=True, kw_only=True, tag_field="entry", tag="voided"):
    """Entry: an open bet does not count; its stake comes back. `fight_id` and `mode` are those of the bet."""

    place: str
    at: datetime
    bet_id: str
    fight_id: str
    mode: BetMode
    who: str
    reason: str


class BetSettled(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="entry", tag="settled"):
    """Entry: the result of a bet is known.

    Attributes
    ----------
    returned, profit
        What came back, and that minus the stake.
    profit_before
        Profit of the settlement that this one reverses, 0 for a first one.
    reverses
        Place of the settlement that this one reverses and replaces, None for a first one.
    """

    place: str
    at: datetime
    bet_id: str
    fight_id: str
    mode: BetMode
    result: BetResult
    returned: int
    profit: int
    who: str
    profit_before: int = 0
    reverses: str | None = None


BetEntry = BetPlaced | BetVoided | BetSettled
"""One entry. Entries are never changed or removed; `place` orders them."""


class BetReceipt(Struct, frozen=True, kw_only=True):
    """What became of a request to place a bet. `created` is False if the same bet was placed before."""

    bet: PlacedBet
    created: bool
    state: BetState = "open"


class Exposure(Struct, frozen=True, kw_only=True):
    """Stakes of all open bets of a mode, and the caps on them in the same unit; None for no cap.

    `caps` are for each fight, each card, each bookmaker, each week, and (`bankroll`) for all bets together.
    """

    mode: BetMode
    bankroll: int
    total: int
    fights: dict[str, int]
    cards: dict[str, int]
    bookmakers: dict[str, int]
    weeks: dict[str, int]
    caps: dict[CapName, int | None]


class BetAccount(Struct, frozen=True, kw_only=True):
    """Account of all bets of a mode.

    Attributes
    ----------
    start
        The bankroll as the operator set it: what was paid in, minus what was taken out.
    bankroll
        `start` plus the profit of all settled bets. Open stakes are a part of it.
    peak
        `start` plus the highest that the profit has been: a deposit is no gain, a withdrawal is no loss.
    drawdown
        `peak` minus `bankroll`.
    stopped
        True if the drawdown has reached `drawdown_stop`: no bet may be placed.
    staked
        Stakes of the bets that won or lost.
    """

    mode: BetMode
    start: int
    bankroll: int
    peak: int
    drawdown: int
    stopped: bool
    staked: int
    profit: int
    open: int
    placed: int
    open_bets: int
    won: int
    lost: int
    void: int

    @property
    def drawdown_share(self) -> float:
        """Drawdown as a share of the peak."""
        return self.drawdown / self.peak if self.peak > 0 else 0.0


class BettingRoom(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the caps leave for further bets of a card, read once when its job is claimed.

    Amounts are integers of the smallest unit; None or absent for no cap. Kept with the outcome, because it can change
    the stakes.

    Attributes
    ----------
    bankroll
        The bankroll of which stakes are shares.
    min_stake
        A stake that the caps shrink below this amount is no bet.
    stopped
        True if the drawdown stop is reached.
    total, card, week
        For all bets together, for the card, for the week of its event.
    fights, bookmakers
        For each fight of the card, and each bookmaker that prices one of them.
    """

    mode: BetMode
    bankroll: int
    min_stake: int = 1
    stopped: bool = False
    total: int | None = None
    card: int | None = None
    week: int | None = None
    fights: dict[str, int] = {}
    bookmakers: dict[str, int] = {}


class BetRefusedError(JobRefusedError):
    """A bet was not placed; nothing was written.

    Attributes
    ----------
    cap
        What refuses it: a cap, or `betting`, `drawdown_stop`, `started`, `superseded`, `min_stake`, `once`.
    limit, room
        The cap's amount and what is left of it; None if it is not about an amount.
    """

    def __init__(self, cap: str, message: str, *, limit: int | None = None, room: int | None = None) -> None:
        details = {"cap": cap} | {name: n for name, n in (("limit", limit), ("room", room)) if n is not None}
        super().__init__(Failure(code=FailureCode.INVALID_INPUT, message=message, details=details))
        self.cap = cap
        self.limit = limit
        self.room = room


class BetConflictError(LedgerError):
    """Another bet has this id, or the bet is in a state that does not allow the change; nothing was written."""


class UnknownBetError(NotFoundError):
    """There is no such bet."""


def default_bet_id(job_id: str, fight_id: str, mode: BetMode) -> str:
    """Return the id of a bet that names none."""
    return hashlib.sha256("\0".join((job_id, fight_id, mode)).encode()).hexdigest()[:32]


def iso_week(moment: datetime) -> str:
    """Return the ISO week of a time in UTC, such as `2026-W48`."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02d}"
