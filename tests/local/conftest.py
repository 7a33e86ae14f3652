from collections.abc import Iterator

import pytest

from tests.local.emulated import Emulated, running_launcher, running_ministack

FIXED_UPSTREAM = "MiniStack behaves like AWS here; remove the patch"


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """The emulator as this project runs it, one for each test process."""
    with running_launcher(tmp_path_factory.mktemp("launcher")) as emulated:
        yield emulated


@pytest.fixture(scope="session")
def plain_ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """MiniStack without any patch."""
    with running_ministack(tmp_path_factory.mktemp("ministack")) as emulated:
        yield emulated


@pytest.fixture(
    params=["emulator", pytest.param("plain_ministack", marks=pytest.mark.xfail(strict=True, reason=FIXED_UPSTREAM))]
)
def patched(request: pytest.FixtureRequest) -> Emulated:
    """For the contract test of a patch, which must pass with the patch and fail without it."""
    return request.getfixturevalue(request.param)
