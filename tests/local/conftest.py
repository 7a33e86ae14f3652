from collections.abc import Iterator

import pytest

from tests.local.emulated import Emulated, running_launcher, running_ministack

GONE_UPSTREAM = "MiniStack does this by itself now: take the patch out"


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """The emulator as this project runs it, one for each test process."""
    with running_launcher(tmp_path_factory.mktemp("launcher")) as emulated:
        yield emulated


@pytest.fixture(scope="session")
def plain_ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """MiniStack without a patch."""
    with running_ministack(tmp_path_factory.mktemp("ministack")) as emulated:
        yield emulated


@pytest.fixture(
    params=["emulator", pytest.param("plain_ministack", marks=pytest.mark.xfail(strict=True, reason=GONE_UPSTREAM))]
)
def mended(request: pytest.FixtureRequest) -> Emulated:
    """For the contract of a patch: the test must pass with the patches, and must fail without them."""
    return request.getfixturevalue(request.param)
