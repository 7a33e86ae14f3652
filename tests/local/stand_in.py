"""The Rekognition stand-in in a process of its own, called with boto3."""

import io
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.model import Shape
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
PHOTOS = REPOSITORY / "local" / "photos"
NO_EMULATOR = "http://127.0.0.1:9"


class StandIn:
    """A running stand-in."""

    def __init__(self, url: str, process: subprocess.Popen, log: Path) -> None:
        self.url = url
        self.process = process
        self.log = log

    def client(self, key: str = "test", region: str = "us-east-1", **config: object):
        """A boto3 client without retries that validates every response against botocore's model."""
        settings = {"retries": {"total_max_attempts": 1}} | config
        client = boto3.client(
            "rekognition",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=key,  # signatures are not verified
            config=Config(**settings),
        )
        client.meta.events.register("after-call.rekognition", check_answer)
        return client

    def labels(self, image: Image.Image | bytes, **parameters: object) -> list[dict]:
        """The labels that DetectLabels returns."""
        return self.client().detect_labels(Image={"Bytes": encoded(image)}, **parameters)["Labels"]

    def faults(self, method: str, body: object = None) -> dict:
        """The response of /_faults. Raises urllib.error.HTTPError if it refuses."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_faults", data, method=method)) as answer:
            return json.load(answer)


@contextmanager
def running_stand_in(folder: Path, emulator: str = NO_EMULATOR) -> Iterator[StandIn]:
    """The stand-in on a free port. Its output goes to a log in `folder`."""
    log = folder / "rekognition.log"
    command = [sys.executable, "-m", "local.rekognition", "--port", "0", "--endpoint", emulator]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (ready := re.search(r"ready at (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield StandIn(ready[1], process, log)
    finally:
        process.kill()
        process.wait(30)


def encoded(image: Image.Image | bytes, format_name: str = "PNG", **options: object) -> bytes:
    """An image as a file's bytes. Bytes are returned as they are."""
    if isinstance(image, bytes):
        return image
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def check_answer(http_response, model, **_: object) -> None:
    """Fail if a response differs from botocore's model, which botocore itself ignores when it parses responses."""
    assert http_response.headers["x-amzn-RequestId"]
    if http_response.status_code == 200:
        assert_fits(json.loads(http_response.content), model.output_shape, model.name)


def assert_fits(value: object, shape: Shape, where: str) -> None:
    """Validate types, members, ranges and enumerations recursively."""
    types = {"structure": dict, "list": list, "string": str, "integer": int, "float": float}
    assert type(value) is types[shape.type_name], f"{where} is {value!r}, not of type {shape.type_name}"
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys(), f"{where} has {value.keys() - shape.members.keys()}"
        for name, member in value.items():
            assert_fits(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for position, item in enumerate(value):
            assert_fits(item, shape.member, f"{where}[{position}]")
    else:
        limits = shape.metadata
        assert value in limits.get("enum", [value]), f"{where} is {value}, none of {limits.get('enum')}"
        if shape.type_name != "string":
            assert limits.get("min", value) <= value <= limits.get("max", value), f"{where} is {value}"
