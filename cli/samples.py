"""The files that `image-pipeline check` uploads, without an imaging library: small pictures, and files to reject."""

import base64
import struct
import zlib

MARK = b"image-pipeline check"  # the camera and the comment in the JPEG: a rendition must not contain it

# Stored as 160x120 pixels, to be shown as 120x160: EXIF orientation 6. Shown upright, its bright corner is the upper
# left one. It also names a camera and a place, and has a comment. Written with Pillow:
#   image = Image.new("RGB", (160, 120), (40, 60, 90))
#   ImageDraw.Draw(image).rectangle((0, 60, 79, 119), fill=(250, 240, 200)), and (80, 0, 159, 59) in (20, 70, 40)
#   image.save(..., "JPEG", quality=60, optimize=True, comment=MARK, exif=...), with Make, Orientation and GPS
SIDEWAYS_JPEG = base64.b64decode(
    """
/9j/4AAQSkZJRgABAQAAAQABAAD/4QC2RXhpZgAATU0AKgAAAAgAAwEPAAIAAAAVAAAAMgESAAMAAAABAAYAAIglAAQAAAABAAAASAAAAABpbW
FnZS1waXBlbGluZSBjaGVjawAAAAQAAQACAAAAAk4AAAAAAgAFAAAAAwAAAH4AAwACAAAAAkUAAAAABAAFAAAAAwAAAJYAAAAAAAAANAAAAAEA
AAAfAAAAAQAAAAAAAAABAAAADQAAAAEAAAAYAAAAAQAAAAAAAAAB//4AFmltYWdlLXBpcGVsaW5lIGNoZWNr/9sAQwANCQoLCggNCwoLDg4NDx
MgFRMSEhMnHB4XIC4pMTAuKS0sMzpKPjM2RjcsLUBXQUZMTlJTUjI+WmFaUGBKUVJP/9sAQwEODg4TERMmFRUmTzUtNU9PT09PT09PT09PT09P
T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P/8AAEQgAeACgAwEiAAIRAQMRAf/EABcAAQEBAQAAAAAAAAAAAAAAAAACBgf/xA
AaEAEAAQUAAAAAAAAAAAAAAAAAEhdhZaTi/8QAFwEBAQEBAAAAAAAAAAAAAAAAAAQFA//EABoRAQACAwEAAAAAAAAAAAAAAAACEwEDURL/2gAM
AwEAAhEDEQA/AMmAqcAAAAAAAAEAIXEAAAAAAABYC52AAAAAAAAQAhcQAAAAAAAFgLnYAAAAAAABACFxAAAAAAAAWNxT3K6/RT3K6/Sm/X1TXJ
hxuKe5XX6Ke5XX6L9fSuTDjcU9yuv0U9yuv0X6+lcmHG4p7ldfop7ldfov19K5MONxT3K6/RT3K6/Rfr6VyYQVG5G7lVLifzlIqNyNyqXDzlIq
NyNyqXDzlIqNyNyqXDzlIqNyNyqXDzl3EBE0QAAAAAAAHDwGujAAAAAAAAdwAZCwAAAAAAABw8BrowAAAAAAAHcAGQsAAAAAAAAcPAa6MAAAAA
AAB3ABkLAAAAAAAAHDwGujAAAAAAAAf//Z
"""
)
SIDEWAYS_SIZE = 120, 160  # upright

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"1 0 obj\n<< /Type /Catalog >>\nendobj\n" * 40 + b"%%EOF\n"


def png(width: int, height: int, blue: int = 128) -> bytes:
    """A PNG of a colour gradient; `blue` is 0 to 255."""
    row = b"".join(bytes((x * 255 // width, 255 - x * 255 // width, blue)) for x in range(width))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    pixels = zlib.compress((b"\0" + row) * height)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def cut_off_jpeg() -> bytes:
    """A JPEG without its end."""
    return SIDEWAYS_JPEG[:-120]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
