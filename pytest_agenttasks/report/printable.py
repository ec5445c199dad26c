"""Text of unknown origin, made fit for terminals, XML reports and prompts."""

from __future__ import annotations

import os
import re
from pathlib import Path

TAIL_LIMIT = 16 * 1024

# Payloads stop at any control character: an unterminated sequence must not hide the lines after it.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\|\x9c)"  # OSC and the like
    r"|\x1b[ -/]++[0-~]"  # character sets
    r"|\x1b[0-OQ-WYZ\\`-~]"  # single functions
)
# Control characters; what hides or reorders text; lone surrogates; what XML 1.0 forbids.
_UNSAFE = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\ufffe\uffff\U000e0000-\U000e0fff"
)
_UNSAFE_RUN = re.compile(rf"([{_UNSAFE}])\1*")
_LONGEST_SHOWN_RUN = 8


def printable(text: str) -> str:
    """`text` with terminal sequences removed and every unsafe character shown as an escape such as `\\x1b`.

    Only `\\n` and `\\t` stay of the control characters. A line that a program rewrote with carriage returns
    (a progress bar) keeps one state of each wording. The result encodes as UTF-8 and is legal in XML 1.0.
    """
    text = _SEQUENCE.sub("", text)
    if "\r" in text:
        text = "\n".join(_collapse(line) if "\r" in line else line for line in text.split("\n"))
    return _UNSAFE_RUN.sub(_escape, text)


def one_line(text: str, limit: int = 200) -> str:
    """`printable(text)` as one line of at most `limit` characters, cut with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def encodable(text: str) -> str:
    """`text` with its lone surrogates (bytes of a name that is no UTF-8) as escapes: the rest stays as it is."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def tail(data: bytes, limit: int = TAIL_LIMIT) -> str:
    """The end of `data` as printable text of at most `limit` bytes of UTF-8.

    Where something was cut, a first line says how many bytes were left out, and the text goes on at the start
    of a line (within a line only where lines are very long).
    """
    return _tail(data[-limit:] if limit else b"", len(data), limit)


def tail_of_file(path: Path, limit: int = TAIL_LIMIT) -> str:
    """The `tail` of a file, reading only its end. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - limit, 0))
        return _tail(file.read(limit), size, limit)


def _tail(end: bytes, total: int, limit: int) -> str:
    """The printable tail of `total` bytes that end with `end`."""
    while True:  # escapes take more room than the bytes they stand for
        if len(end) < total:
            end = _from_line_start(end)
        text = printable(end.decode("utf-8", "replace"))
        room = len(text.encode())
        if room <= limit:
            break
        end = end[len(end) - min(len(end) * limit // room, len(end) - 1) :]
    left_out = total - len(end)
    return f"[… {left_out:,} bytes left out]\n{text}" if left_out else text


def _from_line_start(data: bytes) -> bytes:
    newline = data.find(b"\n", 0, len(data) // 2)
    if newline >= 0:
        return data[newline + 1 :]
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


def _collapse(line: str) -> str:
    kept: list[str] = []
    wording = None
    for state in line.split("\r"):
        if not state.strip():
            continue
        letters = "".join(filter(str.isalpha, state))
        if kept and letters == wording:
            kept.pop()
        kept.append(state)
        wording = letters
    return "\n".join(kept)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[1])
    shown = f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    count = len(match[0])
    return shown * count if count <= _LONGEST_SHOWN_RUN else f"{shown}*{count}"
