"""Find and read profiles: the built-in ones by name, anyone's own by path."""

from __future__ import annotations

import difflib
import os
from functools import lru_cache
from importlib import resources

import yaml
from pydantic import ValidationError

from reelmill.errors import InvalidProfile, one_line
from reelmill.profiles.problems import explain, shown
from reelmill.profiles.profile import Profile
from reelmill.profiles.strict_yaml import read_yaml
from reelmill.storage.opening import read_small

MAX_PROFILE_BYTES = 64 * 1024


def load_profile(name_or_path: str) -> Profile:
    """Return the profile in a file, or the built-in one of that name.

    `is_profile_file` tells them apart. Raises InvalidProfile with all that is wrong.
    """
    if is_profile_file(name_or_path):
        return parse_profile(_read(name_or_path), name_or_path)
    built_in = builtin_profiles()
    if name_or_path not in built_in:
        close = difflib.get_close_matches(name_or_path, built_in, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InvalidProfile(f"no profile is named {shown(name_or_path)}{hint}; built in: {', '.join(built_in)}")
    return built_in[name_or_path]


def is_profile_file(name_or_path: str) -> bool:
    """Whether this is the path or address of a profile file, not the name of a built-in profile."""
    return "/" in name_or_path or os.sep in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def parse_profile(text: str, origin: str) -> Profile:
    """Return the profile written in `text`. Raise InvalidProfile in one line that begins with `origin`."""
    origin = one_line(origin)
    if len(text.encode(errors="surrogatepass")) > MAX_PROFILE_BYTES:
        raise InvalidProfile(f"{origin}: is larger than {MAX_PROFILE_BYTES} bytes")
    try:
        document = read_yaml(text)
    except yaml.YAMLError as error:
        raise InvalidProfile(f"{origin}: {_sentence(error)}") from None
    if not isinstance(document, dict):
        raise InvalidProfile(f"{origin}: {shown(document)} is not a profile; allowed: fields and values")
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        raise InvalidProfile(f"{origin}: {explain(error, Profile)}") from None


def builtin_profiles() -> dict[str, Profile]:
    """Return the profiles that come with Reelmill, by name, in the order of their names."""
    return dict(_builtin_profiles())


@lru_cache(maxsize=1)
def _builtin_profiles() -> dict[str, Profile]:
    folder = resources.files("reelmill.profiles").joinpath("builtin")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    found = [parse_profile(file.read_text(encoding="utf-8"), file.name) for file in files]
    return {profile.name: profile for profile in found}


def _read(path: str) -> str:
    origin = one_line(path)
    try:
        content = read_small(path, "profile", MAX_PROFILE_BYTES + 1)
        if content is None:
            raise InvalidProfile(f"{origin}: there is no such file")
        if len(content) > MAX_PROFILE_BYTES:
            raise InvalidProfile(f"{origin}: is larger than {MAX_PROFILE_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InvalidProfile(f"{origin}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidProfile(f"{origin}: is not UTF-8 text") from None


def _sentence(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        problem = ", ".join(filter(None, (error.context, error.problem)))
        return one_line(f"line {error.problem_mark.line + 1}: {problem}")
    return one_line(f"is not YAML: {error}")
