"""A stack with other parameters: callers show tokens, a rendition shows the face, and flagged images are held."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from PIL import Image

from local.stack import LocalStack
from tests.integration.clients import Client, send
from tests.integration.conftest import PHOTOS, Deployed
from tests.integration.faults import flagged_photo

pytestmark = pytest.mark.xdist_group("other-parameters")

PASSWORD = "correct Horse 7 battery!"
ORIGIN = "https://app.test"


@dataclass(frozen=True)
class Pool:
    """A user pool with one user."""

    stack: LocalStack
    id: str

    @classmethod
    def create(cls, stack: LocalStack, name: str) -> "Pool":
        cognito = stack.client("cognito-idp")
        pool = cls(stack, cognito.create_user_pool(PoolName=name)["UserPool"]["Id"])
        cognito.admin_create_user(UserPoolId=pool.id, Username="ann")
        cognito.admin_set_user_password(UserPoolId=pool.id, Username="ann", Password=PASSWORD, Permanent=True)
        return pool

    @property
    def issuer(self) -> str:
        return f"https://cognito-idp.us-east-1.amazonaws.com/{self.id}"

    def application(self, **settings: object) -> str:
        """The client id of a new application, which is the audience of its tokens."""
        created = self.stack.client("cognito-idp").create_user_pool_client(
            UserPoolId=self.id, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"], **settings
        )
        return created["UserPoolClient"]["ClientId"]

    def tokens(self, application: str) -> dict[str, str]:
        """What the user gets who signs in to an application."""
        return self.stack.client("cognito-idp").admin_initiate_auth(
            UserPoolId=self.id,
            ClientId=application,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ann", "PASSWORD": PASSWORD},
        )["AuthenticationResult"]


@dataclass(frozen=True)
class Tokens:
    endpoint: str
    pool: Pool
    application: str
    short_lived: str  # another application that the API accepts; its tokens expire after a second


@pytest.fixture(scope="module")
def accepted(tmp_path_factory) -> Iterator[Tokens]:
    folder = tmp_path_factory.mktemp("tokens")
    stack = LocalStack(folder)
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SFN_WAIT_SCALE", "0.01")
            stack.start()
        pool = Pool.create(stack, "users")
        application = pool.application()
        short_lived = pool.application(IdTokenValidity=1, TokenValidityUnits={"IdToken": "seconds"})
        stack = LocalStack(
            folder,
            parameters={
                "ProductApiAuthorization": "JWT",
                "JwtIssuer": pool.issuer,
                "JwtAudience": f"{application},{short_lived}",
                "CorsAllowOrigins": f"{ORIGIN},https://other.test",
                "Renditions": "centre=200x200:cover face=200x200:cover:face",
                "Moderation": "quarantine",
            },
        )
        stack.build()
        stack.deploy()
        yield Tokens(stack.outputs["ImageStatusApiEndpoint"], pool, application, short_lived)
    finally:
        stack.purge()


def status(accepted: Tokens, token: str | None) -> int:
    return Client(accepted.endpoint, token=token).call("GET /images").status


@pytest.mark.parametrize("kind", ["IdToken", "AccessToken"])
def test_a_token_of_the_pool_and_the_application_is_accepted(accepted, kind):
    token = accepted.pool.tokens(accepted.application)[kind]

    assert status(accepted, token) == 200
    client = Client(accepted.endpoint, token=token)
    assert client.call("POST /uploads", body={}).status == 400  # not 401: it is the body that is wrong


def test_a_call_without_a_token_of_the_application_is_refused(accepted):
    strangers = Pool.create(accepted.pool.stack, "strangers")
    header, claims, signature = accepted.pool.tokens(accepted.application)["IdToken"].split(".")
    another_name = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"cognito:username": "root"}
    tokens = {
        "none": None,
        "nonsense": "nonsense",
        "of another application": accepted.pool.tokens(accepted.pool.application())["IdToken"],
        "of another pool": strangers.tokens(strangers.application())["IdToken"],
        "changed": f"{header}.{encoded(another_name)}.{signature}",
        "unsigned": f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
    }

    assert {name: status(accepted, token) for name, token in tokens.items()} == dict.fromkeys(tokens, 401)


def encoded(part: dict) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_an_expired_token_is_refused(accepted):
    token = accepted.pool.tokens(accepted.short_lived)["IdToken"]

    # Accepted until it expires, a second later, unless the machine is busy.
    Deployed.eventually(lambda: status(accepted, token) == 401)


def test_the_status_stays_as_open_as_the_stack_says(accepted):
    answer = send("GET", f"{accepted.endpoint}/images/status?key=uploads%2Fnothing.jpg")

    assert answer.status == 404


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, ORIGIN), ("https://evil.test", None)])
def test_pages_of_the_named_origins_may_call(accepted, origin, allowed):
    preflight = send("OPTIONS", f"{accepted.endpoint}/uploads", headers={"Origin": origin})

    assert preflight.headers["Access-Control-Allow-Origin"] == allowed
    assert "Access-Control-Allow-Credentials" not in preflight.headers


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, ORIGIN), ("https://evil.test", None)])
@pytest.mark.parametrize(
    ("bucket", "operation", "method"),
    [
        ("UploadsBucket", "upload_part", "PUT"),
        ("UploadsBucket", "put_object", "POST"),
        ("ThumbnailsBucket", "get_object", "GET"),
    ],
)
def test_their_pages_may_send_uploads_and_read_renditions(accepted, bucket, operation, method, origin, allowed):
    stack = accepted.pool.stack
    asked = {"Bucket": stack.outputs[bucket], "Key": "uploads/a.jpg"}
    part = {"UploadId": "1", "PartNumber": 1} if operation == "upload_part" else {}
    url = stack.client("s3").generate_presigned_url(operation, asked | part)

    wanted = {"Origin": origin, "Access-Control-Request-Method": method}
    preflight = send(
        "OPTIONS", url, headers=wanted | {"Access-Control-Request-Headers": "content-type"} if part else wanted
    )

    assert preflight.headers["Access-Control-Allow-Origin"] == allowed


@pytest.fixture(scope="module")
def pipeline(accepted) -> Deployed:
    return Deployed(accepted.pool.stack)


def test_a_rendition_shows_a_face_that_the_centre_does_not(pipeline, key):
    wide, photo = Image.new("RGB", (700, 300), "gray"), io.BytesIO()
    wide.paste(Image.open(PHOTOS / "astronaut.jpg").crop((100, 0, 400, 300)))
    wide.save(photo, "JPEG")

    renditions = pipeline.process(key, photo.getvalue())["Renditions"]

    rekognition = pipeline.stack.client("rekognition")
    faces = {
        name: rekognition.detect_faces(Image={"Bytes": pipeline.rendition(rendition["Key"])})["FaceDetails"]
        for name, rendition in renditions.items()
    }
    assert {name: len(found) for name, found in faces.items()} == {"centre": 0, "face": 1}


def test_a_flagged_image_is_held(pipeline, key):
    record = pipeline.process(key, flagged_photo())

    assert (record["Status"], record["HeldBecause"]["Name"]) == ("HELD", "Flagged")
    assert [mail.attributes["processing_status"] for mail in pipeline.mails(key)] == ["HELD"]
