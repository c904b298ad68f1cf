"""What an operation of the API is: its parameters, its bodies, and every status that it can answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from gateway.security.caller import Role
from gateway.security.request_context import OPEN_PATHS
from gateway.specification.schemas import TEMPLATE, Schema

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
PROBLEM_JSON = "application/problem+json"

Body = type[Any] | Schema
"""A message type, or the schema of a body that has none."""


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter of the path, the query, or a header."""

    name: str
    place: Literal["path", "query", "header"]
    schema: Schema
    description: str
    required: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """A response without an error. `headers` names those of `HEADERS` that it has besides `X-Request-ID`."""

    description: str
    body: Body | None = None
    media_type: str = JSON
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """An operation of the API.

    Attributes
    ----------
    name
        Its `operationId`, and the name of the method in generated clients.
    role
        Least role of the caller; None if no token is needed.
    problems
        Errors of its own by status, with their reason; `all_problems` adds those that many operations have.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    name: str
    tag: str
    summary: str
    description: str = ""
    role: Role | None
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    body_required: bool = True
    examples: Mapping[str, Any] = {}
    answers: Mapping[int, Answer]
    problems: Mapping[int, str] = {}

    @property
    def speaks_json(self) -> bool:
        """True if all its responses are JSON, or empty."""
        return all(answer.body is None or answer.media_type == JSON for answer in self.answers.values())

    @property
    def all_problems(self) -> dict[int, str]:
        """Every status of an error with its reason."""
        found = {
            400: "A parameter has a value that it cannot have, or the query has one that is not listed here.",
            421: "The request names a host that this gateway does not answer for.",
        }
        if any(parameter.place == "path" for parameter in self.parameters):
            found[404] = "There is no such thing."
        if self.body is not None:
            found |= {
                408: "The body was not complete in time.",
                413: "The body is too large.",
                415: "The body has another media type.",
                422: "The content was refused; `code` and `detail` say why. Nothing was written.",
            }
        if self.path not in OPEN_PATHS:  # a token that is sent is checked, even if none is needed
            found |= {
                401: "No token, or one that is not valid." if self.role else "A token that is not valid.",
                429: "The caller's rate or quota is used up; `Retry-After` says for how long.",
                503: "The ledger cannot be reached or is full; nothing was written. Repeat after `Retry-After`.",
            }
        if self.role is not None:
            found[403] = (
                f"The token has a lower role than {self.role.name.lower()}, or a browser's page of another origin asks "
                "for a change."
            )
        return dict(sorted((found | dict(self.problems)).items()))


HEADERS: dict[str, Schema] = {
    "Location": {
        "description": "Path of the job, or of what was made.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Whole seconds after which to repeat the request.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "The scheme of authentication, `Bearer`.",
        "required": True,
        "schema": {"type": "string"},
    },
    "X-Request-ID": {
        "description": "Id of the request in the logs of the gateway: that of the request, or a new one.",
        "required": True,
        "schema": {"type": "string"},
    },
}
PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def object_of(**members: Body | list[type[Any]]) -> Schema:
    """Return the schema of an object with these members, all required; a list of one type is an array of it."""
    properties = {
        name: {"type": "array", "items": reference(member[0])} if isinstance(member, list) else reference(member)
        for name, member in members.items()
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def reference(body: Body) -> Schema:
    """Return the schema by which a body is referred to."""
    return body if isinstance(body, dict) else {"$ref": TEMPLATE.format(name=body.__name__)}


def path_parameter(name: str, description: str, **schema: Any) -> Parameter:
    """Return a parameter of the path, a text of 1 to 200 characters unless `schema` says otherwise."""
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    return Parameter(name=name, place="path", schema=text | schema, description=description, required=True)


def query(name: str, description: str, **schema: Any) -> Parameter:
    """Return an optional parameter of the query."""
    return Parameter(name=name, place="query", schema=schema, description=description)


def header(name: str, description: str, **schema: Any) -> Parameter:
    """Return an optional header, a text unless `schema` says otherwise."""
    return Parameter(name=name, place="header", schema={"type": "string"} | schema, description=description)
