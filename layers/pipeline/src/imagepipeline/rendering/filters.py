"""The filters that a rendition may ask for, on images in L, LA, RGB or RGBA."""

from collections.abc import Callable

from PIL import Image, ImageFilter, ImageOps

type Filter = Callable[[Image.Image], Image.Image]

# The weights of red, green and blue in each channel of the CSS filter of the same name (W3C Filter Effects, sepia(1)).
_SEPIA = (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0)
_BLUR_RADIUS = 0.02  # of the longer side: shapes remain visible, faces and text do not
_SHARPEN = ImageFilter.UnsharpMask(radius=1, percent=80, threshold=2)  # restores sharpness, but not noise
_AUTOCONTRAST_CUTOFF = 1  # percent of the darkest and of the lightest pixels


def apply(image: Image.Image, names: tuple[str, ...]) -> Image.Image:
    """The image after these filters, in their order. Only `blur` changes the transparency."""
    for name in names:
        image = _FILTERS[name](image)
    return image


def _on_colors(function: Filter) -> Filter:
    """The same filter for images with alpha, which keep their alpha channel."""

    def applied(image: Image.Image) -> Image.Image:
        if not image.mode.endswith("A"):
            return function(image)
        result = function(image.convert(image.mode[:-1]))
        result.putalpha(image.getchannel("A"))
        return result

    return applied


def _blurred(image: Image.Image) -> Image.Image:
    blur = ImageFilter.GaussianBlur(max(1, _BLUR_RADIUS * max(image.size)))
    if image.mode.endswith("A"):
        premultiplied = image.mode[:-1] + "a"
        return image.convert(premultiplied).filter(blur).convert(image.mode)
    return image.filter(blur)


_FILTERS: dict[str, Filter] = {
    "grayscale": _on_colors(lambda image: image.convert("L")),
    "sepia": _on_colors(lambda image: image.convert("RGB").convert("RGB", _SEPIA)),
    "blur": _blurred,
    "sharpen": _on_colors(lambda image: image.filter(_SHARPEN)),
    "autocontrast": _on_colors(lambda image: ImageOps.autocontrast(image, _AUTOCONTRAST_CUTOFF, preserve_tone=True)),
}
