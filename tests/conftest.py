"""For all tests."""

import os
from functools import cache

import botocore.loaders
from hypothesis import settings

# The tests must not depend on the account, the profile or the local run that the shell directs AWS clients to.
for name in [name for name in os.environ if name.startswith(("AWS_", "IMAGE_PIPELINE_"))]:
    del os.environ[name]
# Clients are made while a handler is imported.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
os.environ["AWS_ACCESS_KEY_ID"] = "test"
os.environ["AWS_SECRET_ACCESS_KEY"] = "test"  # noqa: S105
# The template's Globals; Powertools reads them while a handler is imported.
os.environ["POWERTOOLS_SERVICE_NAME"] = "image-pipeline"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "ImagePipeline"

# A busy machine is no reason to fail, and the checkout no place for a database of examples.
settings.register_profile("thorough", deadline=None, database=None)
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=20)  # for `make unit`
settings.load_profile("thorough")

# Every session reads the models of AWS's services anew, which takes longer than most tests. They never change: one
# loader serves all sessions.
botocore.loaders.create_loader = cache(botocore.loaders.create_loader)
