"""One item of *Files in Scope*: from the Markdown of a list item to a pattern, or the reason why not."""

from __future__ import annotations

import re

from .glob_segments import Segment, segment
from .patterns import fold, is_glob

LONGEST = 1024

_CHECKBOX = re.compile(r"\[[ xX]\]\s+")
_TICKED = re.compile(r"(?P<ticks>`++)(?P<inner>.+?)(?<!`)(?P=ticks)(?!`)(?P<rest>.*)")
_COMMENT = re.compile(r"\s+(?:[—–#(:]|--?(?=\s|$)|//|<!--).*|:\s.*|\s*")
_LONE_PATH = re.compile(r"\s+-\s+\S*[./]\S*")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_BRACES = re.compile(r"\{[^{}/]*,[^{}/]*\}")
_ALLOWED = "allowed: a path (`src/app.py`), a folder (`src/`), a glob (`src/**/*.py`), from the top folder on"
_ONE_PATH = (
    "write one path per item, in back-ticks if it has spaces; "
    "a comment begins with ` — `, ` - `, ` # ` or ` (`"
)


def entry_pattern(item: str) -> str:
    """The pattern that a list item's text names.

    Raises ValueError saying what is wrong and what is allowed.
    """
    first, *more = item.split("\n")
    text = first.strip()
    if box := _CHECKBOX.match(text):
        text = text[box.end() :]
    if not text:
        raise ValueError(f"an empty entry; {_ALLOWED}")
    if len(text) > 4 * LONGEST:
        raise ValueError(f"an entry of {len(text)} characters; {_ONE_PATH}")
    name, comment = _ticked(text) if text.startswith("`") else _bare(text)
    if more and not comment:
        raise ValueError(f"{_shown(text)} goes on in the next line; {_ONE_PATH}")
    return pattern(name)


def pattern(text: str) -> str:
    """`text` as the pattern that a scope holds: no `./` (but for `./*.md`), no doubled slash.

    Raises ValueError saying what is wrong and what is allowed.
    """
    if problem := _character_problem(text) or _place_problem(text):
        raise ValueError(f"{_shown(text)} {problem}; {_ALLOWED}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    clean = "/".join(parts) + ("/" if text.endswith(("/", "/.")) else "")
    if problem := _glob_problem(parts):
        raise ValueError(f"{_shown(text)} {problem}; {_ALLOWED}")
    anchored_by_dot = text.startswith("./") and len(parts) == 1 and is_glob(clean)
    return "./" + clean if anchored_by_dot else clean


def _ticked(text: str) -> tuple[str, str]:
    """The path in back-ticks and the comment after it."""
    match = _TICKED.fullmatch(text)
    if match is None:
        raise ValueError(f"{_shown(text)}: the back-ticks are not closed; {_ONE_PATH}")
    inner, rest = match["inner"], match["rest"]
    if inner.startswith(" ") and inner.endswith(" "):
        inner = inner[1:-1]
    if not _COMMENT.fullmatch(rest) or _LONE_PATH.fullmatch(rest):
        raise ValueError(f"{_shown(text)} could mean more than one path; {_ONE_PATH}")
    return inner, rest.strip()


def _bare(text: str) -> tuple[str, str]:
    """The path and the comment after it."""
    name = text.split(maxsplit=1)[0]
    rest = text[len(name) :]
    if name.endswith(":") and rest.strip():
        name, rest = name[:-1], ":" + rest
    if not _COMMENT.fullmatch(rest) or _LONE_PATH.fullmatch(rest):
        raise ValueError(f"{_shown(text)} could mean more than one path; {_ONE_PATH}")
    if name.startswith(('"', "'", "<")) or re.match(r"\[.*\]\(", name):
        raise ValueError(f"{_shown(name)} is quoted or a link; write the bare path, or put it in back-ticks")
    if re.search(r"[,;:]$|:\d+(-\d+)?$", name):
        raise ValueError(f"{_shown(name)} ends in more than a path; {_ONE_PATH}")
    return name, rest.strip()


def _character_problem(text: str) -> str | None:
    if not text or text != text.strip():
        return "is empty or has spaces around it"
    if len(text) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if _UNSEEN.search(text):
        return "has a control or invisible character"
    if "\\" in text:
        return "has a backslash: folders are separated by `/`, and nothing needs escaping in back-ticks"
    return None


def _place_problem(text: str) -> str | None:
    if text.startswith("!"):
        return "negates: a scope only adds"
    if text.startswith("/") or re.match(r"[A-Za-z]:/", text):
        return "is absolute: leave the leading `/` out, or write `./*.md` for a glob at the top only"
    if text.startswith("~"):
        return "is in a home folder"
    parts = text.split("/")
    if ".." in parts:
        return "leaves the repository by `..`"
    if any(re.fullmatch(r"\.{3,}", part) for part in parts):
        return "has a name of dots only: a folder with all that is in it is written `src/`"
    if any(fold(part) in (".git", "git~1") for part in parts):
        return "is in `.git`"
    if _BRACES.search(text):
        return "has braces, which are not expanded: write one entry for each"
    return None


def _glob_problem(parts: list[str]) -> str | None:
    if any("**" in part and part != "**" for part in parts):
        return "has `**` next to other characters: it stands alone between slashes"
    if any("[:" in part for part in parts):
        return "has a named character class, which is not supported: list the characters"
    if not any(_spells_something(part) for part in parts):
        return "is or could be the whole repository, which no scope may be"
    return None


def _spells_something(part: str) -> bool:
    meaning = segment(part)
    reading = meaning.readings[0] if isinstance(meaning, Segment) else tuple(meaning)
    return any(isinstance(item, str) and item != "." for item in reading)


def _shown(text: str) -> str:
    short = _UNSEEN.sub("\ufffd", text if len(text) <= 80 else text[:77] + "…")
    return short if "`" in short else f"`{short}`"
