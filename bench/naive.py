"""What one writes first with Pillow: a full decode and a LANCZOS resize for each size. The reference for quality."""

from io import BytesIO

from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

from imagepipeline import renditions

_SPECS = renditions.parse(renditions.DEFAULT)

register_heif_opener()


def reference(data: bytes, size: tuple[int, int]) -> Image.Image:
    """The upright picture at `size`, by a full decode and LANCZOS, transparency on white."""
    with Image.open(BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("RGB", "RGBA"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    small = upright.resize(size, Image.Resampling.LANCZOS)
    if small.mode == "RGBA":
        white = Image.new("RGB", size, "white")
        white.paste(small, mask=small)
        return white
    return small


def render_default(data: bytes) -> dict[str, bytes]:
    """The three default renditions as JPEG files of quality 80."""
    with Image.open(BytesIO(data)) as image:
        stored = image.size
        sideways = image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5  # Pillow turns TIFF by itself
    files = {}
    for spec in _SPECS:
        scale = min(1.0, spec.width / stored[sideways], spec.height / stored[not sideways])
        small = reference(data, (round(stored[sideways] * scale), round(stored[not sideways] * scale)))
        file = BytesIO()
        small.save(file, "JPEG", quality=80)
        files[spec.name] = file.getvalue()
    return files
