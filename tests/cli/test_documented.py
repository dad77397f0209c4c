"""What a user can type, set or be told is in the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App
from pydantic import BaseModel

from cli.main import app
from reelmill.errors import ReelmillError
from reelmill.job import TranscodeJob
from reelmill.ranges import RangesJob
from reelmill.settings import Settings
from reelmill.transfer.job import TransferJob

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8") if (DOCS / name).is_file() else ""


def commands(parent: App, words: tuple[str, ...] = ("reelmill",)) -> Iterator[tuple[tuple[str, ...], App]]:
    """Yield every command that does something, with the words that call it."""
    for name in parent:
        if not name.startswith("-"):
            if parent[name].default_command is not None:
                yield (*words, name), parent[name]
            yield from commands(parent[name], (*words, name))


COMMANDS = list(commands(app))
OPTIONS = [
    (" ".join(words), name)
    for words, command in COMMANDS
    for argument in command.assemble_argument_collection()
    for name in argument.names
    if name.startswith("-")
]


def test_there_are_commands_and_options_to_look_for():
    assert "reelmill transcode" in {" ".join(words) for words, _ in COMMANDS}
    assert ("reelmill transcode", "--segment-seconds") in OPTIONS


@pytest.mark.parametrize("words", [" ".join(words) for words, _ in COMMANDS])
def test_command_is_in_the_docs(words: str):
    assert words in page("usage.md")


@pytest.mark.parametrize(("command", "name"), OPTIONS)
def test_option_is_in_the_docs(command: str, name: str):
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page("usage.md"))


@pytest.mark.parametrize("code", [each.__name__ for each in ReelmillError.tree() if each is not ReelmillError])
def test_error_code_is_in_the_docs(code: str):
    assert re.search(rf"\b{code}\b", page("errors.md"))


@pytest.mark.parametrize("field", Settings.model_fields)
def test_setting_is_in_the_docs(field: str):
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert re.search(rf"\b(REELMILL_{field.upper()}|{field})\b", pages)


@pytest.mark.parametrize("model", [Settings, TranscodeJob, TransferJob, RangesJob])
def test_every_field_says_what_it_is(model: type[BaseModel]):
    assert [name for name, field in model.model_fields.items() if not field.description] == []
