"""A client of the deployed API: uploads, lists, fetches and deletes images with the API's permissions alone.

api = Api(endpoint, signed(boto3.Session()))
accepted = api.upload(Path("cat.jpg"))
for image in api.images(status="COMPLETED", prefix="uploads/cats/"):
    print(image["ImageKey"], api.image(image["ImageKey"])["Renditions"]["small"]["Url"])
"""

import json
import mimetypes
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import quote, urlencode
from uuid import uuid4

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ConnectionError, HTTPClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session

PART_FROM = 8 * 2**20  # bytes; a larger file is sent in parts, of which each is read and repeated by itself
_ROUNDS = 3  # of sending the parts that are missing
_PAUSES = (0.5, 2)  # seconds before a GET request that was answered 503 is sent again

Authorize = Callable[[AWSRequest], None]


class Accepted(TypedDict):
    """The key of an upload or a deletion, and where its processing status can be read."""

    Key: str
    StatusUrl: str


class Rejected(Exception):
    """The API or S3 did not accept a request. The message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


def signed(session: boto3.Session) -> Authorize:
    """Signs requests with the session's credentials, for an API with AWS_IAM. Raises NoCredentialsError without any."""
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return SigV4Auth(credentials, "execute-api", session.region_name).add_auth


def with_token(token: str) -> Authorize:
    """Sends a JSON Web Token, for ProductApiAuthorization=JWT."""

    def add(request: AWSRequest) -> None:
        request.headers["Authorization"] = f"Bearer {token}"

    return add


@dataclass(frozen=True, slots=True)
class Api:
    """The API of one stack. Methods raise Rejected, and botocore's errors if nothing answers."""

    endpoint: str  # the stack's output ImageStatusApiEndpoint
    authorize: Authorize
    _http: URLLib3Session = field(default_factory=URLLib3Session)

    def upload(self, file: Path, filename: str = "", *, overwrite: bool = False, content_type: str = "") -> Accepted:
        """Upload a file under a key of its own, or under `uploads/<filename>` if it may replace what is there."""
        size = file.stat().st_size
        described = {
            "Filename": filename or file.name,
            "ContentType": content_type or mimetypes.guess_type(file.name)[0],
            "Bytes": size,
            "Overwrite": overwrite,
            "Multipart": size > PART_FROM,
        }
        created = self._call("POST", "/uploads", body=json.dumps(described).encode(), content_type="application/json")
        if "Form" in created:
            self._send_form(created["Form"]["Url"], created["Form"]["Fields"], file.read_bytes())
        else:
            self._send_parts(created, file)
        return Accepted(Key=created["Key"], StatusUrl=created["StatusUrl"])

    def image(self, key: str) -> dict[str, Any]:
        """The whole record of an image, with a `Url` for each of its Renditions."""
        return self._call("GET", "/images", {"key": key})

    def images(self, **parameters: str) -> Iterator[dict[str, Any]]:
        """Every image of a listing, the newest first. Parameters are those of GET /images in docs/openapi.yaml."""
        while True:
            page = self._call("GET", "/images", parameters)
            yield from page["Images"]
            if "NextCursor" not in page:
                return
            parameters["cursor"] = page["NextCursor"]

    def rendition(self, key: str, name: str) -> bytes:
        """The file of a rendition."""
        found = self._authorized(AWSRequest("GET", self._url("/renditions", {"key": key, "name": name})))
        file: bytes = self._send(AWSRequest("GET", found.headers["Location"])).content
        return file

    def delete(self, key: str) -> Accepted:
        """Delete an image; the pipeline removes its record and renditions."""
        answer = self._call("DELETE", "/images", {"key": key})
        return Accepted(Key=answer["Key"], StatusUrl=answer["StatusUrl"])

    def decide(self, image: dict[str, Any], action: Literal["release", "reject"]) -> Accepted:
        """Release or reject an image that is held, as `image` returned it: no other upload is decided about."""
        body = json.dumps({"Action": action, "Sequencer": image["Sequencer"]}).encode()
        key = {"key": image["ImageKey"]}
        answer = self._call("POST", "/images/decision", key, body, content_type="application/json")
        return Accepted(Key=answer["Key"], StatusUrl=answer["StatusUrl"])

    # ------------------------------------------------------------------------------------------------------- uploading

    def _send_form(self, url: str, fields: dict[str, str], data: bytes) -> None:
        boundary = uuid4().hex
        texts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()
        ]
        texts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n')
        body = "".join(texts).encode() + data + f"\r\n--{boundary}--\r\n".encode()
        self._send(AWSRequest("POST", url, {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body))

    def _send_parts(self, created: dict[str, Any], file: Path) -> None:
        size = created["Parts"][0]["Bytes"]  # all but the last have the same
        missing = created["Parts"]
        for _ in range(_ROUNDS):
            with file.open("rb") as source:
                for part in missing:
                    source.seek((part["PartNumber"] - 1) * size)
                    self._send_part(part["Url"], source.read(part["Bytes"]))
            answer = self._authorized(AWSRequest("POST", created["CompleteUrl"]), accepted=(202, 409))
            if answer.status_code == 202:
                return
            missing = json.loads(answer.content)["Parts"]
        raise Rejected(409, f"parts were still missing after they were sent {_ROUNDS} times")

    def _send_part(self, url: str, data: bytes) -> None:
        """Send a part. One that S3 did not take for the moment is missing afterwards, and sent again."""
        try:
            self._send(AWSRequest("PUT", url, data=data))
        except (ConnectionError, HTTPClientError):
            pass
        except Rejected as error:
            if error.status < 500:
                raise

    # --------------------------------------------------------------------------------------------------------- requests

    def _url(self, path: str, parameters: dict[str, str]) -> str:
        # A signature is of %20; a plus sign would be signed as such.
        query = urlencode(parameters, quote_via=quote)
        return f"{self.endpoint}{path}" + (f"?{query}" if query else "")

    def _call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "",
    ) -> dict[str, Any]:
        headers = {"Content-Type": content_type} if content_type else {}
        request = AWSRequest(method, self._url(path, parameters or {}), headers, body)
        answer: dict[str, Any] = json.loads(self._authorized(request).content)
        return answer

    def _authorized(self, request: AWSRequest, accepted: tuple[int, ...] = ()) -> AWSResponse:
        """Send an authorized request; again if the API is busy and the request changes nothing."""
        for pause in _PAUSES if request.method == "GET" else ():
            self.authorize(request)
            try:
                return self._send(request, accepted)
            except Rejected as error:
                if error.status != 503:
                    raise
            time.sleep(pause)
        self.authorize(request)
        return self._send(request, accepted)

    def _send(self, request: AWSRequest, accepted: tuple[int, ...] = ()) -> AWSResponse:
        response: AWSResponse = self._http.send(request.prepare())
        if response.status_code >= 400 and response.status_code not in accepted:
            raise Rejected(response.status_code, _message(response.content))
        return response


def _message(body: bytes) -> str:
    """The API's own message; S3 answers with XML, of which the beginning has the reason."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body.decode(errors="replace").split())[:300]
