"""Make docs/settings.md from the Settings class.

Run as a module it prints the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import cast

from pydantic.fields import FieldInfo

from reelmill.settings import Settings

_CACHE_DIR = "the folder `reelmill` in `$XDG_CACHE_HOME`, or in `~/.cache`"
_DEFAULTS_OF_THE_MACHINE = {
    "work_dir": _CACHE_DIR,
    "scratch_dir": _CACHE_DIR,
    "home_dir": "the folder `reelmill` in `$XDG_DATA_HOME`, or in `~/.local/share`",
    "stores": "none",
    "workers": "one for each core this process may use",
}

_INTRODUCTION = """\
# Settings

Settings belong to a machine, not to a job: they are read once, from environment variables, when a process starts. What
a job may choose for itself is on the [command line](usage.md) and in its [profile](profiles.md).

"""

_OBJECT_STORAGE = """
## Object storage

What they are for, and which ones matter: [object storage](object-storage.md).

"""

_FAN_OUT = """
## Where tasks run

What it takes, and what was tried: [fan-out](fan-out.md).

"""

_PRICES = """
## Prices

What counts, and what becomes of it: [cost](cost.md).

"""

_INTAKE = """
## Uploads, notifications and messages

What they are for: [uploads and messages](intake.md).

"""

_ALARMS = """
## Alarms

When they are raised: [alarms](service.md#alarms).

"""

_OF_OBJECT_STORAGE = ("s3_", "stores", "source_cache_")
_OF_FAN_OUT = ("fan_out", "straggler_", "dask_")
_OF_PRICES = "price_"
_OF_INTAKE = ("intake_", "mirror_")
_OF_ALARMS = "alarm_"
_TABLE_HEAD = "| Variable | Meaning | Default |\n| --- | --- | --- |\n"


def settings_reference() -> str:
    """Return the text of docs/settings.md: the same on every machine."""
    sections = (
        (_OBJECT_STORAGE, _OF_OBJECT_STORAGE),
        (_FAN_OUT, _OF_FAN_OUT),
        (_PRICES, _OF_PRICES),
        (_INTAKE, _OF_INTAKE),
        (_ALARMS, _OF_ALARMS),
    )
    grouped = [(text, [name for name in Settings.model_fields if name.startswith(prefix)]) for text, prefix in sections]
    others = [name for name in Settings.model_fields if not any(name in names for _, names in grouped)]
    return _INTRODUCTION + _table(others) + "".join(text + _table(names) for text, names in grouped)


def _table(names: Iterable[str]) -> str:
    return _TABLE_HEAD + "".join(_row(name, Settings.model_fields[name]) for name in names)


def _row(name: str, field: FieldInfo) -> str:
    prefix = Settings.model_config.get("env_prefix", "")
    return f"| `{prefix}{name.upper()}` | {field.description} | {_default(name, field)} |\n"


def _default(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return _DEFAULTS_OF_THE_MACHINE[name]
    if field.default is None or field.default in ((), {}):
        return "unset"
    return f"`{_as_typed(field.default)}`"


def _as_typed(value: object) -> str:
    """Return the value as it would be written in the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join(map(str, cast("tuple[object, ...]", value)))
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


if __name__ == "__main__":
    sys.stdout.write(settings_reference())
