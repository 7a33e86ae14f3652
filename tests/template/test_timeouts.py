"""A service that does not respond is found out before a function's timeout, which would look like a bug."""

import pytest

from imagepipeline import aws
from tests.template.stack import definition, of_type

FUNCTIONS = of_type("AWS::Lambda::Function")
# The calls that may follow one another although each hardly succeeds, the last of which fails. ValidateFunction,
# ThumbnailsFunction and MetadataFunction make more calls than these two, but each that hardly succeeds is rare by
# itself. Rekognition is asked all questions at the same time.
CALLS = {
    "ValidateFunction": ["s3", "s3"],
    "ThumbnailsFunction": ["s3", "rekognition", "s3 write"],
    "MetadataFunction": ["s3", "rekognition"],
    "StoreFunction": ["dynamodb", "s3", "dynamodb", "s3", "dynamodb"],
    "ResolveCurrentVersionFunction": ["s3", "dynamodb"],
    "CleanupFunction": ["s3", "dynamodb", "s3"],
    "IndexFunction": ["dynamodb", "dynamodb"],  # one write after another rarely all hardly succeed
    "SelectImagesFunction": ["dynamodb", "s3"],  # it asks for several objects at a time
    "SweepFunction": ["dynamodb", "dynamodb", "stepfunctions"],  # with both types of workflow, in different orders
    "StatusFunction": ["dynamodb"],
    "ReadImagesFunction": ["dynamodb", "dynamodb"],
    "PauseFunction": ["events", "events", "sns"],
    "WriteImagesFunction": ["s3 write"],  # completing an upload lists its parts first, but S3 rarely fails twice
}
# Seconds of a function's own work, including a cold start (docs/limits.md). Those of the others are at most 3.
WORK = {
    "ValidateFunction": 8,
    "ThumbnailsFunction": 90,
    "MetadataFunction": 10,
    "SelectImagesFunction": 10,
    "SweepFunction": 20,
}


@pytest.fixture(autouse=True)
def region(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def longest(call: str) -> float:
    """Seconds until a call of a service that does not respond fails: its attempts, and botocore's pauses between."""
    service, _, write = call.partition(" ")
    config = aws.client(service).meta.config
    attempts = config.retries["total_max_attempts"]
    pauses = sum(2**retry for retry in range(attempts - 1))  # at most; botocore's standard mode draws from them
    expect = 1 if write else 0  # botocore waits for "100 Continue" before it sends an object
    return attempts * (config.connect_timeout + expect + config.read_timeout) + pauses


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_silent_service_fails_before_the_function_times_out(function: str):
    assert sum(map(longest, CALLS[function])) + WORK.get(function, 3) <= FUNCTIONS[function]["Timeout"]


def test_housekeeping_waits_for_every_function_that_may_still_write_renditions():
    wait = definition("housekeeping")["States"]["WaitForStragglers"]["Seconds"]

    assert wait > FUNCTIONS["ThumbnailsFunction"]["Timeout"]
