"""Operations of webhooks, and the messages that they receive."""

from __future__ import annotations

from gateway.api.webhooks import LettersRequest, RotationRequest, WebhookChangeRequest, WebhookRequest
from gateway.security.caller import Role
from gateway.specification.asyncapi import Channel, Event
from gateway.specification.operations import JSON, Answer, Operation, object_of, path_parameter, query
from gateway.specification.table.models import LIMIT
from ledger.contracts.webhooks import (
    CreatedWebhook,
    DeliveryAttempt,
    MissedEvent,
    OutcomeEvent,
    TestEvent,
    Webhook,
    WebhookDeadLetter,
)

TYPES = (DeliveryAttempt, Webhook, WebhookDeadLetter)
_ID = path_parameter("webhook_id", "Id of the webhook.", maxLength=80)
_LIMIT = query("limit", "How many, newest first.", **LIMIT, default=100)
_ROLE = Role.OPERATOR
_UNKNOWN = {404: "There is no webhook with this id."}
_COUNT = {"type": "integer", "minimum": 0}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/webhooks",
        name="listWebhooks",
        tag="webhooks",
        summary="Return all webhooks and how their deliveries go, oldest first.",
        role=_ROLE,
        answers={200: Answer(description="The webhooks.", body=object_of(webhooks=[Webhook]))},
    ),
    Operation(
        method="POST",
        path="/v1/webhooks",
        name="createWebhook",
        tag="webhooks",
        summary="Create a webhook and return it with its secret, which is not shown again.",
        role=_ROLE,
        body=WebhookRequest,
        answers={201: Answer(description="The webhook and its secret.", body=CreatedWebhook, headers=("Location",))},
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/{webhook_id}",
        name="getWebhook",
        tag="webhooks",
        summary="Return a webhook and how its deliveries go.",
        role=_ROLE,
        parameters=(_ID,),
        answers={200: Answer(description="The webhook.", body=Webhook)},
        problems=_UNKNOWN,
    ),
    Operation(
        method="PATCH",
        path="/v1/webhooks/{webhook_id}",
        name="changeWebhook",
        tag="webhooks",
        summary="Change a webhook: its URL, its filters, or whether it is enabled.",
        role=_ROLE,
        parameters=(_ID,),
        body=WebhookChangeRequest,
        answers={200: Answer(description="The webhook as it is now.", body=Webhook)},
        problems=_UNKNOWN,
    ),
    Operation(
        method="DELETE",
        path="/v1/webhooks/{webhook_id}",
        name="deleteWebhook",
        tag="webhooks",
        summary="Delete a webhook with its log, its dead letters and what waits.",
        role=_ROLE,
        parameters=(_ID,),
        answers={204: Answer(description="It is deleted.")},
        problems=_UNKNOWN,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/rotate-secret",
        name="rotateWebhookSecret",
        tag="webhooks",
        summary="Give a webhook a new secret, which is not shown again; the former one signs, too, for a while.",
        role=_ROLE,
        parameters=(_ID,),
        body=RotationRequest,
        body_required=False,
        answers={200: Answer(description="The webhook and its new secret.", body=CreatedWebhook)},
        problems=_UNKNOWN,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/test",
        name="testWebhook",
        tag="webhooks",
        summary="Send an event `webhook.test`; the deliveries show under its message id what became of it.",
        role=_ROLE,
        parameters=(_ID,),
        answers={202: Answer(description="It will be sent.", body=object_of(message_id={"type": "string"}))},
        problems=_UNKNOWN,
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/{webhook_id}/deliveries",
        name="listDeliveries",
        tag="webhooks",
        summary="Return the latest attempts, newest first.",
        role=_ROLE,
        parameters=(_ID, _LIMIT),
        answers={200: Answer(description="The attempts.", body=object_of(deliveries=[DeliveryAttempt]))},
        problems=_UNKNOWN,
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/{webhook_id}/dead-letters",
        name="listWebhookDeadLetters",
        tag="webhooks",
        summary="Return the events that were not delivered, newest first.",
        role=_ROLE,
        parameters=(_ID, _LIMIT),
        answers={200: Answer(description="The events.", body=object_of(dead_letters=[WebhookDeadLetter]))},
        problems=_UNKNOWN,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/dead-letters/replay",
        name="replayWebhookDeadLetters",
        tag="webhooks",
        summary="Send dead letters again, each after what waits for its card.",
        role=_ROLE,
        parameters=(_ID,),
        body=LettersRequest,
        answers={200: Answer(description="How many.", body=object_of(replayed=_COUNT))},
        problems=_UNKNOWN,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/dead-letters/purge",
        name="purgeWebhookDeadLetters",
        tag="webhooks",
        summary="Remove dead letters.",
        role=_ROLE,
        parameters=(_ID,),
        body=LettersRequest,
        answers={200: Answer(description="How many.", body=object_of(purged=_COUNT))},
        problems=_UNKNOWN,
    ),
)

_HEADERS = {
    "webhook-id": {"type": "string", "description": "Id of the event, the same at every attempt: handle it once."},
    "webhook-timestamp": {"type": "string", "description": "Time of the attempt, in seconds since 1970."},
    "webhook-signature": {
        "type": "string",
        "description": "`v1,` and the HMAC-SHA256 of id, timestamp and body in Base64, one for each secret.",
    },
}
CHANNELS = (
    Channel(
        name="webhook",
        address=None,
        title="Webhooks",
        description=(
            "Posted to the URL of a webhook, signed as the Standard Webhooks specification says. A response with "
            "status 2xx ends the delivery, 410 disables the webhook, anything else is tried again over a day. Each "
            "outcome is delivered at least once, those of one card in order."
        ),
        media_type=JSON,
        events=(
            Event(name="outcome", summary="A job has ended.", payload=OutcomeEvent, headers=_HEADERS),
            Event(
                name="missed",
                summary="Outcomes were dropped before they could be delivered.",
                payload=MissedEvent,
                headers=_HEADERS,
            ),
            Event(name="test", summary="Somebody tests the webhook.", payload=TestEvent, headers=_HEADERS),
        ),
    ),
)
