"""Text from uploads, made safe to show in a mail, a log line, a terminal or a notification's attributes."""

import unicodedata

_ELLIPSIS = "…"
_JOINERS = "\u200c\u200d"  # not printable by Unicode's definition, but part of Persian and Hindi words and of emoji


def printable(text: str, limit: int | None = None) -> str:
    """`text`, in at most `limit` characters if given, with every character that does not print written as an escape.

    Escaped, as in a URL, are control characters, line and paragraph separators, bidirectional and other format
    controls, surrogates, and private or unassigned code points. Spaces of any width stay. A text that is too long ends
    with an ellipsis, and is never cut within an escape. The state machines escape in the same way.
    """
    # An escape is at least as long as its character, so what comes after the limit cannot be shown.
    shown = [c if _prints(c) else _escape(c) for c in (text if limit is None else text[: limit + 1])]
    if limit is None or sum(map(len, shown)) <= limit:
        return "".join(shown)
    while shown and sum(map(len, shown)) > limit - len(_ELLIPSIS):
        shown.pop()
    return "".join(shown) + _ELLIPSIS


def _prints(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))
