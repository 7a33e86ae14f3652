"""Recognising a file's format from its first bytes: the accepted formats, and names for the most common others.

Signatures come from the formats' own specifications. Where a signature is short or shared (BM, RIFF, ftyp, II*), a
second field decides.
"""

from imagepipeline.errors import UnsupportedFormat

ACCEPTED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIC")
START_BYTES = 4096  # what `recognise` is given: in markup, a long comment may come before the first tag

_AVIF_BRANDS = frozenset(("avif", "avis"))
_HEIF_BRANDS = frozenset(("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"))
_BMP_HEADER_SIZES = frozenset((12, 40, 52, 56, 64, 108, 124))

_FOREIGN = (
    (b"%PDF-", "a PDF document"),
    (b"8BPS", "a Photoshop (PSD) file"),
    (b"%!", "a PostScript (EPS) file"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"IIU\x00", "a camera raw (RW2) file"),
    (b"IIRO", "a camera raw (ORF) file"),
    (b"IIRS", "a camera raw (ORF) file"),
    (b"MMOR", "a camera raw (ORF) file"),
    (b"FUJIFILMCCD-RAW", "a camera raw (RAF) file"),
    (b"FOVb", "a camera raw (X3F) file"),
    (b"\x00MRM", "a camera raw (MRW) file"),
    (b"\x00\x00\x01\x00", "a Windows icon (ICO)"),
    (b"\x00\x00\x02\x00", "a Windows cursor (CUR)"),
    (b"gimp xcf", "a GIMP (XCF) file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"qoif", "a QOI image"),
    (b"DDS ", "a DirectDraw (DDS) texture"),
    (b"BLP1", "a Blizzard (BLP) texture"),
    (b"BLP2", "a Blizzard (BLP) texture"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"\x00\x00\x01\xba", "an MPEG video"),
    (b"\x00\x00\x01\xb3", "an MPEG video"),
    (b"FLV\x01", "a Flash video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC sound"),
    (b"ID3", "an MP3 sound"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a Microsoft Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"{\\rtf", "an RTF document"),
)
_RIFF = {b"WAVE": "a WAV sound", b"AVI ": "an AVI video"}
_QUICKTIME_BOXES = (b"moov", b"mdat", b"wide", b"pnot")


def recognise(start: bytes) -> str:
    """The format of a file that begins with these bytes: one of `ACCEPTED`.

    AVIF and HEIC share a container, so either may turn out to be the other.
    Raises UnsupportedFormat, whose message names what the file looks like instead.
    """
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")) and start[8:10] != b"CR":
        return "TIFF"
    if start.startswith(b"BM") and int.from_bytes(start[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if start[4:8] == b"ftyp":
        brands = _brands(start)
        if _AVIF_BRANDS.intersection(brands):
            return "AVIF"
        if _HEIF_BRANDS.intersection(brands):
            return "HEIC"
    raise UnsupportedFormat(_describe(start), ACCEPTED)


def _brands(start: bytes) -> list[str]:
    """The major brand of an ISO media file, followed by the compatible brands."""
    end = min(int.from_bytes(start[:4]), len(start))
    return [start[at : at + 4].decode("latin-1") for at in (8, *range(16, end, 4))]


def _describe(start: bytes) -> str:
    """What bytes of no accepted format look like, as the end of the sentence "the content is …"."""
    for signature, name in _FOREIGN:
        if start.startswith(signature):
            return name
    if start.startswith((b"II*\x00", b"MM\x00*")):
        return "a camera raw (CR2) file"
    if start.startswith(b"RIFF"):
        return _RIFF.get(start[8:12], "a RIFF file that is not WebP")
    if start[4:8] == b"ftyp":
        return _describe_iso_media(_brands(start)[0])
    if start[4:8] in _QUICKTIME_BOXES:
        return "a QuickTime video"
    if start.startswith(b"PK\x03\x04"):
        return "a Microsoft Office document" if b"[Content_Types].xml" in start else "a ZIP archive"
    if start[128:132] == b"DICM":
        return "a DICOM image"
    if not start.strip(b"\x00"):
        return "nothing but zero bytes"
    return _describe_text(start) or "of an unknown format"


def _describe_iso_media(major_brand: str) -> str:
    if major_brand == "crx ":
        return "a camera raw (CR3) file"
    if major_brand == "mif3":
        return "a HEIF file with a compact (mini) header"
    return "a QuickTime video" if major_brand == "qt  " else "an MP4 video"


def _describe_text(start: bytes) -> str | None:
    """The kind of text, or None if it is not text."""
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = start.decode(encoding, errors="ignore").strip().lower()
    if not text or any(ord(character) < 32 and not character.isspace() for character in text):
        return None
    if "<svg" in text and text.startswith("<"):
        return "an SVG drawing"
    if text.startswith(("<!doctype html", "<html", "<head", "<body")) or ("<html" in text and text.startswith("<")):
        return "an HTML page"
    if text.startswith("<?xml"):
        return "an XML document"
    # Decoding drops a few bytes of a text in another encoding, but most bytes of binary data.
    return "text" if len(text.encode()) >= 0.9 * len(start.strip()) or encoding == "utf-16" else None
