"""The budget of the worker process: whatever a file does to it, the result is a named rejection."""

import ctypes
import faulthandler
import os
import signal
import socket
import time
from contextlib import suppress

import pytest

from imagepipeline import exif, limits, renditions
from imagepipeline.errors import DamagedImage, RekognitionThrottled, TooComplex
from imagepipeline.models import Header
from imagepipeline.probing import probe_whole
from imagepipeline.rendering import isolation
from imagepipeline.rendering import render as render_here
from tests.unit import samples

SPECS = renditions.parse("small=20x20")
JPEG = samples.encoded("JPEG")


@pytest.fixture(autouse=True)
def new_worker():
    """Each test forks a worker of its own, from the process as the test has changed it."""
    isolation.end_worker()
    yield
    isolation.end_worker()


@pytest.fixture
def while_rendering(monkeypatch):
    """Let something else happen where the worker renders: `while_rendering(os.abort)`."""

    def happens(action):
        def in_place_of_render(*arguments):
            faulthandler.disable()  # or pytest would print a report of the crash
            action()
            return render_here(*arguments)

        monkeypatch.setattr(isolation, "render_here", in_place_of_render)

    return happens


def rendered(file=JPEG):
    return isolation.render(file, probe_whole(file), SPECS)


CROPPED = renditions.parse("face=10x20:cover:face middle=10x20:cover whole=20x20")


def test_faces_are_located_in_this_process_before_the_worker_crops():
    asked = []

    def locate(jpeg, size):
        asked.append((os.getpid(), size))
        return [(0.9, 0.1, 0.1, 0.5)]

    first, second = (isolation.render(JPEG, probe_whole(JPEG), CROPPED, locate).renditions for _ in range(2))

    assert asked == [(os.getpid(), (40, 30))] * 2
    assert first["face"].data == second["face"].data != first["middle"].data
    assert isolation.render(JPEG, probe_whole(JPEG), CROPPED).renditions["face"].data == first["middle"].data


@pytest.mark.parametrize("error", [RekognitionThrottled("slow down"), TimeoutError(), ConnectionResetError()])
def test_an_error_while_locating_faces_ends_the_worker_and_is_raised(error):
    def locate(jpeg, size):
        raise error

    with pytest.raises(type(error)):
        isolation.render(JPEG, probe_whole(JPEG), CROPPED, locate)

    assert worker() is None
    assert rendered().renditions


def worker():
    """The process that waits for the next file, or None."""
    return isolation._Worker.waiting._process if isolation._Worker.waiting else None


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "HEIC"])
def test_the_worker_renders_what_this_process_would(format_name):
    file = samples.heic("photo") if format_name == "HEIC" else samples.encoded(format_name)

    assert rendered(file) == render_here(file, probe_whole(file), SPECS)


def test_the_exif_of_a_tiff_comes_out_of_the_worker():
    tags = {0x010F: "Apple", 0x0110: "iPhone 12"}
    file = samples.encoded("TIFF", tiffinfo=tags)

    assert exif.facts(rendered(file).picture.exif) == {"Camera": "Apple iPhone 12"}


def test_a_rejection_comes_out_with_its_name_and_message():
    with pytest.raises(DamagedImage, match="its header says 41x30, its content 40x30"):
        isolation.render(JPEG, Header("JPEG", 41, 30), SPECS)


@pytest.mark.parametrize(("crash", "name"), [(lambda: ctypes.string_at(0), "SIGSEGV"), (os.abort, "SIGABRT")])
def test_a_decoder_that_crashes_is_a_damaged_image(while_rendering, crash, name):
    while_rendering(crash)

    with pytest.raises(DamagedImage, match=f"crashed the decoder .{name}"):
        rendered()


def test_a_decoder_that_ends_its_process_is_a_damaged_image(while_rendering):
    while_rendering(lambda: os._exit(3))

    with pytest.raises(DamagedImage, match="exit status 3"):
        rendered()


@pytest.mark.slow
def test_a_decoder_that_takes_too_much_processor_time_is_ended(while_rendering, monkeypatch):
    monkeypatch.setattr(limits, "DECODING_SECONDS", 1)
    while_rendering(lambda: burn(10))

    with pytest.raises(TooComplex, match="the JPEG takes more than 1 seconds of processor time"):
        rendered()


@pytest.mark.slow
def test_each_file_has_the_whole_processor_time(while_rendering, monkeypatch):
    monkeypatch.setattr(limits, "DECODING_SECONDS", 1)
    while_rendering(lambda: burn(0.8))

    assert rendered() == rendered() == rendered()


def test_a_decoder_that_takes_too_much_memory_is_refused(while_rendering):
    while_rendering(lambda: bytearray(limits.FUNCTION_BYTES))

    with pytest.raises(TooComplex, match="more memory"):
        rendered()


def test_a_worker_that_the_kernel_kills_for_memory_is_a_refusal(while_rendering):
    while_rendering(lambda: os.kill(os.getpid(), signal.SIGKILL))

    with pytest.raises(TooComplex, match="more memory"):
        rendered()


def test_a_decoder_that_waits_forever_is_ended(while_rendering, monkeypatch):
    monkeypatch.setattr(limits, "WALL_CLOCK_SECONDS", 0.3)
    while_rendering(lambda: time.sleep(30))

    with pytest.raises(TooComplex, match=r"not decoded within 0\.3 seconds"):
        rendered()


def test_a_bug_of_the_pipeline_is_no_rejection(while_rendering):
    while_rendering(lambda: {}["a bug"])

    with pytest.raises(isolation.WorkerFailed, match="KeyError: 'a bug'"):
        rendered()


def test_one_worker_serves_the_next_file():
    rendered()
    first = worker()
    rendered(samples.encoded("PNG"))

    assert first == worker() is not None


def test_no_worker_serves_another_file_after_a_rejection(while_rendering):
    rendered()
    with pytest.raises(DamagedImage):
        rendered(JPEG[:-20])

    assert worker() is None


def test_no_worker_serves_another_file_after_a_heic():
    rendered(samples.heic("photo"))

    assert worker() is None


def test_no_worker_serves_another_file_after_a_large_one(while_rendering):
    while_rendering(lambda: bytearray(b"x") * isolation._REUSABLE_BYTES)
    rendered()

    assert worker() is None


def test_a_large_picture_is_rendered_by_a_new_worker(while_rendering, monkeypatch):
    rendered()
    first = worker()
    monkeypatch.setattr(isolation, "_LARGE_BYTES", 40 * 30 * 8 - 1)
    rendered()

    assert first != worker() is not None


@pytest.mark.parametrize("action", [lambda: None, os.abort, lambda: os._exit(1)], ids=["ends", "crashes", "exits"])
def test_no_process_is_left_behind(while_rendering, monkeypatch, action):
    forked = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(fork()) or forked[-1])
    while_rendering(action)

    with suppress(DamagedImage):
        rendered()
    isolation.end_worker()

    [process] = forked
    with pytest.raises(ChildProcessError):
        os.waitpid(process, os.WNOHANG)


def test_a_worker_that_died_while_it_waited_is_replaced():
    rendered()
    os.kill(worker(), signal.SIGKILL)
    time.sleep(0.1)

    assert rendered().renditions["small"].width == 20


def test_a_worker_keeps_no_connection_of_the_function_open():
    one, other = socket.socketpair()
    with other:
        rendered()
        one.close()
        other.settimeout(5)

        assert worker()
        assert other.recv(1) == b""
