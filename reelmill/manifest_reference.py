"""Make docs/manifest.md from the models of the manifest.

Run as a module it prints the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from reelmill.manifest import FILE_NAME, Manifest

Schema = dict[str, Any]

_NAMES_OF_TYPES = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null",
}  # fmt: skip
_DESCRIPTIONS = {
    "source": "What it was made of",
    "outputs[].left_out[].what": "What is missing: a stream, chapters, tags",
    "outputs[].left_out[].reason": "Why the format doesn't have it",
}
"""Of fields whose models say it in their docstrings only."""

_INTRODUCTION = f"""\
# The manifest, field by field

`{FILE_NAME}` lies beside the outputs and is written last: when it is there, so are they. What the checks mean and
what is left out is in [the output](output.md). `reelmill transcode --json` prints the same text.

Times are in seconds, sizes in bytes, [amounts](cost.md) in units of the currency, as text. An empty list is `[]`,
something unknown is `null`; no field is ever missing.
"""


def manifest_reference() -> str:
    """Return the text of docs/manifest.md."""
    schema = Manifest.model_json_schema(mode="serialization")
    return _INTRODUCTION + "".join(_section(path, model) for path, model in _models(schema, schema, ""))


def _models(schema: Schema, model: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield the model and those below it, each with the place where it is in the file."""
    yield path, model
    for name, field in model["properties"].items():
        reference = field.get("$ref") or field.get("items", {}).get("$ref")
        if reference is not None:
            below = schema["$defs"][reference.rpartition("/")[2]]
            yield from _models(schema, below, f"{_inside(path, name)}{'[]' if 'items' in field else ''}")


def _section(path: str, model: Schema) -> str:
    rows = (
        f"| `{name}` | {_type(field)} | {field.get('description') or _DESCRIPTIONS[_inside(path, name)]} |\n"
        for name, field in model["properties"].items()
    )
    title = f"`{path}`" if path else "The file"
    description = model["description"].replace("\n", " ")
    return f"\n## {title}\n\n{description}\n\n| Field | Type | Meaning |\n| --- | --- | --- |\n{''.join(rows)}"


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _type(field: Schema) -> str:
    if "const" in field:
        return f"always `{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{each}`" for each in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "$ref" in field:
        return "object"
    if field["type"] == "array":
        return f"list of {'objects' if '$ref' in field['items'] else _NAMES_OF_TYPES[field['items']['type']] + 's'}"
    return _NAMES_OF_TYPES[field["type"]]


if __name__ == "__main__":
    sys.stdout.write(manifest_reference())
