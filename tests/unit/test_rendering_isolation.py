"""A decoder that crashes takes its own process with it, and the file is named as the cause."""

import ctypes
import faulthandler
import os
import time

import pytest
from PIL import Image

from imagepipeline.errors import DamagedImage
from imagepipeline.models import Header
from imagepipeline.rendering import decoding, isolation
from tests.unit import samples


def crash(by):
    """In the other process, without the report that pytest would print of its end."""
    faulthandler.disable()
    by()


class Decoder:
    """What a plug-in's class is to the code that uses it."""

    def __init__(self, load) -> None:
        self._load = load

    def __call__(self, file) -> Image.Image:
        image = Image.new("RGBA", (3, 2), (1, 2, 3, 4))
        image.info = {"exif": b"Exif\0\0", "icc_profile": b"profile", "other": object()}
        image.load = self._load
        return image


def test_pixels_exif_and_profile_come_out_of_the_other_process():
    image = isolation.decode(Decoder(lambda: None), b"", pixels=6)

    assert (image.mode, image.size, image.getpixel((2, 1))) == ("RGBA", (3, 2), (1, 2, 3, 4))
    assert image.info == {"exif": b"Exif\0\0", "icc_profile": b"profile"}


def test_a_decoder_that_reads_where_it_should_not_is_a_crash():
    with pytest.raises(isolation.Crashed, match="SIGSEGV"):
        isolation.decode(Decoder(lambda: crash(by=lambda: ctypes.string_at(0))), b"", pixels=6)


def test_a_decoder_that_ends_its_process_is_a_crash():
    with pytest.raises(isolation.Crashed):
        isolation.decode(Decoder(lambda: os._exit(3)), b"", pixels=6)


def test_an_image_larger_than_its_header_said_is_an_error():
    with pytest.raises(ValueError, match="3x2 pixels"):
        isolation.decode(Decoder(lambda: pytest.fail("decoded all the same")), b"", pixels=5)


def test_a_decoder_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(isolation, "_MOST_SECONDS", 1)

    with pytest.raises(isolation.Crashed, match="SIGALRM"):
        isolation.decode(Decoder(lambda: time.sleep(30)), b"", pixels=6)


def test_no_process_is_left_behind(monkeypatch):
    forked = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(fork()) or forked[-1])

    isolation.decode(Decoder(lambda: None), b"", pixels=6)

    [child] = forked
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


def test_a_heic_that_crashes_its_decoder_is_named_damaged(monkeypatch):
    import pillow_heif

    monkeypatch.setattr(pillow_heif, "HeifImageFile", Decoder(lambda: crash(by=os.abort)))

    with pytest.raises(DamagedImage, match="SIGABRT"):
        decoding.open_image(samples.heic("photo"), Header("HEIC", 120, 80))
