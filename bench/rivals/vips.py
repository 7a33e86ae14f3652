"""libvips through pyvips, one thread, no cache between runs: as its documentation advises for thumbnails."""

import pyvips

_BOXES = {"large": (1280, 1280), "medium": (640, 480), "small": (100, 100)}

pyvips.cache_set_max(0)


def per_size(data: bytes) -> dict[str, bytes]:
    """One thumbnail call a size: each decodes the file again, at the scale it needs."""
    return {
        name: _jpeg(pyvips.Image.thumbnail_buffer(data, width, height=height, size="down"))
        for name, (width, height) in _BOXES.items()
    }


def cascade(data: bytes) -> dict[str, bytes]:
    """One decode; each size from the one before."""
    files = {}
    image = None
    for name, (width, height) in _BOXES.items():
        if image is None:
            image = pyvips.Image.thumbnail_buffer(data, width, height=height, size="down")
        else:
            image = image.thumbnail_image(width, height=height, size="down")
        image = image.copy_memory()
        files[name] = _jpeg(image)
    return files


def _jpeg(image: pyvips.Image) -> bytes:
    return image.write_to_buffer(".jpg", Q=80, keep="none", background=255)
