"""Rendering in a process of its own, within a budget of processor time and memory that the kernel enforces.

No file can crash the function, exhaust its memory or keep it busy: what becomes of the worker process decides on the
rejection. The worker is forked, so it has the modules already, and serves one file after another, because in a new
process every page of memory has to be faulted in again: 40 % of a 12 MP JPEG's time, where handing the file over costs
2 %. Lambda has no /dev/shm, which rules multiprocessing out.
"""

import math
import os
import pickle
import resource
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never, cast

from imagepipeline import errors, limits
from imagepipeline.errors import DamagedImage, ImageRejected, TooComplex
from imagepipeline.geometry import Box, Size
from imagepipeline.models import Header
from imagepipeline.rendering import Locate, Rendered, decoding
from imagepipeline.rendering import render as render_here
from imagepipeline.renditions import RenditionSpec

# libheif's tests and fuzzers keep finding memory errors (docs/limits.md): what it may have overwritten ends with it.
_CRASHABLE = ("HEIC",)
# A worker keeps the memory that it has freed, in pieces. So that no picture is refused for what an earlier one took, a
# worker that held more than this serves no other file, and a picture that may take more than that gets a new worker.
_REUSABLE_BYTES = 384 * limits.MIB
_LARGE_BYTES = 512 * limits.MIB

# Bytes of data and of resident memory that the function's process has when it forks a worker, at most. A process that
# has more, such as a test's, passes it on to the worker, which must be charged only for what it allocates itself.
_INHERITED_BYTES = 100 * limits.MIB


class WorkerFailed(RuntimeError):
    """The worker raised something that is no rejection: a bug of the pipeline. The message has its traceback."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What a worker asks before it crops: where the faces in this JPEG are."""

    jpeg: bytes
    size: Size


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a worker says of one file: exactly one of the first three is set."""

    rendered: Rendered | None = None
    rejection: tuple[str, str] | None = None  # name of the error's class, message
    failure: str | None = None  # traceback
    peak_bytes: int = 0  # of resident memory since the worker began, less what it inherited beyond the usual


def render(data: bytes, header: Header, specs: tuple[RenditionSpec, ...], locate: Locate | None = None) -> Rendered:
    """All renditions of the image in `data`, as `rendering.render` makes them, by the worker process.

    The worker, which has no connections, asks for faces, and `locate` is called in this process. Raises the same
    errors, those of `locate`, TooComplex if the budget runs out, and DamagedImage if the decoder crashes.
    """
    if limits.decoding_bytes(header) > _LARGE_BYTES:
        end_worker()
    worker = _Worker.waiting if _Worker.waiting and _Worker.waiting.is_running() else _Worker(header)
    _Worker.waiting = None
    try:
        answer = worker.ask(data, header, specs, locate)
    except Exception:  # of `locate`, while the worker waits
        worker.end()
        raise
    if answer.rendered and answer.peak_bytes <= _REUSABLE_BYTES and header.format not in _CRASHABLE:
        _Worker.waiting = worker
    else:
        worker.end()
    if answer.failure:
        raise WorkerFailed(answer.failure)
    if answer.rejection:
        name, message = answer.rejection
        error: type[ImageRejected] = getattr(errors, name)
        raise error.__new__(error, message)  # without __init__, which words the message from its parts
    rendered = cast(Rendered, answer.rendered)
    if header.format == "TIFF":  # its EXIF block is the file itself, which never left this process
        rendered = replace(rendered, picture=replace(rendered.picture, exif=data))
    return rendered


def end_worker() -> None:
    """End the process that waits for the next file, if there is one."""
    if _Worker.waiting:
        _Worker.waiting.end()
    _Worker.waiting = None


class _Worker:
    """A forked process that renders the files it is handed, one at a time."""

    waiting: "_Worker | None" = None  # for the next file

    def __init__(self, header: Header) -> None:
        decoding.decoder(header)  # imported here, so that every later worker has it
        self._connection, theirs = socket.socketpair()
        self._process = os.fork()
        if not self._process:
            _serve(theirs)
        theirs.close()
        self._connection.settimeout(limits.WALL_CLOCK_SECONDS)
        self._stream = self._connection.makefile("rwb")

    def is_running(self) -> bool:
        ended, _ = os.waitpid(self._process, os.WNOHANG)
        if ended:
            self._process = 0
            self.end()
        return not ended

    def ask(self, data: bytes, header: Header, specs: tuple[RenditionSpec, ...], locate: Locate | None) -> _Answer:
        """The worker's answer. If it ends without one, the answer is a rejection that follows from how it ended."""
        answer = self._exchange((data, header, specs, locate is not None), header, specs)
        while isinstance(answer, _Question):
            faces = cast(Locate, locate)(answer.jpeg, answer.size)
            answer = self._exchange(faces, header, specs)
        return answer

    def _exchange(self, message: object, header: Header, specs: tuple[RenditionSpec, ...]) -> _Question | _Answer:
        try:
            pickle.dump(message, self._stream)
            self._stream.flush()
            # The worker has this process's credentials: by what is unpickled it gains nothing.
            return cast(_Question | _Answer, pickle.load(self._stream))  # noqa: S301 (from the worker)
        except TimeoutError:
            seconds = limits.WALL_CLOCK_SECONDS
            return _rejected(TooComplex(f"the {header.format} was not decoded within {seconds} seconds"))
        except (OSError, EOFError, pickle.UnpicklingError):
            _, status = os.waitpid(self._process, 0)
            self._process = 0
            return _rejected(_explain(status, header, limits.processor_seconds(specs)))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        with suppress(OSError):  # closing sends what is still buffered
            self._stream.close()
        self._connection.close()


def _explain(status: int, header: Header, seconds: int) -> ImageRejected:
    """The rejection that follows from a worker's exit status.

    A crash says that the file breaks the format's rules in a way that the decoder does not expect, so the image is
    damaged. A file may keep all the rules and still exceed the budget, so that is TooComplex.
    """
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if ended_by == signal.SIGXCPU:
        return TooComplex(f"the {header.format} takes more than {seconds} seconds of processor time to decode")
    if ended_by == signal.SIGKILL:  # sent by the kernel where memory ends
        return TooComplex(f"the {header.format} takes more memory to decode than the function has")
    reason = signal.Signals(ended_by).name if ended_by else f"exit status {os.WEXITSTATUS(status)}"
    return DamagedImage(header.format, f"decoding it crashed the decoder ({reason})")


# ---------------------------------------------------------------------------------------------------------- the worker


def _serve(connection: socket.socket) -> Never:
    """Answer one request after another, until the function's process ends or the kernel ends this one."""
    try:
        # Connections to AWS belong to the function's process. An open copy here would keep them from closing.
        os.closerange(3, connection.fileno())
        os.closerange(connection.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        _limit(resource.RLIMIT_CORE, 0)
        surplus = _surplus()
        stream = connection.makefile("rwb")

        def locate(jpeg: bytes, size: Size) -> Sequence[Box]:
            pickle.dump(_Question(jpeg, size), stream)
            stream.flush()
            return cast(Sequence[Box], pickle.load(stream))  # noqa: S301 (from the function's process)

        while True:
            data, header, specs, locates = pickle.load(stream)  # noqa: S301 (from the function's process)
            pickle.dump(_answer(data, header, specs, locate if locates else None, surplus), stream)
            stream.flush()
    finally:
        # Nothing else: what would be cleaned up is the function's process's to clean up.
        os._exit(0)


@dataclass(frozen=True, slots=True)
class _Surplus:
    """What the worker inherited beyond what a function's process has, in bytes."""

    data: int = 0  # as RLIMIT_DATA counts it
    resident: int = 0


def _surplus() -> _Surplus:
    """The surplus of this process, which has just been forked; none on systems without /proc."""
    try:
        pages = Path("/proc/self/statm").read_text().split()
    except FileNotFoundError:
        return _Surplus()
    resident, data = (int(pages[column]) * resource.getpagesize() for column in (1, 5))
    return _Surplus(max(0, data - _INHERITED_BYTES), max(0, resident - _INHERITED_BYTES))


def _answer(
    data: bytes, header: Header, specs: tuple[RenditionSpec, ...], locate: Locate | None, surplus: _Surplus
) -> _Answer:
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + limits.processor_seconds(specs))
    _limit(resource.RLIMIT_DATA, surplus.data + limits.worker_bytes(len(data)))
    try:
        rendered = render_here(data, header, specs, locate)
    except ImageRejected as rejection:
        return _rejected(rejection)
    except MemoryError:
        return _rejected(TooComplex(f"the {header.format} takes more memory to decode than the function has"))
    except Exception:  # noqa: BLE001 (raised again in the function's process)
        return _Answer(failure=traceback.format_exc())
    if header.format == "TIFF":
        rendered = replace(rendered, picture=replace(rendered.picture, exif=None))
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - surplus.resident
    return _Answer(rendered, peak_bytes=peak_bytes)


def _rejected(error: ImageRejected) -> _Answer:
    return _Answer(rejection=(type(error).__name__, str(error)))


def _limit(kind: int, most: int) -> None:
    """Set the soft limit, which the next file may raise again."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
