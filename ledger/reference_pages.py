"""Generator of the reference pages of the JSON types and of the server's keys.

    python -m ledger.reference_pages docs/reference

writes `card.md`, `jobs.md`, `reports.md` and `keys.md`. Examples come from the folder `examples` next to the pages, one
file for each kind; a test decodes them as a caller would, and compares the pages with the output of this module.
"""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from ledger.contracts.failures import Failure
from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.jobs import Job, JobPart, PredictCard
from ledger.contracts.reports import Report
from ledger.key_patterns import keys_page

CARD = (PredictCard,)
JOBS = tuple(kind for kind in get_args(Job) if not issubclass(kind, JobPart) and kind is not PredictCard)
REPORTS = (*get_args(Report), Outcome, Receipt, Failure)
PAGES = {
    "card": ("The JSON of a card", "Input of `cornerman enqueue --card` and `Client.enqueue`.", CARD),
    "jobs": ("The JSON of the other jobs", "Input of `Client.enqueue` besides cards.", JOBS),
    "reports": (
        "The JSON of reports",
        "`cornerman result JOB --json` prints an `Outcome`, whose `report` is one of the other types.",
        REPORTS,
    ),
}

Schema = Mapping[str, Any]
_COLUMNS = 100


def reference_page(name: str, examples: Path) -> str:
    """Return one of `PAGES` as Markdown, with the examples in the folder."""
    title, about, types = PAGES[name]
    _, components = msgspec.json.schema_components(types, ref_template="#{name}")
    roots = [kind.__name__ for kind in types]
    lines = [f"# {title}", "", *textwrap.wrap(f"{about} Unknown fields are ignored.", _COLUMNS), ""]
    for structure in [*roots, *(other for other in components if other not in roots)]:
        lines += _section(structure, components[structure], examples)
    return "\n".join(lines)


def _section(name: str, schema: Schema, examples: Path) -> Iterator[str]:
    yield from (f"## {name}", "", *_description(schema.get("description", "")), "")
    if "enum" in schema:
        yield from (*textwrap.wrap(f"One of {_choices(schema['enum'])}.", _COLUMNS), "")
        return
    yield from ("| field | value | default |", "|---|---|---|")
    for field, value in schema["properties"].items():
        default = "required" if field in schema.get("required", ()) else _default(field, value)
        yield f"| `{field}` | {describe_schema(value)} | {default} |"
    yield ""
    kind = schema["properties"].get("kind", {}).get("enum", [""])[0]
    path = examples / f"{kind}.json"
    if path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
        yield from ("```json", json.dumps(document, indent=1, ensure_ascii=False), "```", "")


def _description(docstring: str) -> Iterator[str]:
    """Yield a docstring as Markdown lines; the entries of a section `Attributes` become a list."""
    blocks = inspect.cleandoc(docstring).split("\n\n")
    for number, block in enumerate(blocks):
        if number:
            yield ""
        heading, _, entries = block.partition("\n----------\n")
        if heading != "Attributes":
            yield from textwrap.wrap(block, _COLUMNS, break_long_words=False, break_on_hyphens=False)
            continue
        for line in entries.splitlines():
            if not line.startswith(" "):
                names = ", ".join(f"`{name}`" for name in line.split(", "))
                yield f"- {names}:"
            else:
                yield from textwrap.wrap(line.strip(), _COLUMNS, initial_indent="  ", subsequent_indent="  ")


def describe_schema(schema: Schema) -> str:
    """Describe the values that a JSON Schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#")
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(describe_schema(each) for each in schema["anyOf"])
    if "enum" in schema:
        return _choices(schema["enum"])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"array of {len(schema['prefixItems'])}: {describe_schema(schema['prefixItems'][0])}"
        case "array":
            return f"array of {describe_schema(schema.get('items', {}))}{_span(schema, 'minItems', 'maxItems')}"
        case "object":
            return f"object of {describe_schema(schema.get('additionalProperties', {}))} by name"
        case "string":
            shape = {"date-time": "moment with its offset, ISO 8601", "date": "date, ISO 8601"}
            pattern = f" like `{schema['pattern']}`" if "pattern" in schema else ""
            text = shape.get(schema.get("format", ""), "text")
            return f"{text}{pattern}{_span(schema, 'minLength', 'maxLength', ' characters')}"
        case "integer" | "number":
            return f"{schema['type']}{_bounds(schema)}"
        case None:
            return "anything"
        case kind:
            return str(kind)


def _choices(values: Sequence[Any]) -> str:
    return ", ".join(f"`{json.dumps(value)}`" for value in values)


def _default(field: str, schema: Schema) -> str:
    if "default" in schema:
        return f"`{json.dumps(schema['default'])}`"
    return "`1`" if field == "schema_version" else "absent"


def _span(schema: Schema, least: str, most: str, unit: str = "") -> str:
    if most not in schema:
        return f", at least {schema[least]}{unit}" if least in schema else ""
    return f", {schema.get(least, 0)} to {schema[most]:,}{unit}"


def _bounds(schema: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]:,}" for name, sign in signs.items() if name in schema]
    return f", {', '.join(bounds)}" if bounds else ""


def main(folder: Path) -> None:
    """Write every page into a folder; create the folder if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (folder / f"{name}.md").write_text(reference_page(name, folder / "examples"), encoding="utf-8")
    (folder / "keys.md").write_text(keys_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
