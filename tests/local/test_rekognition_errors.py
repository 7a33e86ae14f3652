"""What the stand-in refuses, and the faults it can be asked for."""

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError, ReadTimeoutError
from PIL import Image

from tests.local.stand_in import NO_EMULATOR, PHOTOS, REPOSITORY, StandIn, encoded, running_stand_in

PHOTO = (PHOTOS / "astronaut.jpg").read_bytes()
PLAIN = encoded(Image.new("RGB", (80, 80)))


@pytest.fixture(scope="module")
def rekognition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("rekognition")) as stand_in:
        yield stand_in


@pytest.fixture
def faulty(rekognition: StandIn) -> Iterator[StandIn]:
    """The stand-in, whose faults are removed after the test."""
    yield rekognition
    rekognition.faults("DELETE")


def refusal(call, **parameters: object) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value


def code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def picture(width: int, height: int, format_name: str = "PNG") -> bytes:
    return encoded(Image.new("1", (width, height)), format_name)


@pytest.mark.parametrize(
    "data",
    [
        picture(200, 200, "GIF"),
        picture(200, 200, "WEBP"),
        picture(200, 200, "TIFF"),
        PHOTO[: len(PHOTO) // 2],
        PHOTO[:100],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["GIF", "WebP", "TIFF", "half a JPEG", "a JPEG's first 100 bytes", "SVG"],
)
@pytest.mark.parametrize("operation", ["detect_labels", "detect_faces", "detect_moderation_labels"])
def test_only_intact_jpegs_and_pngs_are_accepted(rekognition, operation, data):
    error = refusal(getattr(rekognition.client(), operation), Image={"Bytes": data})

    assert code(error) == "InvalidImageFormatException"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("size", [(79, 200), (200, 79)])
def test_a_side_below_80_pixels_is_an_invalid_parameter(rekognition, size):
    assert rekognition.labels(picture(80, 80)) == []
    assert code(refusal(rekognition.client().detect_labels, Image={"Bytes": picture(*size)})) == (
        "InvalidParameterException"
    )


@pytest.mark.parametrize("size", [(10_001, 80), (80, 10_001), (20_000, 20_000)])
def test_a_side_above_10000_pixels_is_too_large(rekognition, size):
    error = refusal(rekognition.client().detect_labels, Image={"Bytes": picture(*size)})

    assert code(error) == "ImageTooLargeException"
    assert f"{size[0]} x {size[1]}" in str(error)


def test_an_image_in_the_request_has_at_most_5_mib(rekognition):
    limit = 5 * 1024 * 1024

    assert rekognition.labels(PLAIN.ljust(limit, b"\0")) == []
    error = refusal(rekognition.client().detect_labels, Image={"Bytes": PLAIN.ljust(limit + 1, b"\0")})
    assert code(error) == "ValidationException"
    assert "Image.Bytes" in str(error)


@pytest.mark.parametrize("image", [{}, {"Bytes": PLAIN, "S3Object": {"Bucket": "pictures", "Name": "a.png"}}])
def test_an_image_is_either_bytes_or_an_s3_object(rekognition, image):
    assert code(refusal(rekognition.client().detect_labels, Image=image)) == "InvalidParameterException"


def test_an_invalid_parameter_is_named(rekognition):
    client = rekognition.client(parameter_validation=False)

    error = refusal(client.detect_labels, Image={"Bytes": PLAIN}, MinConfidence=-1)

    assert code(error) == "ValidationException"
    assert "MinConfidence" in str(error)


def test_image_properties_and_filters_are_refused(rekognition):
    error = refusal(rekognition.client().detect_labels, Image={"Bytes": PLAIN}, Features=["IMAGE_PROPERTIES"])

    assert code(error) == "InvalidParameterException"
    assert "IMAGE_PROPERTIES" in str(error)


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"Image": 1}', '{"Image": {"Bytes": "?"}}', '{"Image": {"Bytes": "YQ"}}']
)
def test_a_malformed_body_is_a_serialization_error(rekognition, body):
    signature = "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/rekognition/aws4_request, Signature=0"
    headers = {"X-Amz-Target": "RekognitionService.DetectLabels", "Authorization": signature}

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(rekognition.url, body.encode(), headers))

    assert caught.value.status == 400
    assert caught.value.headers["x-amzn-ErrorType"] == "SerializationException"


def test_another_operation_is_unknown(rekognition):
    error = refusal(rekognition.client().detect_text, Image={"Bytes": PLAIN})

    assert code(error) == "UnknownOperationException"


def test_an_unsigned_request_is_refused(rekognition):
    error = refusal(rekognition.client(signature_version=UNSIGNED).detect_labels, Image={"Bytes": PLAIN})

    assert code(error) == "UnrecognizedClientException"


def test_an_unreachable_emulator_is_a_server_error(rekognition):
    error = refusal(rekognition.client().detect_labels, Image={"S3Object": {"Bucket": "pictures", "Name": "cat.png"}})

    assert code(error) == "InternalServerError"
    assert NO_EMULATOR in str(error)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ThrottlingException", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("AccessDeniedException", 400),
        ("InternalServerError", 500),
    ],
)
def test_a_fault_happens_as_often_as_requested(faulty, name, status):
    faulty.faults("PUT", {"DetectLabels": {"Error": name, "Count": 2}})

    first, second = (refusal(faulty.client().detect_labels, Image={"Bytes": PLAIN}) for _ in range(2))

    assert code(first) == code(second) == name
    assert first.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert type(first).__name__ == name
    assert faulty.labels(PLAIN) == []
    assert faulty.faults("GET") == {}


@pytest.mark.parametrize("operation", ["DetectLabels", "DetectFaces", "DetectModerationLabels"])
def test_each_operation_has_faults_of_its_own(faulty, operation):
    calls = {
        "DetectLabels": faulty.client().detect_labels,
        "DetectFaces": faulty.client().detect_faces,
        "DetectModerationLabels": faulty.client().detect_moderation_labels,
    }
    faulty.faults("PUT", {operation: {"Error": "ThrottlingException"}})

    assert code(refusal(calls.pop(operation), Image={"Bytes": PLAIN})) == "ThrottlingException"
    for call in calls.values():
        call(Image={"Bytes": PLAIN})


def test_a_fault_without_a_count_lasts_until_it_is_removed(faulty):
    faulty.faults("PUT", {"DetectLabels": {"Error": "InternalServerError", "Count": None}})

    for _ in range(3):
        refusal(faulty.client().detect_labels, Image={"Bytes": PLAIN})
    faulty.faults("DELETE")

    assert faulty.labels(PLAIN) == []


def test_a_delayed_call_does_not_delay_others(faulty):
    faulty.faults("PUT", {"DetectLabels": {"DelaySeconds": 3600, "Count": 1}})

    with pytest.raises(ReadTimeoutError):
        faulty.client(read_timeout=1).detect_labels(Image={"Bytes": PLAIN})

    assert faulty.labels(PLAIN) == []


@pytest.mark.parametrize(
    "faults",
    [
        {"DetectDogs": {"Error": "ThrottlingException"}},
        {"DetectLabels": {"Error": "Thunder"}},
        {"DetectLabels": {"Delay": 3}},
        {"DetectLabels": {"Count": 0}},
        {"DetectLabels": "ThrottlingException"},
        ["DetectLabels"],
    ],
)
def test_a_malformed_fault_is_refused(faulty, faults):
    with pytest.raises(urllib.error.HTTPError) as caught:
        faulty.faults("PUT", faults)

    assert caught.value.status == 400
    assert faulty.faults("GET") == {}


def test_concurrent_callers_get_their_own_results(rekognition):
    photos = {"Cat": (PHOTOS / "cat.png").read_bytes(), "Face": PHOTO, None: PLAIN}
    wrong = []

    def ask(name: str | None, data: bytes) -> None:
        found = {label["Name"] for label in rekognition.labels(data)}
        if (name not in found) if name else found:
            wrong.append((name, found))

    threads = [threading.Thread(target=ask, args=photo) for photo in list(photos.items()) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_port_in_use_is_named(rekognition):
    port = rekognition.url.rpartition(":")[2]
    command = [sys.executable, "-m", "local.rekognition", "--port", port, "--endpoint", NO_EMULATOR]

    second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 1
    assert f"port {port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_sigterm_stops_it_during_a_call(tmp_path):
    with running_stand_in(tmp_path) as stand_in:
        stand_in.faults("PUT", {"DetectLabels": {"DelaySeconds": 3600}})
        with pytest.raises(ReadTimeoutError):
            stand_in.client(read_timeout=1).detect_labels(Image={"Bytes": PLAIN})

        stand_in.process.terminate()

        assert stand_in.process.wait(30) == 0
        assert "Traceback" not in stand_in.log.read_text()
