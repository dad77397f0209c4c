"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

ROOT = Path(__file__).parents[1]
FLOW_FILES = sorted((ROOT / "flows").rglob("*.py"))
FLOW_AND_TASK_FILES = sorted([*FLOW_FILES, *(ROOT / "tasks").rglob("*.py")])
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what of a module runs when it is imported: everything but annotations and the bodies of functions."""
    yield node
    later = {"annotation", "returns"} | (
        {"body"} if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else set()
    )
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and field not in later:
                yield from run_at_import(child)


def environment_reads(source: str) -> list[str]:
    """Return the names by which a module reads the environment, or the settings made from it, at import."""
    used = [getattr(node, "id", None) or getattr(node, "attr", None) for node in run_at_import(ast.parse(source))]
    return [name for name in used if name in {"environ", "environb", "getenv", "settings", "Settings"}]


def test_prefect_test_server_answers(prefect_server: str):
    with get_client(sync_client=True) as client:
        assert str(client.api_url).rstrip("/") == prefect_server
        assert client.hello().json() == "👋"
        assert client.api_healthcheck() is None


@pytest.mark.parametrize("path", FLOW_FILES, ids=name_of)
def test_flow_files_define_no_classes(path: Path):
    tree = ast.parse(path.read_text())
    assert [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)] == []


@pytest.mark.parametrize("path", FLOW_FILES, ids=name_of)
def test_flow_files_read_no_environment_at_import(path: Path):
    assert environment_reads(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\nhome = os.environ['HOME']", ["environ"]),
        ("from os import environ\nhome = environ.get('HOME')", ["environ"]),
        ("@flow(retries=settings().retries)\ndef encode(): ...", ["settings"]),
        ("def encode(workers=os.getenv('WORKERS')): ...", ["getenv"]),
        ("if True:\n    home = os.environ['HOME']", ["environ"]),
        ("from reelmill.settings import settings\ndef encode():\n    return settings(), os.environ['HOME']", []),
    ],
)
def test_environment_reads_are_found_where_they_run(source: str, found: list[str]):
    assert environment_reads(source) == found


@pytest.mark.parametrize("path", FLOW_AND_TASK_FILES, ids=name_of)
def test_no_flow_or_task_file_shadows_a_module(path: Path):
    """Prefect puts a flow file's folder on `sys.path`, so that flows/ffmpeg.py would be what `import ffmpeg` finds."""
    if path.name != "__init__.py":
        assert importlib.util.find_spec(path.stem) is None


def test_a_name_that_would_shadow_is_found():
    assert importlib.util.find_spec("ffmpeg") is not None


def test_there_are_lock_files():
    assert [path.name for path in LOCK_FILES] == ["dev.txt", "ecs.txt", "fleet.txt", "main.txt", "peers.txt", "uv.txt"]


@pytest.mark.parametrize("path", LOCK_FILES, ids=name_of)
def test_lock_files_name_no_host(path: Path):
    assert [line for line in path.read_text().splitlines() if "://" in line or re.match(r"\s*-(?!-hash=)", line)] == []


@pytest.mark.parametrize("path", LOCK_FILES, ids=name_of)
def test_every_locked_requirement_is_pinned_and_has_a_hash(path: Path):
    lines = [line for line in path.read_text().replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    pinned = re.compile(r"[\w.\[\],-]+==\S+( ; .+?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    assert lines
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert [command for command in ("make demo", "make test") if command not in readme] == []
