"""What is wrong with a profile, as one line that names the field, the value and what would be allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from reelmill.errors import one_line

_REFUSED = "not_allowed"
_MOST_SENTENCES = 10


class Problem(NamedTuple):
    """One thing wrong with `field`, a dotted name that may be empty where the field is known already."""

    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.field}: {self.sentence}" if self.field else self.sentence


def not_allowed(field: str, value: object, allowed: str, reason: str = "") -> Problem:
    """Say that `value` is refused. `reason` continues the sentence before what would be allowed."""
    return Problem(field, f"{shown(value)} is not allowed{reason}; allowed: {allowed}")


def refuse(problems: Iterable[Problem]) -> None:
    """Raise all `problems` as one error of a pydantic validator; return when there are none."""
    found = list(problems)
    if found:
        _raise(found)


def _raise(found: list[Problem]) -> NoReturn:
    sentence = "; ".join(str(problem) for problem in found)
    raise PydanticCustomError(_REFUSED, "{sentence}", {"sentence": sentence, "problems": found})


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the errors that validating `model` gave as one line: the first ten sentences, the rest counted."""
    problems = (problem for detail in error.errors(include_url=False) for problem in _problems(detail, model))
    sentences = list(dict.fromkeys(str(problem) for problem in problems))
    more = [f"and {len(sentences) - _MOST_SENTENCES} more"] if len(sentences) > _MOST_SENTENCES else []
    return one_line("; ".join(sentences[:_MOST_SENTENCES] + more))


def _problems(detail: ErrorDetails, model: type[BaseModel]) -> Iterator[Problem]:
    path = ".".join(shown(part) for part in detail["loc"])
    kind, value = detail["type"], detail["input"]
    if kind == _REFUSED:
        for field, sentence in detail.get("ctx", {})["problems"]:
            yield Problem(".".join(filter(None, (path, field))), sentence)
        return
    if kind == "extra_forbidden":
        yield _unknown_field(path, str(detail["loc"][-1]), _model_at(model, detail["loc"][:-1]))
        return
    field = _field_at(model, detail["loc"])
    if field is None:
        yield Problem(path, detail["msg"])
    elif kind == "missing":
        yield Problem(path, f"is required; allowed: {allowed_values(field)}")
    elif kind == "string_type" and isinstance(value, bool | int | float):
        yield Problem(path, f"{shown(value)} is not text, put it in quotes; allowed: {allowed_values(field)}")
    else:
        yield not_allowed(path, value, allowed_values(field))


def _unknown_field(path: str, name: str, model: type[BaseModel]) -> Problem:
    close = difflib.get_close_matches(name, model.model_fields, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return Problem(path, f"unknown field{hint}; known: {', '.join(model.model_fields)}")


def allowed_values(field: FieldInfo) -> str:
    """Say in words what a field takes, from its bounds, its choices or its own `allowed`."""
    extra = cast("dict[str, object] | None", field.json_schema_extra) or {}
    if "allowed" in extra:
        return str(extra["allowed"])
    bounds = {name: getattr(each, name) for each in field.metadata for name in ("ge", "le") if hasattr(each, name)}
    if bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    if choices := list(_choices(field.annotation)):
        return ", ".join(choices)
    if field.annotation is bool:
        return "true, false"
    return "fields of its own" if _model_in(field.annotation) else "text"


def shown(value: object) -> str:
    """Write a value as YAML would, short enough for an error."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    text = one_line(str(value)) or "empty text"
    return text if len(text) <= 60 else text[:57] + "..."


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(value) for value in get_args(annotation))
        return
    for inner in get_args(annotation):
        yield from _choices(inner)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field holds, alone or several of it."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    field = _field_at(model, loc)
    return (_model_in(field.annotation) if field else None) or model


def _field_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> FieldInfo | None:
    field: FieldInfo | None = None
    for part in loc:
        if isinstance(part, int):
            continue  # an element of a list is explained by the list's field
        field = model.model_fields.get(part)
        if field is None:
            return None
        model = _model_in(field.annotation) or model
    return field
