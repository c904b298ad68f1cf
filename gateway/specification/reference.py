"""The page of reference: one HTML file without scripts, and without anything from elsewhere.

It shows the operations, the event streams and webhooks, the errors and all message types.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.specification.asyncapi import Channel
from gateway.specification.openapi import ABOUT, TAGS
from gateway.specification.operations import Body, Operation, Parameter, reference
from gateway.specification.schemas import Schema
from ledger.contracts.failures import FailureCode

STYLE = """
:root{color-scheme:light dark;--line:#8885;--soft:#8881;--link:light-dark(#0b57d0,#8ab4f8)}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem}
h2{border-top:1px solid var(--line);margin-top:2.5rem;padding-top:1rem}h3{margin:2rem 0 .3rem}
a{color:var(--link)}code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
pre{background:var(--soft);overflow-x:auto;padding:.7rem;white-space:pre}
table{border-collapse:collapse;display:block;overflow-x:auto}
td,th{border-bottom:1px solid var(--line);padding:.25rem .7rem .25rem 0;text-align:left;vertical-align:top}
nav ul{columns:16rem;list-style:none;padding:0}summary{cursor:pointer;padding:.4rem 0}
.method{border:1px solid var(--line);border-radius:.2rem;font-weight:bold;padding:0 .3rem}
""".strip()


def reference_page(
    operations: Sequence[Operation], channels: Sequence[Channel], schemas: Mapping[str, Schema], version: str
) -> str:
    """Return the page as HTML; the arguments are those of `openapi` and `asyncapi`."""
    body = [
        f"<h1>cornerman {html.escape(version)}: HTTP interface</h1>",
        *_text(ABOUT),
        '<p>For programs: <a href="/openapi.json">openapi.json</a>, <a href="/asyncapi.json">asyncapi.json</a>, '
        "and the schema of each message type below.</p>",
        *_contents(operations, channels, schemas),
        *(line for tag in TAGS for line in _tag(tag, operations)),
        '<h2 id="streams">Event streams and webhooks</h2>',
        *(line for channel in channels for line in _channel(channel)),
        *_problems(operations),
        '<h2 id="schemas">Message types</h2>',
        *(line for name, schema in schemas.items() for line in _schema(name, schema)),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>cornerman: HTTP interface</title><style>{STYLE}</style></head><body><main>",
            *body,
            "</main></body></html>",
            "",
        ]
    )


def _contents(
    operations: Sequence[Operation], channels: Sequence[Channel], schemas: Mapping[str, Schema]
) -> Iterator[str]:
    yield "<nav><ul>"
    for operation in operations:
        yield f'<li><a href="#{operation.name}">{operation.method} {html.escape(operation.path)}</a></li>'
    yield '</ul><p><a href="#streams">Event streams and webhooks</a>: '
    yield ", ".join(f'<a href="#channel-{channel.name}">{html.escape(channel.title)}</a>' for channel in channels)
    yield '. <a href="#problems">Errors</a>. <a href="#schemas">Message types</a>.</p>'
    yield f"<details><summary>All {len(schemas)} message types</summary><ul>"
    yield from (f"<li>{_link(name)}</li>" for name in schemas)
    yield "</ul></details></nav>"


def _tag(tag: str, operations: Sequence[Operation]) -> Iterator[str]:
    chosen = [operation for operation in operations if operation.tag == tag]
    if chosen:
        yield f'<h2 id="tag-{tag}">{tag.capitalize()}</h2>'
        yield from _text(TAGS[tag])
    for operation in chosen:
        yield from _operation(operation)


def _operation(operation: Operation) -> Iterator[str]:
    yield (
        f'<h3 id="{operation.name}"><span class="method">{operation.method}</span> '
        f"<code>{html.escape(operation.path)}</code></h3>"
    )
    yield from _text(f"{operation.summary} {operation.description}")
    role = "No token is needed" if operation.role is None else f"Role: {operation.role.name.lower()}"
    yield f"<p>{role}.</p>"
    if operation.parameters:
        yield "<table><tr><th>parameter</th><th>in</th><th>value</th><th></th></tr>"
        yield from (_parameter(each) for each in operation.parameters)
        yield "</table>"
    if operation.body is not None:
        yield f"<p>Body: {_body(operation.body)}</p>"
    for name, example in operation.examples.items():
        yield f"<details><summary>Example: {html.escape(name)}</summary>{_code(example)}</details>"
    yield "<table><tr><th>status</th><th></th><th>body</th></tr>"
    for status, answer in operation.answers.items():
        content = "" if answer.body is None else f"{_body(answer.body)} <code>{answer.media_type}</code>"
        yield f"<tr><td>{status}</td><td>{_inline(answer.description)}</td><td>{content}</td></tr>"
    for status, reason in operation.all_problems.items():
        yield f"<tr><td>{status}</td><td>{_inline(reason)}</td><td>{_link('Problem')}</td></tr>"
    yield "</table>"


def _parameter(parameter: Parameter) -> str:
    meaning = _inline(parameter.description) + (" Required." if parameter.required else "")
    return (
        f"<tr><td><code>{html.escape(parameter.name)}</code></td><td>{parameter.place}</td>"
        f"<td>{_value(parameter.schema)}</td><td>{meaning}</td></tr>"
    )


def _channel(channel: Channel) -> Iterator[str]:
    yield f'<h3 id="channel-{channel.name}">{html.escape(channel.title)}</h3>'
    if channel.address is not None:
        yield f"<p><code>GET {html.escape(channel.address)}</code></p>"
    yield from _text(channel.description)
    yield "<table><tr><th>message</th><th></th><th>headers</th><th>payload</th></tr>"
    for event in channel.events:
        headers = "<br>".join(
            f"<code>{html.escape(name)}</code>: {_inline(schema.get('description', '')) or _value(schema)}"
            for name, schema in event.headers.items()
        )
        yield (
            f"<tr><td><code>{html.escape(event.name)}</code></td><td>{_inline(event.summary)}</td>"
            f"<td>{headers}</td><td>{_body(event.payload)}</td></tr>"
        )
    yield "</table>"


def _problems(operations: Sequence[Operation]) -> Iterator[str]:
    """Yield an anchor for each `type` that a problem can have: its code, or its status."""
    yield '<h2 id="problems">Errors</h2>'
    yield f"<p>Every error is a {_link('Problem')}, of a status that its operation lists.</p><ul>"
    for code in FailureCode:
        yield f'<li id="problem-{code.value}"><code>{code.value}</code></li>'
    reasons: dict[int, dict[str, None]] = {}
    for operation in operations:
        for status, reason in operation.all_problems.items():
            reasons.setdefault(status, {})[reason] = None
    for status, texts in sorted(reasons.items()):
        yield f'<li id="problem-{status}">{status}: {_inline(" ".join(list(texts)[:1]))}</li>'
    yield "</ul>"


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f'<h3 id="schema-{name}">{name}</h3>'
    yield from _text(schema.get("description", ""))
    if "properties" not in schema:
        yield f"<p>{_value(schema)}</p>"
    else:
        yield "<table><tr><th>field</th><th>value</th><th>default</th><th></th></tr>"
        for field, value in schema["properties"].items():
            default = "required" if field in schema.get("required", ()) else _default(value)
            yield (
                f"<tr><td><code>{html.escape(field)}</code></td><td>{_value(value)}</td><td>{default}</td>"
                f"<td>{_inline(value.get('description', ''))}</td></tr>"
            )
        yield "</table>"
    yield f'<p><a href="/schemas/{name}.json">{name}.json</a></p>'
    for example in schema.get("examples", ()):
        yield f"<details><summary>Example</summary>{_code(example)}</details>"


def _default(schema: Schema) -> str:
    if "default" not in schema or schema["default"] is None:
        return "absent"
    return f"<code>{html.escape(json.dumps(schema['default']))}</code>"


def _value(schema: Schema) -> str:
    """Describe the values that a schema allows."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"<code>{html.escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " | ".join(f"<code>{html.escape(json.dumps(value))}</code>" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_value(each) for each in schema["anyOf"])
    if "prefixItems" in schema:
        return "array of " + ", ".join(_value(each) for each in schema["prefixItems"])
    bounds = ", ".join(f"{name} {schema[name]}" for name in _BOUNDS if name in schema)
    kind = str(schema.get("type", "any JSON"))
    if kind == "array":
        kind = f"array of {_value(schema.get('items', {}))}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        kind = f"object of {_value(schema['additionalProperties'])}"
    return f"{kind} <small>{html.escape(bounds)}</small>" if bounds else kind


_BOUNDS = (
    "format", "pattern", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength", "maxLength",
    "minItems", "maxItems", "maxProperties",
)  # fmt: skip


def _body(body: Body) -> str:
    return _value(reference(body))


def _link(name: str) -> str:
    return f'<a href="#schema-{name}">{name}</a>'


def _code(value: Any) -> str:
    return f"<pre>{html.escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"


def _text(text: str) -> Iterator[str]:
    yield from (f"<p>{_inline(paragraph)}</p>" for paragraph in text.strip().split("\n\n") if paragraph)


def _inline(text: str) -> str:
    """Escape a text, and set what stands between backquotes as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))
