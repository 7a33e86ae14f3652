"""What the stand-in refuses, and how it fails when it is told to."""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
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
    """The stand-in, well again after the test."""
    yield rekognition
    rekognition.steer("DELETE", "/_faults")


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
@pytest.mark.parametrize("operation", ["detect_labels", "detect_faces"])
def test_only_whole_jpegs_and_pngs_are_images(rekognition, operation, data):
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


def test_a_side_of_10000_pixels_is_seen(rekognition):
    assert rekognition.labels(picture(10_000, 80)) == []


def test_at_most_5_mib_fit_into_a_request(rekognition):
    limit = 5 * 1024 * 1024

    assert rekognition.labels(PLAIN.ljust(limit, b"\0")) == []
    error = refusal(rekognition.client().detect_labels, Image={"Bytes": PLAIN.ljust(limit + 1, b"\0")})
    assert code(error) == "ValidationException"
    assert "'image.bytes'" in str(error)


@pytest.mark.parametrize("image", [{}, {"Bytes": PLAIN, "S3Object": {"Bucket": "pictures", "Name": "a.png"}}])
def test_an_image_is_either_bytes_or_an_object(rekognition, image):
    assert code(refusal(rekognition.client().detect_labels, Image=image)) == "InvalidParameterException"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"MinConfidence": 101.0}, "'minConfidence'"),
        ({"Features": ["GENERAL_LABELS", "HOROSCOPE"]}, "GENERAL_LABELS, IMAGE_PROPERTIES"),
        ({"Settings": {"ImageProperties": {"MaxDominantColors": 21}}}, "'settings.imageProperties.maxDominantColors'"),
        ({"Settings": {"GeneralLabels": {"LabelInclusionFilters": ["{}"]}}}, "labelInclusionFilters.1.member"),
    ],
)
def test_parameters_out_of_range_are_named(rekognition, parameters, named):
    error = refusal(rekognition.client().detect_labels, Image={"Bytes": PLAIN}, **parameters)

    assert code(error) == "ValidationException"
    assert named in str(error)


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"Image": 1}', '{"Image": {"Bytes": "?"}}', '{"Image": {"Bytes": "YQ"}}']
)
def test_a_body_of_another_shape_is_a_serialization_error(rekognition, body):
    signature = "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/rekognition/aws4_request, Signature=0"
    headers = {"X-Amz-Target": "RekognitionService.DetectLabels", "Authorization": signature}

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(rekognition.url, body.encode(), headers))  # noqa: S310

    assert caught.value.status == 400
    assert caught.value.headers["x-amzn-ErrorType"] == "SerializationException"


def test_an_operation_it_has_not_got_is_unknown(rekognition):
    error = refusal(rekognition.client().detect_text, Image={"Bytes": PLAIN})

    assert code(error) == "UnknownOperationException"


def test_an_unsigned_request_is_refused(rekognition):
    error = refusal(rekognition.client(signature_version=UNSIGNED).detect_labels, Image={"Bytes": PLAIN})

    assert code(error) == "UnrecognizedClientException"


def test_without_its_emulator_it_reads_no_object(rekognition):
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
def test_it_fails_as_often_as_told_and_is_well_again(faulty, name, status):
    faulty.steer("PUT", "/_faults", {"DetectLabels": {"Error": name, "Count": 2}})

    first, second = (refusal(faulty.client().detect_labels, Image={"Bytes": PLAIN}) for _ in range(2))

    assert code(first) == code(second) == name
    assert first.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert type(first).__name__ == name
    assert faulty.labels(PLAIN) == []
    assert faulty.steer("GET", "/_faults") == {}


def test_a_fault_without_count_holds_until_it_is_cleared(faulty):
    faulty.steer("PUT", "/_faults", {"DetectLabels": {"Error": "InternalServerError", "Count": None}})

    for _ in range(3):
        refusal(faulty.client().detect_labels, Image={"Bytes": PLAIN})
    faulty.steer("DELETE", "/_faults")

    assert faulty.labels(PLAIN) == []


def test_a_fault_of_one_operation_spares_the_other(faulty):
    faulty.steer("PUT", "/_faults", {"DetectFaces": {"Error": "ThrottlingException"}})

    assert faulty.labels(PLAIN) == []
    assert code(refusal(faulty.client().detect_faces, Image={"Bytes": PLAIN})) == "ThrottlingException"


def test_it_hangs_when_told_to_and_answers_others_meanwhile(faulty):
    faulty.steer("PUT", "/_faults", {"DetectLabels": {"DelaySeconds": 3600, "Count": 1}})

    with pytest.raises(ReadTimeoutError):
        faulty.client(read_timeout=1).detect_labels(Image={"Bytes": PLAIN})

    assert faulty.labels(PLAIN) == []


def test_a_client_that_did_not_wait_is_a_line_in_the_log(faulty):
    faulty.steer("PUT", "/_faults", {"DetectLabels": {"DelaySeconds": 1, "Count": 1}})
    host, port = faulty.url.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST / HTTP/1.1\r\nX-Amz-Target: RekognitionService.DetectLabels\r\n\r\n")
        # Closing then resets the connection, as the end of a killed process may.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    deadline = time.monotonic() + 30
    while "the client left" not in (log := faulty.log.read_text()):
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("faults", "complaint"),
    [
        ({"DetectDogs": {"Error": "ThrottlingException"}}, "DetectDogs"),
        ({"DetectLabels": {"Error": "Thunder"}}, "Thunder"),
        ({"DetectLabels": {"Delay": 3}}, "Delay"),
        ({"DetectLabels": {"DelaySeconds": -1}}, "DelaySeconds is -1"),
        ({"DetectLabels": {"Count": 0}}, "Count is 0"),
        ({"DetectLabels": "ThrottlingException"}, "ThrottlingException"),
        (["DetectLabels"], "by operation"),
    ],
)
def test_a_fault_it_does_not_understand_is_refused_and_changes_nothing(faulty, faults, complaint):
    before = {"DetectLabels": {"Error": "ThrottlingException", "Count": 7}}
    faulty.steer("PUT", "/_faults", before)

    with pytest.raises(urllib.error.HTTPError) as caught:
        faulty.steer("PUT", "/_faults", faults)

    assert caught.value.status == 400
    assert complaint in json.load(caught.value)["Message"]
    assert faulty.steer("GET", "/_faults") == before


def test_every_call_is_counted_failed_ones_and_an_sdks_retries_too(faulty):
    before = faulty.steer("GET", "/_calls")
    faulty.steer("PUT", "/_faults", {"DetectLabels": {"Error": "ThrottlingException", "Count": 2}})

    faulty.client(retries={"total_max_attempts": 3}).detect_labels(Image={"Bytes": PLAIN})

    after = faulty.steer("GET", "/_calls")
    assert after["DetectLabels"] - before["DetectLabels"] == 3
    assert after["DetectFaces"] == before["DetectFaces"]


def test_it_says_that_it_is_well(rekognition):
    assert rekognition.steer("GET", "/_health") == {"LabelModelVersion": "local-opencv", "Status": "ok"}


def test_many_callers_at_once_each_get_their_answer(rekognition):
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


def test_each_request_is_a_line_in_the_log(rekognition):
    lines = len(rekognition.log.read_text().splitlines())

    rekognition.labels(PHOTO)
    refusal(rekognition.client().detect_faces, Image={"Bytes": b"nothing"})

    seen, refused = rekognition.log.read_text().splitlines()[lines:]
    assert "DetectLabels 200" in seen
    assert "Person" in seen
    assert "DetectFaces 400" in refused
    assert "InvalidImageFormatException" in refused


def test_a_taken_port_is_named(rekognition):
    port = rekognition.url.rpartition(":")[2]
    command = [sys.executable, "-m", "local.rekognition", "--port", port, "--endpoint", NO_EMULATOR]

    second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 1
    assert f"port {port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_it_ends_when_told_to_even_in_the_middle_of_a_call(tmp_path):
    with running_stand_in(tmp_path) as stand_in:
        stand_in.steer("PUT", "/_faults", {"DetectLabels": {"DelaySeconds": 3600}})
        with pytest.raises(ReadTimeoutError):
            stand_in.client(read_timeout=1).detect_labels(Image={"Bytes": PLAIN})

        stand_in.process.terminate()

        assert stand_in.process.wait(30) == 0
        assert "Traceback" not in stand_in.log.read_text()
