"""Text from uploads, made safe to show in a mail, a log line, a terminal or a notification's attributes."""

import unicodedata

_ELLIPSIS = "…"


def printable(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, with every character that does not print written as an escape.

    Escaped, as Python writes them, are control characters, line and paragraph separators, bidirectional and other
    format controls, surrogates, and private or unassigned code points. Spaces of any width stay. A text that is too
    long ends with an ellipsis, and is never cut within an escape.
    """
    # An escape is at least as long as its character, so what comes after the limit can't be shown.
    shown = [c if _prints(c) else c.encode("unicode-escape").decode("ascii") for c in text[: limit + 1]]
    if sum(map(len, shown)) <= limit:
        return "".join(shown)
    while shown and sum(map(len, shown)) > limit - len(_ELLIPSIS):
        shown.pop()
    return "".join(shown) + _ELLIPSIS


def _prints(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"
