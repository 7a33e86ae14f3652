"""The one version of MiniStack this package changes, and the changes: checked all together before any is made."""

import functools
import inspect
from collections.abc import Callable, MutableMapping
from importlib.metadata import version

VERSION = "1.5.33"

_patches: list["_Patch"] = []


class UpstreamChanged(Exception):
    """MiniStack is not what the patches were written for. The message names each difference."""


def require_version() -> None:
    """Raise `UpstreamChanged` unless the installed MiniStack is exactly `VERSION`."""
    found = version("ministack")
    if found != VERSION:
        raise UpstreamChanged(f"the local emulator patches MiniStack {VERSION}; installed is {found}")


def patch(owner: object, signature: str) -> Callable:
    """Decorate the replacement of a MiniStack function: `@patch(module, "_name(its, parameters)")`.

    `owner` is the module, class or dictionary that holds the function under that name. The replacement gets the
    original as its first argument, then what the caller passed. Nothing changes before `install`.
    """

    def register(replacement: Callable) -> Callable:
        _patches.append(_Patch(owner, signature, replacement))
        return replacement

    return register


def install() -> None:
    """Make every registered patch, or none: raises `UpstreamChanged` naming those whose original is gone or changed."""
    problems = [problem for patch in _patches if (problem := patch.problem())]
    if problems:
        raise UpstreamChanged("; ".join(problems))
    for registered in _patches:
        registered.apply()


class _Patch:
    def __init__(self, owner: object, signature: str, replacement: Callable) -> None:
        self.signature = signature
        self._name = signature.partition("(")[0]
        self._owner = owner
        self._replacement = replacement

    def problem(self) -> str | None:
        original = self._original()
        if original is None:
            return f"{self.signature} is gone"
        found = f"{self._name}({', '.join(inspect.signature(original).parameters)})"
        return None if found == self.signature else f"{self.signature} is now {found}"

    def apply(self) -> None:
        original = self._original()

        @functools.wraps(original)
        def patched(*args: object, **kwargs: object) -> object:
            return self._replacement(original, *args, **kwargs)

        if isinstance(self._owner, MutableMapping):
            self._owner[self._name] = patched
        else:
            setattr(self._owner, self._name, patched)

    def _original(self) -> Callable | None:
        if isinstance(self._owner, MutableMapping):
            return self._owner.get(self._name)
        return getattr(self._owner, self._name, None)
