"""The API's client where nothing answers as it should. tests/integration/test_client.py has it against the API."""

import json
from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError

from cli import api
from cli.api import PART_FROM, Api, Rejected, with_token

API = "https://api.example.com"
PARTS = [{"PartNumber": number, "Bytes": PART_FROM, "Url": f"https://s3.example.com/{number}"} for number in (1, 2)]


class Bucket:
    """In place of the API and S3: takes parts, and answers to the first attempts at the second as `troubles` say."""

    def __init__(self, *troubles: int | Exception) -> None:
        self.troubles = list(troubles)
        self.sent: list[str] = []
        self.stored: set[str] = set()

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        if request.method == "PUT":
            return self._put(request.url)
        if request.url == f"{API}/uploads":
            body = {"Key": "uploads/x", "StatusUrl": API, "Parts": PARTS, "CompleteUrl": f"{API}/uploads/1/complete"}
            return response(201, body)
        missing = [part for part in PARTS if part["Url"] not in self.stored]
        return response(409, {"message": "parts are missing", "Parts": missing}) if missing else response(202, {})

    def _put(self, url: str) -> AWSResponse:
        self.sent.append(url[-1])
        if url == PARTS[1]["Url"] and self.troubles:
            trouble = self.troubles.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return response(trouble, {"message": "no"})
        self.stored.add(url)
        return response(200, {})


def response(status: int, body: dict) -> AWSResponse:
    answer = AWSResponse("", status, {}, None)
    answer._content = json.dumps(body).encode()
    return answer


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large.jpg"
    file.write_bytes(bytes(2 * PART_FROM))
    return file


def test_a_part_that_s3_did_not_take_is_sent_again(large: Path) -> None:
    bucket = Bucket(503, ConnectionClosedError(endpoint_url="https://s3.example.com"))

    accepted = Api(API, with_token("t"), bucket).upload(large)

    assert accepted["Key"] == "uploads/x"
    assert bucket.sent == ["1", "2", "2", "2"]


@pytest.mark.parametrize(("troubles", "sent"), [([503] * 3, "1222"), ([403], "12")])
def test_an_upload_in_parts_that_cannot_succeed_ends_with_an_error(large: Path, troubles: list[int], sent: str) -> None:
    bucket = Bucket(*troubles)

    with pytest.raises(Rejected):
        Api(API, with_token("t"), bucket).upload(large)

    assert "".join(bucket.sent) == sent


class Busy:
    """In place of the API: answers 503 a few times, and then with a record."""

    def __init__(self, times: int) -> None:
        self.answers = [response(503, {"message": "busy"})] * times + [response(200, {"ImageKey": "uploads/x"})]

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        return self.answers.pop(0)


def test_a_read_is_repeated_while_the_api_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PAUSES", (0, 0))

    assert Api(API, with_token("t"), Busy(2)).image("uploads/x") == {"ImageKey": "uploads/x"}
    with pytest.raises(Rejected, match="503: busy"):
        Api(API, with_token("t"), Busy(3)).image("uploads/x")
    with pytest.raises(Rejected, match="503: busy"):
        Api(API, with_token("t"), Busy(1)).delete("uploads/x")


def test_a_token_is_sent_as_a_bearer() -> None:
    request = AWSRequest("GET", API)

    with_token("abc")(request)

    assert request.headers["Authorization"] == "Bearer abc"
