"""YAML of plain mappings, lists and values: what a profile needs, and nothing that can surprise.

Anchors, aliases, tags, keys given twice and deep nesting are errors. Words mean what they do in YAML 1.2: only `true`
and `false` are truth values, `no` and `on` are text, and there are no dates, octal or base-60 numbers.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, cast

import yaml

_MAX_DEPTH = 8
_TAG = "tag:yaml.org,2002:"


class _PlainLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - the base class declares it so

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key is not plain text", key)
            if key.value in seen:
                raise _error(f"{key.value[:80]} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _resolve(kind: str, pattern: str, first_characters: str) -> None:
    loader = cast(Any, _PlainLoader)  # the stubs leave the method untyped
    loader.add_implicit_resolver(_TAG + kind, re.compile(rf"(?:{pattern})\Z"), list(first_characters) or [""])


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", "[-+]?(?:0|[1-9][0-9_]{0,18})", "-+0123456789")
_resolve("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?", "-+.0123456789")
_resolve("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+.0123456789")
_resolve("null", "~|null|Null|NULL", "~nN")
_resolve("null", "", "")


def read_yaml(text: str) -> object:
    """Return the one document in `text`, None when it is empty. Raise yaml.YAMLError for anything but plain YAML."""
    _check_events(text)
    return cast(object, yaml.load(text, Loader=_PlainLoader))


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _error("aliases are not allowed", event)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise _error("anchors are not allowed", event)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise _error(f"tags such as {event.tag[:80]} are not allowed", event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise _error(f"nested more than {_MAX_DEPTH} deep", event)


def _error(problem: str, at: yaml.Event | yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast(Any, at.start_mark))
