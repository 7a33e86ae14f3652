"""Decoding in a process of its own, for a decoder that a malicious file can crash or make write where it should not.

The child shares nothing with its parent but a piece of memory for the pixels. It is forked, so it has all modules and
the file already: a HEIC of 12 MP takes 1.1 to 1.3 times as long. Lambda has no /dev/shm, which rules multiprocessing
out.
"""

import base64
import json
import mmap
import os
import signal
from collections.abc import Callable
from io import BytesIO

from PIL import Image, ImageFile

_MAX_BYTES_PER_PIXEL = 4  # RGBA
_STRIP = 64  # rows
_MOST_SECONDS = 60  # half the function's timeout, and three times what the costliest picture takes: docs/limits.md
_INFO = ("exif", "icc_profile")


class Crashed(RuntimeError):
    """The decoder's process ended without an answer."""


def decode(decoder: Callable[[BytesIO], ImageFile.ImageFile], data: bytes, pixels: int) -> Image.Image:
    """What `decoder` makes of `data`: an image of at most `pixels`, with its EXIF and its ICC profile in `info`.

    Raises Crashed, or ValueError with the decoder's own message.
    """
    room = mmap.mmap(-1, max(1, pixels) * _MAX_BYTES_PER_PIXEL)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, only _exit: the parent's cleanup is not the child's to do.
        try:
            os.close(receiving)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever C code is at it
            signal.alarm(_MOST_SECONDS)
            answer = _decode_into(room, decoder, data)
            with open(sending, "w") as pipe:  # noqa: PTH123 - a file descriptor
                json.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(sending)
    with open(receiving) as pipe:  # noqa: PTH123
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not told:
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no answer"
        raise Crashed(f"decoding it crashed the decoder ({name})")
    answer = json.loads(told)
    if "error" in answer:
        raise ValueError(answer["error"])
    image = Image.frombuffer(answer["mode"], tuple(answer["size"]), room, "raw", answer["mode"], 0, 1)
    image.info = {name: base64.b64decode(value) for name, value in answer["info"].items()}
    return image


def _decode_into(room: mmap.mmap, decoder: Callable[[BytesIO], ImageFile.ImageFile], data: bytes) -> dict:
    try:
        image = decoder(BytesIO(data))
        if image.width * image.height > len(room) // _MAX_BYTES_PER_PIXEL:
            raise ValueError(f"its content is {image.width}x{image.height} pixels, and its header says less")
        image.load()
        # In strips: a copy of the whole picture would cost more in page faults than in copying.
        for top in range(0, image.height, _STRIP):
            room.write(image.crop((0, top, image.width, min(top + _STRIP, image.height))).tobytes())
    except Exception as error:  # noqa: BLE001 - told to the parent, which knows what to make of it
        return {"error": f"{type(error).__name__}: {error}"}
    info = {name: base64.b64encode(image.info[name]).decode() for name in _INFO if image.info.get(name)}
    return {"mode": image.mode, "size": image.size, "info": info}
