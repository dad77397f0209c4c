"""deployments/compose.yaml as `docker compose config` shows it: variables put in, and asked for where required."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

COMPOSE_FILE = Path(__file__).parents[1] / "deployments" / "compose.yaml"

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}")


class RequiredVariable(Exception):
    """A variable that the file asks for is unset or empty. The message is its name, and what the file says of it."""


def compose_config(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with the variables of `environment` in it. RequiredVariable when one is missing."""

    def value_of(found: re.Match[str]) -> str:
        value = environment.get(found["name"], "")
        if value or found["kind"] is None:
            return value
        if found["kind"] == ":?":
            raise RequiredVariable(f"{found['name']}: {found['rest']}")
        return found["rest"]

    def interpolated(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: interpolated(value) for key, value in node.items()}
        if isinstance(node, list):
            return [interpolated(value) for value in node]
        return _VARIABLE.sub(value_of, node) if isinstance(node, str) else node

    return interpolated(yaml.safe_load(COMPOSE_FILE.read_text()))
