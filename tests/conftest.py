"""For all tests."""

import gc
import os

import pytest
from hypothesis import settings

# The tests must not depend on the account, the profile or the local run that the shell directs AWS clients to.
for name in [name for name in os.environ if name.startswith(("AWS_", "IMAGE_PIPELINE_"))]:
    del os.environ[name]
# Clients are made while a handler is imported.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
os.environ["AWS_ACCESS_KEY_ID"] = "test"
os.environ["AWS_SECRET_ACCESS_KEY"] = "test"
# The template's Globals; Powertools reads them while a handler is imported.
os.environ["POWERTOOLS_SERVICE_NAME"] = "image-pipeline"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "ImagePipeline"

# A busy machine is no reason to fail, and the checkout no place for a database of examples.
settings.register_profile("thorough", deadline=None, database=None)
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=10)  # for `make unit`
settings.load_profile("thorough")

# What imports create is never freed, and searching it for garbage takes seconds.
gc.disable()


def pytest_sessionstart(session: pytest.Session) -> None:
    """For the processes that run tests: the one that distributes them needs no moto."""
    if not session.config.getoption("numprocesses", None):
        from tests import client_pool, speed

        speed.accelerate()
        session.config.pluginmanager.register(client_pool)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes and long texts by their parameter: the test's name would hold all of them, several megabytes."""
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 200) else None


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but not among what imports created."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Search for garbage once: pytest does so five times, for errors that nobody could raise any more."""
    gc.collect()
    gc.freeze()
