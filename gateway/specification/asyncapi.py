"""The AsyncAPI 3 document: the event streams, and the messages that are sent to webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gateway.specification.openapi import TITLE
from gateway.specification.operations import EVENT_STREAM, JSON, Body, Parameter, reference
from gateway.specification.schemas import Schema, reached

ABOUT = (
    "What the gateway sends without being asked again: server-sent events over HTTP, and webhooks. The fields `event` "
    "and `id` of a server-sent event are the headers of its message here; its `data` is the payload, JSON on one line. "
    "openapi.json describes the requests."
)


class Event(Struct, frozen=True, kw_only=True):
    """A message of a channel. `headers` are schemas by name: fields of a server-sent event, or HTTP headers."""

    name: str
    summary: str
    payload: Body
    headers: Mapping[str, Schema]
    examples: Sequence[Any] = ()


class Channel(Struct, frozen=True, kw_only=True):
    """A stream of messages to one reader: of a path of the gateway, or of an address that a subscription names."""

    name: str
    address: str | None
    title: str
    description: str
    media_type: str
    parameters: Sequence[Parameter] = ()
    events: Sequence[Event]


def asyncapi(channels: Sequence[Channel], schemas: Mapping[str, Schema], version: str) -> Schema:
    """Return the document; `schemas` are all component schemas by name, `version` that of the package."""
    messages = {f"{channel.name}.{event.name}": _message(event) for channel in channels for event in channel.events}
    events = [event for channel in channels for event in channel.events]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": version, "description": ABOUT},
        "defaultContentType": JSON,
        "servers": {
            "gateway": {
                "host": "localhost:8080",
                "protocol": "http",
                "description": "`cornerman serve` with its defaults",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": {f"send_{channel.name}": _sending(channel) for channel in channels},
        "components": {
            "messages": messages,
            "schemas": {
                name: to_draft_7(schemas[name])
                for name in sorted(reached([reference(event.payload) for event in events], schemas))
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of `cornerman tokens create`."}
            },
        },
    }


def to_draft_7(schema: Any) -> Any:
    """Return a schema in AsyncAPI's dialect, draft 7, which has other words for tuples and discriminators."""
    if isinstance(schema, list):
        return [to_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "prefixItems" in schema:
        others = {key: value for key, value in schema.items() if key not in ("prefixItems", "items")}
        schema = {**others, "items": schema["prefixItems"], "additionalItems": schema.get("items", True)}
    return {
        key: value["propertyName"]
        if key == "discriminator" and isinstance(value, dict) and "propertyName" in value
        else to_draft_7(value)
        for key, value in schema.items()
    }


def _channel(channel: Channel) -> Schema:
    described: Schema = {
        "address": channel.address,
        "title": channel.title,
        "description": channel.description,
        "messages": {
            event.name: {"$ref": f"#/components/messages/{channel.name}.{event.name}"} for event in channel.events
        },
    }
    if channel.address is not None:
        described["servers"] = [{"$ref": "#/servers/gateway"}]
    path = {each.name: {"description": each.description} for each in channel.parameters if each.place == "path"}
    if path:
        described["parameters"] = path
    return described


def _sending(channel: Channel) -> Schema:
    method = "GET" if channel.media_type == EVENT_STREAM else "POST"
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "title": channel.title,
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{event.name}"} for event in channel.events],
        "bindings": {"http": {"method": method, "bindingVersion": "0.3.0"}},
    }


def _message(event: Event) -> Schema:
    described: Schema = {
        "name": event.name,
        "summary": event.summary,
        "contentType": JSON,
        "headers": {"type": "object", "properties": dict(event.headers), "required": sorted(event.headers)},
        "payload": reference(event.payload),
    }
    if event.examples:
        described["examples"] = [{"payload": example} for example in event.examples]
    return described
