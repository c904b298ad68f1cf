"""Routes of bets: the register, what is at stake, the account, and recording and voiding bets."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, Parameter, RawBody
from litestar.response import Response
from msgspec import Meta, Struct

from gateway.api.operations import MAX_BODY_BYTES, Limit, Reason, read_body
from gateway.api.responses import json_response, require_json
from gateway.security.caller import Caller, Role
from ledger.bets.bet_register import StoredBet
from ledger.contracts.bets import BetMode
from ledger.contracts.jobs import Identifier
from ledger.ledger import Ledger
from producer.betting.bet_requests import place_request, read_request

Mode = Annotated[BetMode | None, Parameter(description="Mode of the bets; default: the present one.")]
AnyMode = Annotated[BetMode | None, Parameter(description="Only bets of this mode.")]
BetId = Annotated[str, Parameter(min_length=1, max_length=200, description="Id of the bet.")]


class VoidRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bets to void, all of them or none: those named, and all open ones on a fight."""

    reason: Reason
    bet_ids: Annotated[tuple[Identifier, ...], Meta(max_length=1000)] = ()
    fight_id: Identifier | None = None


@get("/v1/bets", opt={"role": Role.READER}, sync_to_thread=True)
def list_bets(
    ledger: NamedDependency[Ledger], mode: AnyMode = None, ended: FromQuery[bool] = False, limit: Limit = 100
) -> Response[bytes]:
    """Return open bets, oldest first; with `ended` all bets, newest first."""
    if ended:
        return json_response({"bets": ledger.bets.newest(limit, mode=mode)})
    return json_response({"bets": [StoredBet(bet=bet, state="open") for bet in ledger.bets.open_bets(mode)[:limit]]})


@get("/v1/bets/entries", opt={"role": Role.READER}, sync_to_thread=True)
def list_entries(
    ledger: NamedDependency[Ledger],
    after: Annotated[str, Parameter(max_length=40, description="Place of the last known entry.")] = "0",
    limit: Limit = 100,
) -> Response[bytes]:
    """Return the entries of the register after a place, oldest first."""
    return json_response({"entries": ledger.bets.entries(after, limit)})


@get("/v1/bets/exposure", opt={"role": Role.READER}, sync_to_thread=True)
def get_exposure(ledger: NamedDependency[Ledger], mode: Mode = None) -> Response[bytes]:
    """Return what is at stake by fight, card, bookmaker and week, and the caps."""
    return json_response(ledger.bets.exposure(mode))


@get("/v1/bets/account", opt={"role": Role.READER}, sync_to_thread=True)
def get_account(ledger: NamedDependency[Ledger], mode: Mode = None) -> Response[bytes]:
    """Return bankroll, profit and drawdown."""
    return json_response(ledger.bets.account(mode))


@get("/v1/bets/{bet_id:str}", opt={"role": Role.READER}, sync_to_thread=True)
def get_bet(ledger: NamedDependency[Ledger], bet_id: BetId) -> Response[bytes]:
    """Return a bet and its entries."""
    return json_response({"bet": ledger.bets.get(bet_id), "entries": ledger.bets.history(bet_id)})


@post(
    "/v1/bets",
    opt={"role": Role.PRODUCER},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=201,
    sync_to_thread=True,
)
def place_bet(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], body: RawBody) -> Response[bytes]:
    """Record a bet on a fight of an answered card: 201 if it is new, 200 if it was placed before."""
    require_json(request)
    receipt = place_request(ledger, read_request(body), user=request.user.name)
    return json_response(receipt, 201 if receipt.created else 200)


@post(
    "/v1/bets/void",
    opt={"role": Role.PRODUCER},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def void_bets(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], body: RawBody) -> Response[bytes]:
    """Void open bets: their stakes come back."""
    wish = read_body(request, body, VoidRequest)
    voided = ledger.bets.void(wish.bet_ids, fight_id=wish.fight_id, user=request.user.name, reason=wish.reason)
    return json_response({"voided": voided})


ROUTES = (list_bets, list_entries, get_exposure, get_account, get_bet, place_bet, void_bets)
