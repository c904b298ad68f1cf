"""Operations of bets."""

from __future__ import annotations

from gateway.api.bets import VoidRequest
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, Parameter, object_of, path_parameter, query
from gateway.specification.schemas import TEMPLATE, Schema
from gateway.specification.table.models import LIMIT
from ledger.bets.bet_register import StoredBet
from ledger.contracts.bets import (
    BetAccount,
    BetPlaced,
    BetReceipt,
    BetRequest,
    BetSettled,
    BetVoided,
    Exposure,
    PlacedBet,
)

TYPES = (PlacedBet, StoredBet, BetPlaced, BetVoided, BetSettled)
ENTRY: Schema = {
    "oneOf": [{"$ref": TEMPLATE.format(name=kind.__name__)} for kind in (BetPlaced, BetVoided, BetSettled)]
}
ENTRIES: Schema = {"type": "array", "items": ENTRY}
_NO_BET = {404: "There is no such bet."}


def _mode(description: str) -> Parameter:
    return query("mode", description, type="string", enum=["paper", "live"])


MODE = _mode("Mode of the bets; default: the present one.")
ANY_MODE = _mode("Only bets of this mode.")

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/bets",
        name="listBets",
        tag="bets",
        summary="Return open bets, oldest first.",
        role=Role.READER,
        parameters=(
            ANY_MODE,
            query("ended", "Return all bets, newest first.", type="boolean", default=False),
            query("limit", "How many.", **LIMIT, default=100),
        ),
        answers={200: Answer(description="The bets with their states.", body=object_of(bets=[StoredBet]))},
    ),
    Operation(
        method="GET",
        path="/v1/bets/entries",
        name="listBetEntries",
        tag="bets",
        summary="Return the entries of the register of bets after a place, oldest first.",
        description="Entries are never changed or removed: continue after the `place` of the last one.",
        role=Role.READER,
        parameters=(
            query("after", "Place of the last known entry.", type="string", maxLength=40, default="0"),
            query("limit", "How many.", **LIMIT, default=100),
        ),
        answers={200: Answer(description="The entries.", body=object_of(entries=ENTRIES))},
        problems={422: "`after` is no place."},
    ),
    Operation(
        method="GET",
        path="/v1/bets/exposure",
        name="getExposure",
        tag="bets",
        summary="Return what is at stake by fight, card, bookmaker and week, and the caps.",
        role=Role.READER,
        parameters=(MODE,),
        answers={200: Answer(description="Open stakes and caps.", body=Exposure)},
    ),
    Operation(
        method="GET",
        path="/v1/bets/account",
        name="getBetAccount",
        tag="bets",
        summary="Return bankroll, profit and drawdown.",
        role=Role.READER,
        parameters=(MODE,),
        answers={200: Answer(description="The account.", body=BetAccount)},
    ),
    Operation(
        method="GET",
        path="/v1/bets/{bet_id}",
        name="getBet",
        tag="bets",
        summary="Return a bet and its entries.",
        role=Role.READER,
        parameters=(path_parameter("bet_id", "Id of the bet."),),
        answers={200: Answer(description="The bet.", body=object_of(bet=StoredBet, entries=ENTRIES))},
        problems=_NO_BET,
    ),
    Operation(
        method="POST",
        path="/v1/bets",
        name="placeBet",
        tag="bets",
        summary="Record a bet on a fight of an answered card.",
        description=(
            "What is not given is that of the answer's decision. Without `taken` the caps are checked in the step that "
            "records the bet; a refusal has `cap`, `limit` and `room` in `details`. The same bet again has no effect."
        ),
        role=Role.PRODUCER,
        body=BetRequest,
        answers={
            201: Answer(description="The bet is recorded.", body=BetReceipt),
            200: Answer(description="It was recorded before; `created` is false.", body=BetReceipt),
        },
        problems={
            404: "There is no such job.",
            409: "Another bet has this id; nothing was written.",
            410: "The job is forgotten.",
        },
    ),
    Operation(
        method="POST",
        path="/v1/bets/void",
        name="voidBets",
        tag="bets",
        summary="Void open bets: their stakes come back.",
        role=Role.PRODUCER,
        body=VoidRequest,
        answers={
            200: Answer(
                description="The bets that were voided now.",
                body=object_of(voided={"type": "array", "items": {"type": "string"}}),
            )
        },
        problems={**_NO_BET, 409: "A bet is settled already; nothing was voided."},
    ),
)
