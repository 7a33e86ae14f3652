"""For all tests: what the template's Globals give every function, and Powertools reads while a handler is imported."""

import os

os.environ["POWERTOOLS_SERVICE_NAME"] = "image-pipeline"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "ImagePipeline"
