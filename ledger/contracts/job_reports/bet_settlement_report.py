"""The report of settling bets."""

from __future__ import annotations

from msgspec import Struct, field

from ledger.contracts.jobs import current_schema_version


class BetSettlementReport(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="bet_settlement_report"
):
    """The report of a `SettleBets`.

    Attributes
    ----------
    won, lost, void
        Numbers of the bets that this job settled.
    resettled
        Those of them that were settled otherwise before (control `resettle_bets`).
    profit
        Profit of these bets, minus what their earlier settlements had counted.
    open
        Number of open bets that are left.
    waiting
        Ids of those of them whose event began more than a day ago and that have no result.
    unclear
        Ids of open bets whose results contradict each other: a person has to settle or void them.
    """

    schema_version: int = field(default_factory=current_schema_version)
    won: int
    lost: int
    void: int
    resettled: int
    profit: int
    open: int
    waiting: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
