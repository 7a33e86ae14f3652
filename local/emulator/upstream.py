"""The pinned version of MiniStack and the registry of patches, which are verified together before any is applied."""

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
        raise UpstreamChanged(f"the local emulator patches MiniStack {VERSION}, but {found} is installed")


def patch(owner: object, signature: str) -> Callable:
    """Decorate the replacement of a MiniStack function: `@patch(module, "_name(its, parameters)")`.

    `owner` is the module, class or dictionary that holds the function under that name. The replacement receives the
    original function, then the caller's arguments. Nothing changes until `install` is called.
    """

    def register(replacement: Callable) -> Callable:
        _patches.append(_Patch(owner, signature, replacement))
        return replacement

    return register


def add(owner: MutableMapping, name: str, value: object) -> None:
    """Add to a dictionary of MiniStack's what it lacks. Raises `UpstreamChanged` if it lacks it no more."""
    if name in owner:
        raise UpstreamChanged(f"MiniStack has {name} itself: remove this project's")
    owner[name] = value


def install() -> None:
    """Apply every registered patch, or none: raises `UpstreamChanged` if any original is missing or has changed."""
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
            return f"{self.signature} does not exist"
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
