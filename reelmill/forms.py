"""The schema of a job as Prefect's pages make a form of it."""

from __future__ import annotations

from typing import Any


def as_form(schema: dict[str, Any]) -> None:
    """Order the fields for Prefect's form, and make one that may be empty a plain input there.

    A union with null would be shown as two tabs, "str" and "None", and a default of null would be sent. Where a field
    is neither required nor has a default, the server accepts null as before; so does the model.
    """
    for position, field in enumerate(schema["properties"].values(), start=1):
        field["position"] = position
        if "anyOf" in field:
            [kind] = [each for each in field.pop("anyOf") if each != {"type": "null"}]
            field |= {**kind, **field}
            del field["default"]
