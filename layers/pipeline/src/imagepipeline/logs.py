"""What the functions' log lines have in common. Standard library only."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from imagepipeline.errors import PipelineError
from imagepipeline.models import JsonObject
from imagepipeline.printable import printable


def keys_of(image_key: str, event: JsonObject) -> dict[str, str]:
    """What every line of a step's log carries: the image's key, and the execution that invoked the function."""
    # An execution that began before the stack was updated, and runs on for hours, does not pass its ARN to every step.
    return {"image_key": printable(image_key), "execution": event.get("Execution", {}).get("Arn", "unknown")}


@contextmanager
def log_failures(logger: logging.Logger) -> Iterator[None]:
    """Logs the error that ends a step, because what Lambda writes about it does not carry the logger's keys."""
    try:
        yield
    except PipelineError as error:
        logger.warning("step failed", extra={"error": type(error).__name__, "reason": str(error)})
        raise
    except Exception as error:
        logger.exception("step crashed", extra={"error": type(error).__name__})
        raise
