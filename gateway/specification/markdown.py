"""The page of the HTTP interface in the documentation: operations, event streams and errors, as Markdown."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from gateway.specification.asyncapi import Channel
from gateway.specification.openapi import TAGS
from gateway.specification.operations import JSON, Answer, Body, Operation
from gateway.specification.schemas import Schema

_COLUMNS = 100
_ABOUT = (
    "Generated from the table of operations. A gateway serves the same as OpenAPI 3.1 (`/openapi.json`), AsyncAPI 3 "
    "(`/asyncapi.json`), JSON Schemas of the message types (`/schemas/NAME.json`), and a page for people "
    "(`/reference`). How to call it: [guide for HTTP callers](../guides/http.md)."
)


def markdown_page(operations: Sequence[Operation], channels: Sequence[Channel]) -> str:
    """Return the page; the arguments are those of `openapi` and `asyncapi`."""
    lines = ["# HTTP interface", "", *_text(_ABOUT)]
    for tag, about in TAGS.items():
        chosen = [operation for operation in operations if operation.tag == tag]
        if chosen:
            lines += [f"## {tag.capitalize()}", "", *_text(about)]
            lines += [line for operation in chosen for line in _operation(operation)]
    lines += ["## Messages", "", *_text("What event streams and webhooks send.")]
    lines += [line for channel in channels for line in _channel(channel)]
    return "\n".join(lines).rstrip() + "\n"


def _operation(operation: Operation) -> Iterator[str]:
    yield from (f"### `{operation.method} {operation.path}`", "")
    role = "No token is needed." if operation.role is None else f"Role: {operation.role.name.lower()}."
    yield from _text(f"{operation.summary} {operation.description}".strip())
    yield from _text(role if operation.body is None else f"{role} Body: {_body(operation.body)}.")
    if operation.parameters:
        yield from ("| parameter | in | value | meaning |", "|---|---|---|---|")
        for each in operation.parameters:
            name = f"`{each.name}`" + (" (required)" if each.required else "")
            yield f"| {name} | {each.place} | {_value(each.schema)} | {_cell(each.description)} |"
        yield ""
    yield from ("| status | meaning | body |", "|---|---|---|")
    for status, answer in operation.answers.items():
        yield f"| {status} | {_cell(answer.description)} | {_answer(answer)} |"
    for status, reason in operation.all_problems.items():
        yield f"| {status} | {_cell(reason)} | `Problem` |"
    yield ""


def _channel(channel: Channel) -> Iterator[str]:
    yield from (f"### {channel.title}", "", *_text(channel.description))
    yield from ("| message | meaning | payload |", "|---|---|---|")
    for event in channel.events:
        yield f"| `{event.name}` | {_cell(event.summary)} | {_body(event.payload)} |"
    yield ""


def _answer(answer: Answer) -> str:
    if answer.body is None:
        return ""
    return _body(answer.body) if answer.media_type == JSON else f"`{answer.media_type}`"


def _body(body: Body) -> str:
    return f"`{body['$ref'].rpartition('/')[2]}`" if isinstance(body, dict) and "$ref" in body else _named(body)


def _named(body: Body) -> str:
    return str(body.get("type", "JSON")) if isinstance(body, dict) else f"`{body.__name__}`"


def _value(schema: Mapping[str, Schema]) -> str:
    """Describe the values of a parameter."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = str(schema.get("type", "text")).replace("string", "text")
    if kind == "array":
        kind = f"{_value(schema['items'])}, repeatable"
    default = f", default `{json.dumps(schema['default'])}`" if "default" in schema else ""
    return f"{schema.get('format', kind)}{default}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from (*textwrap.wrap(paragraph, _COLUMNS, break_long_words=False, break_on_hyphens=False), "")
