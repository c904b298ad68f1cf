"""Operations of the gateway itself: its documents."""

from __future__ import annotations

from gateway.specification.operations import Answer, Operation, path_parameter

_ANY = {"type": "object"}

OPERATIONS = (
    Operation(
        method="GET",
        path="/openapi.json",
        name="openapi",
        tag="gateway",
        summary="Return this document: OpenAPI 3.1.",
        role=None,
        answers={200: Answer(description="The document.", body=_ANY)},
    ),
    Operation(
        method="GET",
        path="/asyncapi.json",
        name="asyncapi",
        tag="gateway",
        summary="Return the AsyncAPI 3 document of the event streams and webhooks.",
        role=None,
        answers={200: Answer(description="The document.", body=_ANY)},
    ),
    Operation(
        method="GET",
        path="/schemas/{name}",
        name="schema",
        tag="gateway",
        summary="Return the JSON Schema (2020-12) of a message type, complete in itself.",
        role=None,
        parameters=(path_parameter("name", "Name of the type with `.json`, such as `PredictCard.json`."),),
        answers={200: Answer(description="The schema.", body=_ANY, media_type="application/schema+json")},
    ),
    Operation(
        method="GET",
        path="/reference",
        name="reference",
        tag="gateway",
        summary="Return the page of reference, for people.",
        role=None,
        answers={200: Answer(description="A page without scripts.", body={"type": "string"}, media_type="text/html")},
    ),
)
