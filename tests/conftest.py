"""For all tests."""

import gc
import os
from functools import cache

import botocore.session
import moto.core.models
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
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=20)  # for `make unit`
settings.load_profile("thorough")

# Every session reads the models of AWS's services anew, which takes longer than most tests. They never change: one
# loader serves all sessions.
botocore.session.create_loader = cache(botocore.session.create_loader)

# Every start of moto's mock registers 1,300 addresses of AWS for `requests`, which takes longer than most tests. The
# tests call AWS through botocore alone.
moto.core.models.RESPONSES_METHODS.clear()


def pytest_collection_finish() -> None:
    """Exempt what imports created from garbage collection: it is never freed, and searching it takes seconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
