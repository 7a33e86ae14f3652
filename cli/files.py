"""Selecting the files to upload, and their keys. Everything that cannot be uploaded is reported beforehand."""

import os
import stat
from collections import Counter
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
    """The files that were found. Iterating reads the directories again, so that memory does not grow with the files."""

    arguments: tuple[tuple[Path, str], ...]  # each with its key
    count: int
    size: int  # bytes of all files
    hidden: int  # entries that were skipped
    problems: list[str]  # one line each; if there are any, nothing should be uploaded

    def __iter__(self) -> Iterator[Item]:
        for path, key in self.arguments:
            yield from _Walk().visit(path, key)

    @property
    def items(self) -> list[Item]:
        """All files at once."""
        return list(self)


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
    # Not resolve(): a link keeps its own name.
    arguments = tuple((path, (start + Path(os.path.normpath(path.absolute())).name).rstrip("/")) for path in paths)
    walk = _Walk()
    named = Counter(key for _, key in arguments)
    known: dict[str, Path] = {}
    count = size = 0
    for path, key in arguments:
        before = count + len(walk.problems)
        for item in walk.visit(path, key):
            # Only arguments of the same name can contain the same keys.
            if named[key] > 1 and known.setdefault(item.key, item.path) is not item.path:
                walk.problems.append(f"{item.path}: it would have the same key as {known[item.key]}: {item.key}")
                continue
            count, size = count + 1, size + item.size
        if path.is_dir() and count + len(walk.problems) == before:
            walk.problems.append(f"{path}: there are no files in this directory")
    return Selection(arguments, count, size, walk.hidden, walk.problems)


class _Walk:
    """Yields files, and notes what cannot be uploaded."""

    def __init__(self) -> None:
        self.hidden = 0
        self.problems: list[str] = []

    def visit(self, path: Path, key: str, ancestors: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Item]:
        """The file at `path`, or the files in the directory."""
        try:
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if not stat.S_ISDIR(status.st_mode):
                yield _file(path, key, status)
            elif identity not in ancestors:  # otherwise a link points to a directory above it
                for child in self._visible(path):
                    yield from self.visit(child, f"{key}/{child.name}", ancestors | {identity})
        except FileNotFoundError:
            self.problems.append(f"{path}: {'the link is broken' if path.is_symlink() else 'no such file'}")
        except OSError as error:
            self.problems.append(f"{path}: cannot be read ({error.strerror})")
        except _Unusable as reason:
            self.problems.append(f"{path}: {reason}")

    def _visible(self, directory: Path) -> Iterator[Path]:
        # Names take less memory than paths, if a directory has very many files.
        for name in sorted(child.name for child in directory.iterdir()):
            if name.startswith(".") or name.lower() in _SYSTEM_FILES:
                self.hidden += 1
            else:
                yield directory / name


def _file(path: Path, key: str, status: os.stat_result) -> Item:
    """One file. Raises _Unusable, and OSError if it cannot be read."""
    if not stat.S_ISREG(status.st_mode):
        raise _Unusable("it is neither a file nor a directory")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise _Unusable("its name is not valid UTF-8, which S3 requires of keys") from None
    if length > MAX_KEY_BYTES:
        raise _Unusable(f"its key would have {length:,} bytes; S3's limit is {MAX_KEY_BYTES:,}")
    path.open("rb").close()
    return Item(path, key, status.st_size)
