"""JSON as ARM's own reader takes it: with comments, names without quotes, single quotes, trailing commas, line breaks.

Pure text to text. The az command line sends templates in this way: the user's file, comments and all, after a name
without quotes.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_PIECE = re.compile(
    r'"(?:\\.|[^"\\])*"'
    r"|'(?:\\.|[^'\\])*'"
    r"|//[^\n\r]*|/\*.*?\*/"
    r"|[A-Za-z_$][\w$]*(?=\s*:)"
    r"|,(?=(?:\s|//[^\n\r]*|/\*.*?\*/)*[}\]])",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f]")


def loads(text: str) -> Any:
    """Read a document; raises ValueError where it is none."""
    return orjson.loads(_PIECE.sub(lambda found: _strict(found[0]), text))


def _strict(piece: str) -> str:
    match piece[0]:
        case '"':
            return _without_control(piece)
        case "'":
            inner = piece[1:-1].replace("\\'", "'")
            return _without_control('"' + re.sub(r'(?<!\\)"', '\\"', inner) + '"')
        case "/" | ",":
            return " "
    return f'"{piece}"'


def _without_control(quoted: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
