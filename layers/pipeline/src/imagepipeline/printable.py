"""Text from uploads, made safe to show in a mail, a log line, a terminal or a notification's attributes."""

import unicodedata

from imagepipeline.keys import MAX_KEY_BYTES

_ELLIPSIS = "…"
_JOINERS = "\u200c\u200d"  # not printable by Unicode's definition, but part of Persian and Hindi words and of emoji


def printable(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, with every character that does not print written as an escape.

    Escaped, as in a URL, are control characters, line and paragraph separators, bidirectional and other format
    controls, surrogates, and private or unassigned code points. Spaces of any width stay. A text that is too long ends
    with an ellipsis, and is never cut within an escape. The state machines escape in the same way.
    """
    # An escape is at least as long as its character, so what comes after the limit can't be shown.
    shown = [c if _prints(c) else _escape(c) for c in text[: limit + 1]]
    if sum(map(len, shown)) <= limit:
        return "".join(shown)
    while shown and sum(map(len, shown)) > limit - len(_ELLIPSIS):
        shown.pop()
    return "".join(shown) + _ELLIPSIS


def printable_key(key: str) -> str:
    """The whole of an object's key, printable."""
    return printable(key, 3 * MAX_KEY_BYTES)  # an escape has three characters for each byte


def _prints(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))
