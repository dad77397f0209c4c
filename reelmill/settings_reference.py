"""Make docs/settings.md from the Settings class.

Run as a module it prints the page.
"""

from __future__ import annotations

import sys

from pydantic.fields import FieldInfo

from reelmill.settings import Settings

_DEFAULTS_OF_THE_MACHINE = {
    "work_dir": "the folder `reelmill` in `$XDG_CACHE_HOME`, or in `~/.cache`",
    "workers": "one for each core this process may use",
}

_INTRODUCTION = """\
# Settings

Settings belong to a machine, not to a job: they are read once, from environment variables, when a process starts. What
a job may choose for itself is on the [command line](usage.md) and in its [profile](profiles.md).

| Variable | Meaning | Default |
| --- | --- | --- |
"""


def settings_reference() -> str:
    """Return the text of docs/settings.md: the same on every machine."""
    prefix = Settings.model_config.get("env_prefix", "")
    rows = (
        f"| `{prefix}{name.upper()}` | {field.description} | {_default(name, field)} |\n"
        for name, field in Settings.model_fields.items()
    )
    return _INTRODUCTION + "".join(rows)


def _default(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return _DEFAULTS_OF_THE_MACHINE[name]
    if field.default is None:
        return "unset"
    return f"`{int(field.default) if field.default == int(field.default) else field.default}`"


if __name__ == "__main__":
    sys.stdout.write(settings_reference())
