"""JSON Schemas (2020-12) of message types, with descriptions from their docstrings.

`msgspec.json.schema_components` gives the schemas; here descriptions get one paragraph a line, a section `Attributes`
becomes the descriptions of the properties, repeated unions become a reference, times without an offset in their type
(all of which are written in UTC) get their format, and the tag of a union's member becomes a constant.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, get_args, get_type_hints

import msgspec

from gateway.specification.contracts import PUBLIC_JOBS, description_of
from ledger.contracts.job_state import JobStatus, Outcome, Receipt
from ledger.contracts.jobs import SCHEMA_VERSION
from ledger.contracts.reports import Report

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATE = "#/components/schemas/{name}"


def components(types: Iterable[type[Any]]) -> dict[str, Schema]:
    """Return the schemas of types and of all that they contain, by name, with references as in OpenAPI.

    `Job` is the union of the kinds that callers submit, `Report` that of all reports.
    """
    roots = list(types)
    job = _union(PUBLIC_JOBS)
    found: Any
    found, schemas = msgspec.json.schema_components([job, Report, *roots], ref_template=TEMPLATE)
    unions = dict(zip(("Job", "Report"), found[:2], strict=True))
    structures = _structures([*get_args(job), *get_args(Report), *roots])
    described = {
        _plain(name): _replace(
            _describe(structures[_plain(name)], schema) if _plain(name) in structures else schema, unions
        )
        for name, schema in schemas.items()
    }
    described["Job"] = {"title": "Job", "description": "A job, by its `kind`.", **unions["Job"]}
    described["Report"] = {"title": "Report", "description": "A report, by its `kind`.", **unions["Report"]}
    return dict(sorted(described.items()))


def document(name: str, schemas: Mapping[str, Schema]) -> Schema:
    """Return one type's schema with those that it refers to, complete in itself."""
    needed = {each: schemas[each] for each in reached([{"$ref": TEMPLATE.format(name=name)}], schemas)}
    root = _rebase(needed.pop(name), name)
    definitions = {each: _rebase(schema, name) for each, schema in sorted(needed.items())}
    return {"$schema": DIALECT, **root, **({"$defs": definitions} if definitions else {})}


def reached(schemas_of: Any, schemas: Mapping[str, Schema]) -> set[str]:
    """Return the names of all components that schemas refer to, directly and through others."""
    found: set[str] = set()
    waiting = references(schemas_of)
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += references(schemas[current])
    return found


def references(schema: Any) -> list[str]:
    """Return the names of the components that a schema refers to, each once."""
    found: dict[str, None] = {}
    if isinstance(schema, dict):
        if isinstance(target := schema.get("$ref"), str):
            found[target.rpartition("/")[2]] = None
        for value in schema.values():
            found.update(dict.fromkeys(references(value)))
    elif isinstance(schema, list):
        for value in schema:
            found.update(dict.fromkeys(references(value)))
    return list(found)


def _plain(name: str) -> str:
    """Return the name of a generic type without its argument, which the wire does not show."""
    return name.removesuffix("_Any_")


def _union(kinds: tuple[type[Any], ...]) -> Any:
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union


def _structures(types: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """Return all structures that types contain, by name."""
    found: dict[str, type[Any]] = {}
    waiting: list[Any] = list(types)
    while waiting:
        current = waiting.pop()
        origin = getattr(current, "__origin__", None)
        if isinstance(current, type) and issubclass(current, msgspec.Struct):
            if current.__name__ in found:
                continue
            found[current.__name__] = current
            waiting += get_type_hints(current).values()
        elif isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            waiting.append(origin)
        else:
            waiting += [part for part in get_args(current) if part is not current]
    return found


def _describe(kind: type[msgspec.Struct], schema: Schema) -> Schema:
    text, attributes = _paragraphs(kind.__doc__ or "")
    hints = get_type_hints(kind)
    wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    properties = {name: dict(value) for name, value in schema.get("properties", {}).items()}
    for name, hint in hints.items():
        wire = wire_names.get(name, name)
        if wire in properties:
            properties[wire] = _moment(properties[wire], hint)
    for name, meaning in attributes.items():
        properties[wire_names[name]]["description"] = meaning
    config = kind.__struct_config__
    if config.tag_field in properties:
        properties[config.tag_field] = {"const": config.tag}
    if "schema_version" in properties:
        properties["schema_version"] = {"const": SCHEMA_VERSION, "default": SCHEMA_VERSION}
    described = {**schema, "description": description_of(kind, text)}
    if properties:
        described["properties"] = properties
    return described


def _moment(schema: Schema, hint: Any) -> Schema:
    """Give a time its format, if its type does not demand an offset."""
    if schema.get("type") == "string" and hint is datetime:
        return {**schema, "format": "date-time"}
    if "anyOf" in schema and datetime in get_args(hint):
        options = [
            {**each, "format": "date-time"} if each.get("type") == "string" else each for each in schema["anyOf"]
        ]
        return {**schema, "anyOf": options}
    return schema


def _paragraphs(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's text, a line for each paragraph, and the entries of its section `Attributes`."""
    text: list[str] = []
    attributes: dict[str, str] = {}
    for block in inspect.cleandoc(docstring).split("\n\n"):
        heading, _, entries = block.partition("\n----------\n")
        if heading != "Attributes":
            text.append(" ".join(block.split()))
            continue
        names: list[str] = []
        for line in entries.splitlines():
            if not line.startswith(" "):
                names = line.split(", ")
            for name in names if line.startswith(" ") else ():
                attributes[name] = f"{attributes.get(name, '')} {line.strip()}".strip()
    return "\n\n".join(text), attributes


def _replace(schema: Any, unions: Mapping[str, Schema]) -> Any:
    """Replace unions that have a name by references to it."""
    for name, union in unions.items():
        if schema == union:
            return {"$ref": TEMPLATE.format(name=name)}
    if isinstance(schema, dict):
        return {key: _plain(value) if key == "$ref" else _replace(value, unions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_replace(value, unions) for value in schema]
    return schema


def _rebase(schema: Any, root: str) -> Any:
    """Turn references into those of a document with `$defs`, and drop `discriminator`, which is OpenAPI's."""
    if isinstance(schema, dict):
        return {
            key: ("#" if value == TEMPLATE.format(name=root) else f"#/$defs/{value.rpartition('/')[2]}")
            if key == "$ref"
            else _rebase(value, root)
            for key, value in schema.items()
            if key != "discriminator" or "propertyName" not in value
        }
    if isinstance(schema, list):
        return [_rebase(value, root) for value in schema]
    return schema


MESSAGES: tuple[type[Any], ...] = (Receipt, JobStatus, Outcome)
