"""Every call in the documentation does what it says: those of docs/openapi.yaml, and the commands of README and docs.

Both lists are read from the files, and so are the permissions that the command needs. What is added there is run here.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import boto3
import pytest

from tests.functions.contract import check_response, operations, resolve
from tests.integration.clients import Client, Response, send
from tests.integration.conftest import PHOTOS, Command, Deployed
from tests.template.stack import REPOSITORY

pytestmark = pytest.mark.xdist_group("deployed")

KEYS = ("uploads/cat.jpg", "uploads/100% wool?.jpg")  # which the documentation's examples are about
PART_BYTES = 8 * 2**20


@pytest.fixture(scope="module")
def client(deployed) -> Client:
    return deployed.api_client("*")


@pytest.fixture
def examples(deployed, photo) -> None:
    """The images that the examples are about, also after a call that deleted one."""
    listed = deployed.s3.list_objects_v2(Bucket=deployed.outputs["UploadsBucket"], Prefix="uploads/")
    uploaded = {found["Key"] for found in listed.get("Contents", [])}
    for key in KEYS:
        if key not in uploaded:
            deployed.eventually(lambda key=key: deployed.record(key) is None)
            assert deployed.process(key, photo)["Status"] == "COMPLETED"


# ------------------------------------------------------------------------------------------------------------- openapi


def example_of(parameter: dict) -> object:
    """A parameter's example, or None."""
    examples = resolve(parameter["schema"]).get("examples", [None])
    return parameter.get("example", examples[0])


def documented_calls() -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Route, names of its parameters, content type and name of the example of its body: each optional one once."""
    for route, operation in operations().items():
        parameters = [resolve(parameter) for parameter in operation.get("parameters", [])]
        required = tuple(parameter["name"] for parameter in parameters if parameter.get("required"))
        bodies = [
            (content_type, name)
            for content_type, content in operation.get("requestBody", {}).get("content", {"": {}}).items()
            for name in content.get("examples", ["example"])
        ]
        for content_type, name in bodies:
            yield route, required, content_type, name
        for parameter in parameters:
            if not parameter.get("required"):
                yield route, (*required, *parameter.get("x-requires", ()), parameter["name"]), *bodies[0]


class Call:
    """One call, with the values of the document, or of earlier answers where it can have none."""

    def __init__(self, client: Client, photo: bytes) -> None:
        self._client = client
        self._photo = photo

    def make(self, route: str, names: tuple[str, ...], content_type: str, example: str) -> Response:
        values = self._earlier(route, names)
        parameters = {
            parameter["name"]: parameter for parameter in map(resolve, operations()[route].get("parameters", []))
        }
        query, path = {}, route
        for name in names:
            value = values.get(name, example_of(parameters[name]))
            assert value is not None, f"{route}: {name} needs an example in docs/openapi.yaml"
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if parameters[name]["in"] == "path":
                path = path.replace(f"{{{name}}}", quote(text, safe=""))
            else:
                query[name] = text
        if content_type == "image/*":
            return self._client.call(path, query, self._photo, "image/jpeg")
        if content_type:
            content = operations()[route]["requestBody"]["content"][content_type]
            return self._client.call(
                path, query, content.get("examples", {}).get(example, {}).get("value", content.get("example"))
            )
        return self._client.call(path, query)

    def _earlier(self, route: str, names: tuple[str, ...]) -> dict[str, object]:
        if "cursor" in names:
            return {"cursor": self._client.call("GET /images", {"limit": 1}).json["NextCursor"]}
        if "id" not in names:
            return {}
        created = self.make("POST /uploads", (), "application/json", "parts").json
        if route.startswith("POST"):
            for part in created["Parts"]:
                assert send("PUT", part["Url"], self._photo.ljust(part["Bytes"], b"\0")).status == 200
        return {"id": created["UploadId"], "key": created["Key"]}


# This stack holds no images; tests/integration/test_quarantine.py decides about held ones.
NEEDS_A_HELD_IMAGE = "POST /images/decision"


@pytest.mark.parametrize("call", list(documented_calls()), ids=lambda call: " ".join((call[0], *call[1], *call[2:])))
@pytest.mark.usefixtures("examples")
def test_a_call_of_the_openapi_document_succeeds(client, photo, call):
    answer = Call(client, photo).make(*call)

    assert answer.status == 409 if call[0] == NEEDS_A_HELD_IMAGE else answer.status < 400, answer.body
    check_response(call[0], answer.status, {**answer.headers}, answer.body)


# ------------------------------------------------------------------------------------------------------------ commands


def blocks() -> list[tuple[str, str, str]]:
    """File, language and text of each block of code that names the API's address."""
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    return [
        (file.name, language, text)
        for file in files
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", file.read_text(), re.M | re.S)
        if "<ImageStatusApiEndpoint>" in text
    ]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block[0]}: {block[2].splitlines()[0][:40]}")
@pytest.mark.usefixtures("examples")
def test_a_command_of_the_documentation_succeeds(deployed: Deployed, client, tmp_path: Path, monkeypatch, block):
    _, language, text = block
    for name, value in deployed.outputs.items():
        text = text.replace(f"<{name}>", value)
    shutil.copy(PHOTOS / "coffee + saucer.jpg", tmp_path / "cat.jpg")
    access, secret = client.access_key
    credentials = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}

    if language == "python":
        monkeypatch.chdir(tmp_path)
        for name, value in credentials.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        exec(text, {})  # noqa: S102 (the documentation is ours)
        return

    (tmp_path / ".curlrc").write_text("fail-with-body\n")  # curl succeeds whatever the status is, unless told otherwise
    calls = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("aws "))
    environment = {"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path), "AWS_SESSION_TOKEN": "", **credentials}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", calls], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert '"message"' not in ended.stdout


def test_the_documentation_has_commands_that_are_run():
    assert {language for _, language, _ in blocks()} >= {"", "python"}
    assert sum(text.count("<ImageStatusApiEndpoint>") for _, _, text in blocks()) >= 8


# --------------------------------------------------------------------------------------------------------- permissions


def documented_permissions() -> dict[str, list[str]]:
    """The actions that each subcommand needs, besides those of all."""

    def section(page: str) -> str:
        text = (REPOSITORY / "docs" / page).read_text()
        return re.split(r"^#+ Permissions$", text, flags=re.M)[1].split("\n## ")[0]

    def actions_in(text: str) -> list[str]:
        return re.findall(r"`([a-z0-9-]+:[A-Z]\w+)`", text)

    needed: dict[str, list[str]] = {}
    above: list[str] = []
    for names, text in re.findall(r"^\| (`.+?) \| (.+) \|$", section("operations.md"), re.M):
        above = actions_in(text) + (above if "the above" in text else [])
        needed |= dict.fromkeys(re.findall(r"`(\w+)`", names), above)
    return needed | {"reprocess": needed["failures"] + actions_in(section("archives.md"))}


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "uploads/cat.jpg", "--url"),
        ("upload", str(PHOTOS / "cat.png")),
        ("failures", "--rejected"),
        ("redrive", "uploads/cat.jpg"),
        ("reindex",),
        ("pause",),
        ("resume", "--settling", "0.1"),
        ("release", "uploads/cat.jpg"),
        ("reprocess", "uploads/cat.jpg", "--yes"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.usefixtures("examples")
def test_the_documented_permissions_suffice(deployed: Deployed, command: Command, monkeypatch, arguments):
    iam, name = deployed.stack.client("iam"), f"operator-{uuid4().hex}"
    actions = ["cloudformation:DescribeStacks", *documented_permissions()[arguments[0]]]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="documented", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    status, _ = command(*arguments)

    assert status in (0, 1)  # 2 if a permission is missing
