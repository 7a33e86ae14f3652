"""From any pixel mode to eight bits a channel, and from any embedded ICC profile to sRGB."""

from io import BytesIO

from PIL import Image, ImageCms


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The image in L, RGB, CMYK, LA or RGBA: shades instead of palette indexes and bits, so that it can be scaled."""
    if image.mode in ("L", "RGB", "CMYK", "LA", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return image.point([value / 257 for value in range(65536)], "L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str, list[str]]:
    """The image in sRGB (L, RGB, LA or RGBA), its colour space's name, and notes on what could not be honoured."""
    notes = []
    if profile:
        try:
            return (*_transform(image, profile), notes)
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("broken ICC profile ignored")
    if image.mode == "CMYK":
        return image.convert("RGB"), "CMYK", notes
    return image, "sRGB", notes


def flatten(image: Image.Image) -> Image.Image:
    """The image on white, without its alpha channel."""
    if image.mode not in ("LA", "RGBA"):
        return image
    white = Image.new(image.mode[:-1], image.size, "white")
    white.paste(image.convert(white.mode), mask=image.getchannel("A"))
    return white


def _transform(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    name = ImageCms.getProfileDescription(source).strip()
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colors = image.convert(image.mode[:-1]) if alpha else image
    colors = ImageCms.profileToProfile(colors, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if alpha:
        colors.putalpha(alpha)
    return colors, name
