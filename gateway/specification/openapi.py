"""The OpenAPI 3.1 document, from the table of operations and the message types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.specification.operations import (
    HEADERS,
    JSON,
    PROBLEM_HEADERS,
    PROBLEM_JSON,
    Answer,
    Operation,
    reference,
)
from gateway.specification.schemas import DIALECT, TEMPLATE, Schema

TITLE = "cornerman"
ABOUT = (
    "Fight cards in, win probabilities with intervals out. A job is submitted as JSON with its `kind` and gets exactly "
    "one outcome: a report or a failure. The same job submitted again is the same job.\n\n"
    "Errors are `application/problem+json` (RFC 9457) with `code`, one of the failure codes. 429 and 503 have "
    "`Retry-After`, and nothing was written. Unknown fields of a request are ignored, and a client should ignore "
    "unknown fields of a response."
)
TAGS = {
    "jobs": "Submit jobs, read their status and outcomes.",
    "events": "Server-sent events of outcomes and progress; asyncapi.json describes the messages.",
    "models": "Models, their aliases and history.",
    "bets": "Record bets, read what is at stake and what became of it.",
    "operations": "Pools, queues, controls, dead letters and alerts.",
    "webhooks": "Subscriptions of outcomes, and their deliveries.",
    "gateway": "The gateway itself: health, metrics and these documents.",
}


def openapi(operations: Sequence[Operation], schemas: Mapping[str, Schema], version: str) -> Schema:
    """Return the document.

    Parameters
    ----------
    operations
        All operations.
    schemas
        Component schemas by name; the document contains those that are used.
    version
        Version of the package.
    """
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    used = {operation.tag for operation in operations}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {"title": TITLE, "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": dict(schemas),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `cornerman tokens create`, with the role reader, producer or operator.",
                }
            },
        },
    }


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _description(operation),
        "security": [] if operation.role is None else [{"token": []}],
    }
    if operation.parameters:
        described["parameters"] = [
            {
                "name": each.name,
                "in": each.place,
                "required": each.required,
                "description": each.description,
                "schema": each.schema,
            }
            for each in operation.parameters
        ]
    if operation.body is not None:
        content: Schema = {"schema": reference(operation.body)}
        if operation.examples:
            content["examples"] = {name: {"value": value} for name, value in operation.examples.items()}
        described["requestBody"] = {"required": operation.body_required, "content": {JSON: content}}
    responses = {str(status): _response(answer) for status, answer in operation.answers.items()}
    for status, reason in operation.all_problems.items():
        responses[str(status)] = {
            "description": reason,
            "headers": _headers(PROBLEM_HEADERS.get(status, ())),
            "content": {PROBLEM_JSON: {"schema": {"$ref": TEMPLATE.format(name="Problem")}}},
        }
    return {**described, "responses": responses}


def _description(operation: Operation) -> str:
    role = "No token is needed." if operation.role is None else f"Role: {operation.role.name.lower()}."
    return f"{operation.description}\n\n{role}".strip()


def _response(answer: Answer) -> Schema:
    described: Schema = {"description": answer.description, "headers": _headers(answer.headers)}
    if answer.body is not None:
        described["content"] = {answer.media_type: {"schema": reference(answer.body)}}
    return described


def _headers(names: Sequence[str]) -> Schema:
    return {name: HEADERS[name] for name in (*names, "X-Request-ID")}
