"""WebP headers (RFC 9649): the first chunk of the RIFF, and the frames of an animation."""

from imagepipeline.errors import DamagedImage
from imagepipeline.models import Header
from imagepipeline.probing.ranges import Ranges

_ANIMATION, _ALPHA = 0x02, 0x10  # VP8X flags


def read_header(file: Ranges) -> Header:
    """The header of a WebP; `frames` of an animation counts those that begin within the bytes read so far."""
    promised = int.from_bytes(file.take(4, 4), "little") + 8
    if promised > file.size:
        raise DamagedImage("WEBP", f"it should have {promised:,} bytes, but has {file.size:,}")
    kind = file.take(12, 4)
    if kind == b"VP8 ":
        return _read_lossy(file.take(20, 10))
    if kind == b"VP8L":
        return _read_lossless(file.take(20, 5))
    if kind == b"VP8X":
        return _read_extended(file)
    raise DamagedImage("WEBP", "its first chunk holds no picture")


def _read_lossy(frame: bytes) -> Header:
    is_key_frame = not frame[0] & 1
    if not is_key_frame or frame[3:6] != b"\x9d\x01\x2a":
        raise DamagedImage("WEBP", "its picture does not begin with a VP8 key frame")
    return _header(int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF)


def _read_lossless(stream: bytes) -> Header:
    bits = int.from_bytes(stream[1:5], "little")
    if stream[0] != 0x2F or bits >> 29:
        raise DamagedImage("WEBP", "its picture does not begin with a VP8L header")
    return _header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, has_alpha=bool(bits >> 28 & 1))


def _read_extended(file: Ranges) -> Header:
    chunk = file.take(20, 10)
    width, height = int.from_bytes(chunk[4:7], "little") + 1, int.from_bytes(chunk[7:10], "little") + 1
    frames = _count_frames(file) if chunk[0] & _ANIMATION else 1
    return _header(width, height, has_alpha=bool(chunk[0] & _ALPHA), frames=frames)


def _count_frames(file: Ranges) -> int:
    count, position = 0, 12
    while chunk := file.peek(position, 8):
        count += chunk[:4] == b"ANMF"
        length = int.from_bytes(chunk[4:], "little")
        position += 8 + length + length % 2
    return max(count, 1)


def _header(width: int, height: int, *, has_alpha: bool = False, frames: int = 1) -> Header:
    if not width or not height:
        raise DamagedImage("WEBP", f"its header says {width}x{height} pixels")
    return Header("WEBP", width, height, frames=frames, color_mode="RGBA" if has_alpha else "RGB")
