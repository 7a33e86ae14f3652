"""For all tests."""

import os

from hypothesis import settings

# The template's Globals; Powertools reads them while a handler is imported.
os.environ["POWERTOOLS_SERVICE_NAME"] = "image-pipeline"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "ImagePipeline"

# A busy machine is no reason to fail, and the checkout no place for a database of examples.
settings.register_profile("unhurried", deadline=None, database=None)
settings.load_profile("unhurried")
