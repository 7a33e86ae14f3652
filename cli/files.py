"""Selecting the files to upload, and their keys. Everything that cannot be uploaded is reported beforehand."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX

_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}  # Windows' own; macOS's and Linux's begin with a dot


@dataclass(frozen=True, slots=True)
class Item:
    """One file to upload."""

    path: Path
    key: str
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Selection:
    """The files that were found, how many hidden entries were skipped, and what prevents the upload."""

    items: list[Item]
    hidden: int
    problems: list[str]  # one line each; if there are any, nothing should be uploaded


class _Unusable(Exception):
    """One path cannot be uploaded."""


def select(paths: Iterable[Path], prefix: str = "") -> Selection:
    """The files at `paths`, with their keys.

    A file `cat.jpg` gets the key `uploads/cat.jpg`, and one in a directory `trip` the key `uploads/trip/<path within
    it>`, wherever the path leads and however it is written (`trip`, `trip/`, `.` inside it). `prefix`, without slashes
    around it, is inserted after `uploads/`. Names are used as the file system has them. Hidden files within directories
    are skipped; links are followed.
    """
    start = UPLOADS_PREFIX + (f"{prefix}/" if prefix else "")
    walk = _Walk()
    for path in paths:
        # Not resolve(): a link keeps its own name.
        walk.argument(path, (start + Path(os.path.normpath(path.absolute())).name).rstrip("/"))
    return Selection(list(walk.items.values()), walk.hidden, walk.problems)


class _Walk:
    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.hidden = 0
        self.problems: list[str] = []

    def argument(self, path: Path, key: str) -> None:
        known = len(self.items) + len(self.problems)
        self._visit(path, key, ancestors=frozenset())
        if path.is_dir() and len(self.items) + len(self.problems) == known:
            self.problems.append(f"{path}: there are no files in this directory")

    def _visit(self, path: Path, key: str, ancestors: frozenset[tuple[int, int]]) -> None:
        try:
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if not stat.S_ISDIR(status.st_mode):
                self._file(path, key, status)
            elif identity not in ancestors:  # otherwise a link points to a directory above it
                for child in self._visible(path):
                    self._visit(child, f"{key}/{child.name}", ancestors | {identity})
        except FileNotFoundError:
            self.problems.append(f"{path}: {'the link is broken' if path.is_symlink() else 'no such file'}")
        except OSError as error:
            self.problems.append(f"{path}: cannot be read ({error.strerror})")
        except _Unusable as reason:
            self.problems.append(f"{path}: {reason}")

    def _visible(self, directory: Path) -> Iterator[Path]:
        for path in sorted(directory.iterdir()):
            if path.name.startswith(".") or path.name.lower() in _SYSTEM_FILES:
                self.hidden += 1
            else:
                yield path

    def _file(self, path: Path, key: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise _Unusable("it is neither a file nor a directory")
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            raise _Unusable("its name is not valid UTF-8, which S3 requires of keys") from None
        if length > MAX_KEY_BYTES:
            raise _Unusable(f"its key would have {length:,} bytes; S3's limit is {MAX_KEY_BYTES:,}")
        if key in self.items:
            raise _Unusable(f"it would have the same key as {self.items[key].path}: {key}")
        path.open("rb").close()
        self.items[key] = Item(path, key, status.st_size)
