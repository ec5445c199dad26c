"""Validation errors in words: which key, what is allowed there, what was found."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from .durations import ALLOWED as DURATION_ALLOWED
from .durations import Seconds, parse_duration
from .sizes import ALLOWED as SIZE_ALLOWED
from .sizes import Bytes, parse_size
from .strict_yaml import Place, dotted

_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key in )?\$(?P<at>[^`]*)`)?", re.S)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.S)
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`", re.S)
_STEP = re.compile(r"\.(?P<key>[A-Za-z_][A-Za-z0-9_]*)|\[(?P<index>\d+|\.\.\.)\]")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with a document: the place, and a sentence that names the key and what is allowed."""

    place: Place
    message: str


def flaw(place: Place, words: str) -> Flaw:
    """A Flaw whose message starts with the key."""
    return Flaw(place, f"`{dotted(place)}`: {words}")


def decode(kind: type, value: object) -> object:
    """msgspec's `dec_hook` for the types that settings and task files use."""
    if kind is Seconds:
        return parse_duration(value)
    if kind is Bytes:
        return parse_size(value)
    raise NotImplementedError(kind)


def explain(error: msgspec.ValidationError, raw: object, kind: type[msgspec.Struct]) -> Flaw:
    """What `error`, raised when `raw` was converted to `kind`, means for the person who wrote it."""
    located = _AT.fullmatch(str(error))
    what, at = (located["what"], located["at"] or "") if located else (str(error), "")
    place, here = _follow(at, raw)
    allowed = _type_at(place, inspect.type_info(kind))
    if match := _UNKNOWN.fullmatch(what):
        return _unknown((*place, match["key"]), keys(allowed))
    if match := _MISSING.fullmatch(what):
        return flaw((*place, match["key"]), f"is missing; every entry needs {_needed(allowed)}")
    expected = describe(allowed)
    return flaw(place, f"expected {expected}, got {found(here)}{_remedy(allowed, here)}")


def keys(kind: inspect.Type) -> list[str]:
    """The keys of a mapping."""
    bare = _bare(kind)
    return [field.encode_name for field in bare.fields] if isinstance(bare, inspect.StructType) else []


def describe(kind: inspect.Type) -> str:
    """What is allowed for `kind`, in words."""
    match kind:
        case inspect.Metadata(extra={"words": str(words)}):
            return words
        case inspect.Metadata():
            return describe(kind.type)
        case inspect.CustomType(cls=cls) if cls is Seconds:
            return DURATION_ALLOWED
        case inspect.CustomType(cls=cls) if cls is Bytes:
            return SIZE_ALLOWED
        case inspect.NoneType():
            return "null"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=int(low), le=int(high)):
            return f"a whole number from {low} to {high}"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType(gt=above) if above is not None:
            return f"a number above {above:g}"
        case inspect.FloatType():
            return "a number"
        case inspect.StrType(min_length=int()):
            return "text that is not empty"
        case inspect.StrType():
            return "text"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case inspect.VarTupleType(item_type=item, min_length=least):
            return f"a list{' of one or more' if least else ''}{_items(item)}"
        case inspect.DictType(value_type=value):
            return f"keys and values, each value {describe(value)}"
        case inspect.StructType(fields=fields):
            return f"keys and values ({', '.join(field.encode_name for field in fields)})"
        case inspect.UnionType(types=types):
            return ", or ".join(describe(each) for each in types)
    return "something else"


def found(value: object) -> str:
    """A value of a YAML document, in words."""
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        cut = value if len(value) <= 60 else f"{value[:59]}…"
        return f"the text {json.dumps(cut, ensure_ascii=False)}"
    return (
        json.dumps(value) if value is None or isinstance(value, bool | int | float) else type(value).__name__
    )


def _items(item: inspect.Type) -> str:
    match _bare(item):
        case inspect.StrType():
            return " of texts, such as [a, b]"
        case inspect.StructType(fields=fields):
            return f" of entries, each with {', '.join(f.encode_name for f in fields if f.required)}"
    return ""


def _needed(kind: inspect.Type) -> str:
    bare = _bare(kind)
    return (
        " and ".join(f"`{f.encode_name}`" for f in bare.fields if f.required)
        if isinstance(bare, inspect.StructType)
        else ""
    )


def _remedy(kind: inspect.Type, value: object) -> str:
    bare = _bare(kind)
    options = [_bare(each) for each in bare.types] if isinstance(bare, inspect.UnionType) else [bare]
    if any(isinstance(each, inspect.StrType) for each in options) and isinstance(value, bool | int | float):
        return "; put it in quotes"
    if any(isinstance(each, inspect.VarTupleType) for each in options) and isinstance(value, str):
        return f"; write [{value}]" if value and len(value) <= 60 and not set(value) & set("\n[]{},#") else ""
    return ""


def _unknown(place: Place, known: list[str]) -> Flaw:
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    return Flaw(
        place, f"unknown key `{dotted(place)}`{hint} (allowed here: {', '.join(sorted(known)) or 'nothing'})"
    )


def _follow(at: str, raw: object) -> tuple[Place, Any]:
    """The place that msgspec's `at` names, and the value of `raw` there.

    For mappings with free keys it says only `[...]`: the first value that is not text is meant.
    """
    place: list[str | int] = []
    here: Any = raw
    for step in _STEP.finditer(at):
        if step["index"] == "...":
            wrong = (
                [key for key, value in here.items() if not isinstance(value, str)]
                if isinstance(here, dict)
                else []
            )
            part: str | int = wrong[0] if wrong else "…"
        else:
            part = step["key"] or int(step["index"])
        place.append(part)
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
    return tuple(place), here


def _type_at(place: Place, kind: inspect.Type) -> inspect.Type:
    for part in place:
        bare = _bare(kind)
        options = bare.types if isinstance(bare, inspect.UnionType) else (bare,)
        for option in map(_bare, options):
            if isinstance(option, inspect.StructType):
                kind = next((f.type for f in option.fields if f.encode_name == part), option)
            elif isinstance(option, inspect.VarTupleType):
                kind = option.item_type
            elif isinstance(option, inspect.DictType):
                kind = option.value_type
    return kind


def _bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind
