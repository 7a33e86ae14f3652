from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.emulated import Emulated, Launched, launch_ministack

PATIENCE_WITHOUT_PATCH = 2  # seconds; the condition is not expected to be met
PATCHED_OR_NOT = [
    "patched",
    pytest.param(
        "plain",
        marks=pytest.mark.xfail(strict=True, reason="MiniStack lacks this; if the test passes, remove the patch"),
    ),
]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """The emulator as this project runs it, one for each test process."""
    launched = Launched(tmp_path_factory.mktemp("emulator") / "state")
    yield launched.emulated()
    launched.stop()


@pytest.fixture(scope="session")
def plain_ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """MiniStack without any patch."""
    launched = Launched(tmp_path_factory.mktemp("ministack") / "state", launch_ministack, PATIENCE_WITHOUT_PATCH)
    yield launched.emulated()
    launched.stop()


@pytest.fixture(params=PATCHED_OR_NOT)
def patched(request: pytest.FixtureRequest) -> Emulated:
    """For the contract test of a patch, which must pass with the patch and fail without it."""
    return request.getfixturevalue("emulator" if request.param == "patched" else "plain_ministack")


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launched]:
    """An emulator of the test's own, which it can kill."""
    launched = Launched(tmp_path / "state")
    yield launched
    launched.stop()


@pytest.fixture(params=PATCHED_OR_NOT)
def launched_patched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launched]:
    """Like `patched`, for a test that kills the emulator."""
    if request.param == "patched":
        launched = Launched(tmp_path / "state")
    else:
        launched = Launched(tmp_path / "state", launch_ministack, PATIENCE_WITHOUT_PATCH)
    yield launched
    launched.stop()
