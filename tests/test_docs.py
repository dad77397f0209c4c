"""The documentation is true: generated pages are current, links lead somewhere, command lines are understood."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.main import app
from reelmill.errors_reference import errors_reference
from reelmill.manifest_reference import manifest_reference
from reelmill.settings_reference import settings_reference

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
WITH_COMMANDS = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("usage", "service", "catalog", "cost", "transfer")),
]
GENERATED = [
    ("errors", "reelmill.errors_reference", errors_reference),
    ("manifest", "reelmill.manifest_reference", manifest_reference),
    ("settings", "reelmill.settings_reference", settings_reference),
]

_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_LOCAL_PATH = re.compile(r"(?<![\w.~$])/(?:home|media|mnt|private|root|srv|tmp|Users|var|work)\b[\w./-]*")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_CODE.sub("", page.read_text())):
        if re.match(r"https?://|mailto:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield link


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield each `reelmill` command of the pages, as it is written and as the words that follow `reelmill`."""
    for page in WITH_COMMANDS:
        for block in _FENCED.findall(page.read_text()):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if "reelmill" in words:
                    words = words[words.index("reelmill") + 1 :]
                    yield line, words[: words.index(">")] if ">" in words else words


def names_of_checks() -> set[str]:
    """Return the names of the checks of outputs and packages, without the numbers that some end in."""
    modules = [ROOT / "reelmill" / folder / "verify.py" for folder in ("encoding", "packaging")]
    nodes = [node for module in modules for node in ast.walk(ast.parse(module.read_text()))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "Check"]
    values = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "name"]
    texts = [value.values[0] if isinstance(value, ast.JoinedStr) else value for value in values]
    return {ast.literal_eval(text).strip() for text in texts if not isinstance(text, ast.Name)}


@pytest.mark.parametrize(("page", "module", "made"), GENERATED, ids=[page for page, _, _ in GENERATED])
def test_generated_page_is_current(page: str, module: str, made: Callable[[], str]):
    assert (ROOT / "docs" / f"{page}.md").read_text() == made(), "run `make docs`"


@pytest.mark.parametrize("page", [*(page for page, _, _ in GENERATED), "profiles"])
def test_make_docs_writes_every_generated_page(page: str):
    target = re.search(r"^docs:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert target is not None
    modules = {name: module for name, module, _ in GENERATED} | {"profiles": "reelmill.profiles.reference"}
    assert f"-m {modules[page]} > docs/{page}.md\n" in target[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_resolve(page: Path):
    assert list(dead_links(page)) == []


def test_a_dead_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[good](#one-thing) [bad](#other) [worse](gone.md) [far](https://example.org/x)\n")
    assert list(dead_links(page)) == ["#other", "gone.md"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_folder_of_somebodys_machine(page: Path):
    text = page.read_text()
    assert _LOCAL_PATH.findall(text) == []
    assert [path for path in (str(ROOT), str(Path.home())) if len(path) > 1 and path in text] == []


@pytest.mark.parametrize(("line", "words"), [pytest.param(line, words, id=line) for line, words in command_lines()])
def test_documented_command_line_is_understood(line: str, words: list[str]):
    app.parse_args(words, print_error=False, exit_on_error=False)


def test_there_are_documented_command_lines():
    assert len(list(command_lines())) > 10


def test_output_page_explains_every_check():
    page = (ROOT / "docs" / "output.md").read_text()
    checks = names_of_checks()
    assert {"streams", "frames", "times"} < checks
    assert [check for check in sorted(checks) if not re.search(rf"^\| `{check}( N)?` \|", page, re.MULTILINE)] == []
