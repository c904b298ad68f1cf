"""Routes of webhooks: create, change, rotate the secret, deliveries, dead letters. All need the role operator."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import Parameter, RawBody
from litestar.response import Response
from msgspec import Meta, Struct

from gateway.api.operations import MAX_BODY_BYTES, Limit, read_body
from gateway.api.responses import json_response
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import FailureCode
from ledger.contracts.webhooks import WebhookChange, WebhookDefinition
from ledger.ledger import Ledger
from ledger.webhooks.webhook_store import MAX_OVERLAP_SECONDS

WebhookId = Annotated[str, Parameter(min_length=1, max_length=80, description="Id of the webhook.")]
_OPERATOR = {"role": Role.OPERATOR}


class WebhookRequest(WebhookDefinition, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A webhook to create. It receives what is settled after the place `after` in the stream: `$` from now on."""

    after: Annotated[str, Meta(min_length=1, max_length=40)] = "$"


class WebhookChangeRequest(WebhookChange, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A change of a webhook; what is absent stays as it is."""


class RotationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the former secret signs, too."""

    overlap_seconds: Annotated[float, Meta(ge=0, le=MAX_OVERLAP_SECONDS)] = 86_400.0


class LettersRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters: the ids of some, or all."""

    ids: Annotated[tuple[Annotated[str, Meta(pattern="^[0-9]{1,16}$")], ...], Meta(max_length=1000)] = ()
    all: bool = False


@get("/v1/webhooks", opt=_OPERATOR, sync_to_thread=True)
def list_webhooks(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return all webhooks and how their deliveries go, oldest first."""
    return json_response({"webhooks": ledger.webhooks.all()})


@post("/v1/webhooks", opt=_OPERATOR, request_max_body_size=MAX_BODY_BYTES, status_code=201, sync_to_thread=True)
def create_webhook(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], body: RawBody
) -> Response[bytes]:
    """Create a webhook and return it with its secret, which is not shown again."""
    wish = read_body(request, body, WebhookRequest)
    names = WebhookDefinition.__struct_fields__
    definition = WebhookDefinition(**{name: getattr(wish, name) for name in names})
    created = ledger.webhooks.create(definition, user=request.user.name, after=wish.after)
    return json_response(created, 201, Location=f"/v1/webhooks/{created.webhook.id}")


@get("/v1/webhooks/{webhook_id:str}", opt=_OPERATOR, sync_to_thread=True)
def get_webhook(ledger: NamedDependency[Ledger], webhook_id: WebhookId) -> Response[bytes]:
    """Return a webhook and how its deliveries go."""
    return json_response(ledger.webhooks.get(webhook_id))


@patch("/v1/webhooks/{webhook_id:str}", opt=_OPERATOR, request_max_body_size=MAX_BODY_BYTES, sync_to_thread=True)
def change_webhook(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], webhook_id: WebhookId, body: RawBody
) -> Response[bytes]:
    """Change a webhook: its URL, its filters, or whether it is enabled."""
    change = read_body(request, body, WebhookChangeRequest)
    return json_response(ledger.webhooks.change(webhook_id, change, user=request.user.name))


@delete("/v1/webhooks/{webhook_id:str}", opt=_OPERATOR, status_code=204, sync_to_thread=True)
def delete_webhook(ledger: NamedDependency[Ledger], webhook_id: WebhookId) -> None:
    """Delete a webhook with its log, its dead letters and what waits."""
    ledger.webhooks.delete(webhook_id)


@post(
    "/v1/webhooks/{webhook_id:str}/rotate-secret",
    opt=_OPERATOR,
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def rotate_secret(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], webhook_id: WebhookId, body: RawBody
) -> Response[bytes]:
    """Give a webhook a new secret, which is not shown again; the former one signs, too, for a while."""
    wish = read_body(request, body, RotationRequest) if body else RotationRequest()
    user = request.user.name
    return json_response(ledger.webhooks.rotate_secret(webhook_id, user=user, overlap_seconds=wish.overlap_seconds))


@post("/v1/webhooks/{webhook_id:str}/test", opt=_OPERATOR, status_code=202, sync_to_thread=True)
def test_webhook(ledger: NamedDependency[Ledger], webhook_id: WebhookId) -> Response[bytes]:
    """Send an event `webhook.test`; the deliveries show under its message id what became of it."""
    return json_response({"message_id": ledger.webhooks.test(webhook_id)}, 202)


@get("/v1/webhooks/{webhook_id:str}/deliveries", opt=_OPERATOR, sync_to_thread=True)
def list_deliveries(ledger: NamedDependency[Ledger], webhook_id: WebhookId, limit: Limit = 100) -> Response[bytes]:
    """Return the latest attempts, newest first."""
    return json_response({"deliveries": ledger.webhooks.deliveries(webhook_id, limit)})


@get("/v1/webhooks/{webhook_id:str}/dead-letters", opt=_OPERATOR, sync_to_thread=True)
def list_webhook_dead_letters(
    ledger: NamedDependency[Ledger], webhook_id: WebhookId, limit: Limit = 100
) -> Response[bytes]:
    """Return the events that were not delivered, newest first."""
    return json_response({"dead_letters": ledger.webhooks.dead_letters(webhook_id, limit)})


@post(
    "/v1/webhooks/{webhook_id:str}/dead-letters/replay",
    opt=_OPERATOR,
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def replay_webhook_dead_letters(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], webhook_id: WebhookId, body: RawBody
) -> Response[bytes]:
    """Send dead letters again, each after what waits for its card."""
    return json_response({"replayed": ledger.webhooks.replay(webhook_id, _chosen(request, body))})


@post(
    "/v1/webhooks/{webhook_id:str}/dead-letters/purge",
    opt=_OPERATOR,
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def purge_webhook_dead_letters(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], webhook_id: WebhookId, body: RawBody
) -> Response[bytes]:
    """Remove dead letters."""
    return json_response({"purged": ledger.webhooks.purge(webhook_id, _chosen(request, body))})


def _chosen(request: Request[Caller, Any, Any], body: bytes) -> tuple[str, ...] | None:
    """Return the ids of a request, None for all. Raises ProblemError (422)."""
    wish = read_body(request, body, LettersRequest)
    if wish.all == bool(wish.ids):
        raise ProblemError(422, "the body: give `ids`, or `all` as true", code=FailureCode.INVALID_INPUT)
    return None if wish.all else wish.ids


ROUTES = (
    list_webhooks,
    create_webhook,
    get_webhook,
    change_webhook,
    delete_webhook,
    rotate_secret,
    test_webhook,
    list_deliveries,
    list_webhook_dead_letters,
    replay_webhook_dead_letters,
    purge_webhook_dead_letters,
)
