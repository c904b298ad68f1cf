"""Operations of price histories and changes of fights."""

from __future__ import annotations

from gateway.api.prices import PriceHistoryReply
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, object_of, path_parameter, query
from gateway.specification.table.models import LIMIT
from ledger.contracts.fight_changes import FightChange

TYPES = (FightChange,)

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/fights/{fight_id}/prices",
        name="getPrices",
        tag="jobs",
        summary="Return the price history of a fight with its close, or the quotes at a moment.",
        description=(
            "Only changes are kept. A quote is known from its reading on, so a moment never shows later quotes. "
            "Histories that have left the server are read from the archive in the store of the pools."
        ),
        role=Role.READER,
        parameters=(
            path_parameter("fight_id", "Id of the fight at its source."),
            query("at", "Only what had been read by this moment.", type="string", format="date-time"),
        ),
        answers={200: Answer(description="The prices.", body=PriceHistoryReply)},
        problems={
            404: "There are no prices of this fight.",
            422: "The prices are archived where this gateway cannot read them; `detail` says what to set.",
        },
    ),
    Operation(
        method="GET",
        path="/v1/feeds/{name}/changes",
        name="listFightChanges",
        tag="jobs",
        summary="Return what has changed about the fights of a feed besides prices, newest first.",
        description=(
            "Moved starts, replaced fighters, fights that the feed stopped listing before their start (`withdrawn`) or "
            "lists again (`returned`), and bouts that have another id now, each once; with the bets that were voided, "
            "and those that a person has to check. `pending` are changes whose bets are being ended."
        ),
        role=Role.READER,
        parameters=(
            path_parameter("name", "Name of the feed.", maxLength=64),
            query("limit", "How many, newest first.", **LIMIT, default=100),
        ),
        answers={200: Answer(description="The changes.", body=object_of(changes=[FightChange], pending=[FightChange]))},
        problems={404: "No feed has this name."},
    ),
)
