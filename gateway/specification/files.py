"""The files of the specification: what they contain, and where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.problems import Problem
from gateway.specification.asyncapi import asyncapi
from gateway.specification.markdown import markdown_page
from gateway.specification.openapi import openapi
from gateway.specification.operations import Body, Operation
from gateway.specification.reference import reference_page
from gateway.specification.schemas import MESSAGES, Schema, components, document
from gateway.specification.table import CHANNELS, OPERATIONS, TYPES, examples
from gateway.specification.typescript import types_file

FOLDER = Path(__file__).parent / "files"
TYPESCRIPT = Path(__file__).parents[1] / "typescript"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
VERSION = "1"
"""Version of the HTTP interface, as in its paths."""


def contents() -> dict[Path, str]:
    """Return the content of every file, by its path."""
    schemas = all_schemas()
    files = {
        FOLDER / "openapi.json": _json(openapi(OPERATIONS, schemas, VERSION)),
        FOLDER / "asyncapi.json": _json(asyncapi(CHANNELS, schemas, VERSION)),
        FOLDER / "reference.html": reference_page(OPERATIONS, CHANNELS, schemas, VERSION),
        PAGE: markdown_page(OPERATIONS, CHANNELS),
        TYPESCRIPT / "types.ts": types_file(OPERATIONS, schemas),
    }
    # On one line each: openapi.json shows what changes.
    files |= {FOLDER / "schemas" / f"{name}.json": _json(document(name, schemas), indent=None) for name in schemas}
    return files


def all_schemas() -> dict[str, Schema]:
    """Return the schemas of all message types, by name, with the examples of jobs and reports."""
    bodies: list[Body | None] = [Problem, *MESSAGES, *TYPES]
    for operation in OPERATIONS:
        bodies += _bodies(operation)
    for channel in CHANNELS:
        bodies += [event.payload for event in channel.events]
    schemas = components(dict.fromkeys(body for body in bodies if isinstance(body, type)))
    given = {**examples.jobs(), **examples.reports()}
    for name, schema in schemas.items():
        kind = schema.get("properties", {}).get("kind", {}).get("const")
        if kind in given:
            schemas[name] = {**schema, "examples": [given[kind]]}
    return schemas


def write() -> None:
    """Write all files, and remove those of types that are no more."""
    wanted = contents()
    for path in (FOLDER / "schemas").glob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _bodies(operation: Operation) -> list[Body | None]:
    return [operation.body, *(answer.body for answer in operation.answers.values())]


def _json(value: Any, indent: int | None = 1) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
