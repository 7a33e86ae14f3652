"""`python -m bench.api`: how fast the API answers on the local run, and what a page of a listing reads.

Times are the clock's, of requests to the emulator on this machine, one after another: they compare routes and changes,
and say nothing about AWS. A cold request is the first after its function got new settings. Requests a second are those
of autocannon, which npm installs, with 32 connections. Read request units are computed from the sizes of the entries
and records of a page, by the rules that DynamoDB's documentation states; the emulator counts none.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import uuid4

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from bench.markdown import table
from bench.usage import READ_UNIT, item_bytes
from imagepipeline import aws, lists
from imagepipeline.api import index
from imagepipeline.api.listings import Listing, Position
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.items import to_item
from local.stack import LocalStack

ROOT = Path(__file__).parents[1]
RIVALS = Path(__file__).parent / "load"
PHOTO = ROOT / "local" / "photos" / "cat.png"
KEY = "uploads/bench/cat.png"
CONNECTIONS = 32
PAGE = 100  # images: the most that a page has
SIZES = (100, 10_000)  # records in the table
PATIENCE = 50  # attempts to read a page


@dataclass(frozen=True, slots=True)
class Route:
    """One call: what is sent, and which function answers."""

    name: str
    function: str
    method: str
    path: Callable[[], str]
    body: bytes = b""
    content_type: str = ""


@dataclass(slots=True)
class Api:
    """The deployed API, for someone who may call everything."""

    stack: LocalStack
    credentials: Credentials
    http: URLLib3Session = field(default_factory=URLLib3Session)

    @property
    def endpoint(self) -> str:
        return self.stack.outputs["ImageStatusApiEndpoint"]

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> tuple[int, bytes, float]:
        """Status, body and milliseconds."""
        headers = {"Content-Type": content_type} if content_type else {}
        request = AWSRequest(method, self.endpoint + path, headers, body)
        SigV4Auth(self.credentials, "execute-api", "us-east-1").add_auth(request)
        prepared = request.prepare()
        started = time.perf_counter()
        answer = self.http.send(prepared)
        return answer.status_code, answer.content, 1000 * (time.perf_counter() - started)

    def signed_headers(self, path: str) -> dict[str, str]:
        """Headers for the same GET again and again, for a quarter of an hour."""
        request = AWSRequest("GET", self.endpoint + path)
        SigV4Auth(self.credentials, "execute-api", "us-east-1").add_auth(request)
        return dict(request.headers.items())

    def upload(self) -> dict:
        """A new multipart upload, whose one part was sent."""
        described = {
            "Filename": "cat.png",
            "ContentType": "image/png",
            "Bytes": PHOTO.stat().st_size,
            "Multipart": True,
        }
        created = json.loads(self.send("POST", "/uploads", json.dumps(described).encode(), "application/json")[1])
        self.http.send(AWSRequest("PUT", created["Parts"][0]["Url"], {}, PHOTO.read_bytes()).prepare())
        return created

    def routes(self) -> list[Route]:
        photo, form = PHOTO.read_bytes(), {"Filename": "cat.png", "ContentType": "image/png", "Bytes": 240_512}
        key = urlencode({"key": KEY}, quote_via=quote)

        def of_upload(member: str) -> Callable[[], str]:
            return lambda: self.upload()[member].removeprefix(self.endpoint)

        def get(path: str) -> Callable[[], str]:
            return lambda: path

        def post(parts: bool) -> bytes:
            return json.dumps(form | ({"Multipart": True} if parts else {})).encode()

        return [
            Route("GET /images/{path}/status", "StatusFunction", "GET", get(f"/images/{KEY}/status")),
            Route("GET /images/status?key=", "StatusFunction", "GET", get(f"/images/status?{key}")),
            Route("GET /images?key=", "ReadImagesFunction", "GET", get(f"/images?{key}")),
            Route("GET /images", "ReadImagesFunction", "GET", get("/images")),
            Route("GET /images?status=", "ReadImagesFunction", "GET", get("/images?status=COMPLETED")),
            Route("GET /images?label=", "ReadImagesFunction", "GET", get("/images?label=cat")),
            Route("GET /renditions", "ReadImagesFunction", "GET", get(f"/renditions?{key}&name=small")),
            Route(
                "POST /uploads, form", "WriteImagesFunction", "POST", get("/uploads"), post(False), "application/json"
            ),
            Route(
                "POST /uploads, parts", "WriteImagesFunction", "POST", get("/uploads"), post(True), "application/json"
            ),
            Route("POST /uploads/{id}/complete", "WriteImagesFunction", "POST", of_upload("CompleteUrl")),
            Route("DELETE /uploads/{id}", "WriteImagesFunction", "DELETE", of_upload("AbortUrl")),
            Route(
                "POST /images, 240 KB",
                "WriteImagesFunction",
                "POST",
                get("/images?filename=cat.png"),
                photo,
                "image/png",
            ),
            Route("DELETE /images", "WriteImagesFunction", "DELETE", get("/images?key=uploads%2Fbench%2Fgone.png")),
        ]


# ------------------------------------------------------------------------------------------------------------- latency


def latencies(api: Api, route: Route, count: int, before: Callable[[], object] = lambda: None) -> list[float]:
    """Milliseconds of so many requests; each must succeed."""
    found = []
    for _ in range(count):
        path = route.path()
        before()
        status, body, ms = api.send(route.method, path, route.body, route.content_type)
        if status >= 400:
            raise SystemExit(f"bench.api: {route.name} answered {status}: {body[:200]!r}")
        found.append(ms)
    return found


def p50_and_p99(found: list[float]) -> tuple[str, str]:
    """Median and 99th percentile; of less than a hundred values, the greatest."""
    found = sorted(found)
    return f"{statistics.median(found):.0f}", f"{found[math.ceil(0.99 * len(found)) - 1]:.0f}"


def restart(api: Api, function: str) -> Callable[[], None]:
    """What makes the next request of a function cold."""
    client = api.stack.client("lambda")
    name = next(f["FunctionName"] for f in client.list_functions()["Functions"] if function in f["FunctionName"])
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]

    def change() -> None:
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables | {"BENCH": uuid4().hex}}
        )

    return change


def latency_rows(api: Api, warm: int, cold: int) -> Iterator[tuple[str, ...]]:
    yield ("route", "warm p50", "warm p99", "cold p50", "cold p99")
    for route in api.routes():
        latencies(api, route, 3)
        while_warm = latencies(api, route, warm)
        while_cold = latencies(api, route, cold, restart(api, route.function))
        yield (route.name, *p50_and_p99(while_warm), *p50_and_p99(while_cold))
        print(f"{route.name}: done", file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------------------- throughput


def autocannon(folder: Path) -> list[str]:
    """The command, installed below `folder`."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise SystemExit("bench.api: autocannon needs node and npm on the PATH: https://nodejs.org")
    installed = folder / "load"
    installed.mkdir(parents=True, exist_ok=True)
    shutil.copy(RIVALS / "package.json", installed)
    if not (installed / "node_modules" / "autocannon").exists():
        subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=installed, check=True
        )
    return [node, str(installed / "node_modules" / "autocannon" / "autocannon.js")]


def throughput_rows(api: Api, seconds: int) -> Iterator[tuple[str, ...]]:
    command = autocannon(ROOT / ".local" / "bench")
    yield ("route", "requests a second", "p50 ms", "p99 ms", "not 2xx")
    for route in api.routes():
        if route.method != "GET" or route.name == "GET /renditions":
            continue
        path = route.path()
        headers = [f"--headers={name}={value}" for name, value in api.signed_headers(path).items()]
        ended = subprocess.run(
            [*command, "--json", "-c", str(CONNECTIONS), "-d", str(seconds), *headers, api.endpoint + path],
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(ended.stdout)
        latency = found["latency"]
        rate = f"{found['requests']['average']:.0f}"
        yield (
            route.name,
            rate,
            f"{latency['p50']:.0f}",
            f"{latency['p99']:.0f}",
            str(found["non2xx"] + found["errors"]),
        )


# ---------------------------------------------------------------------------------------------------------- read units


def page_units(entries: list[dict], records: list[dict]) -> float:
    """Read request units of one page.

    A query reads the sum of its entries in units of 4 KB, at half the price because it is eventually consistent. Each
    record is rounded up by itself and read consistently.
    """
    query = math.ceil(sum(map(item_bytes, entries)) / READ_UNIT) / 2
    return query + sum(math.ceil(item_bytes(record) / READ_UNIT) for record in records)


LISTINGS = {
    "`status=`": {"status": "COMPLETED"},
    "all": {},
    "`label=`": {"label": "cat"},
    "`label=&min_confidence=`, 1 of 10": {"label": "cat", "min_confidence": "90"},
}


def read_unit_rows(api: Api, record: dict) -> Iterator[tuple[str, ...]]:
    """Of the first page, with this many records like this one in the table, and of a late page."""
    found: dict[str, list[str]] = {name: [] for name in LISTINGS}
    tables = api.stack.outputs["ImagesTable"], api.stack.outputs["IndexTable"]
    for size in SIZES:
        fill(api, record, size)
        for name, query in LISTINGS.items():
            listing = Listing.from_query(query | {"limit": str(PAGE)})
            found[name].append(f"{units_of(tables, listing, record):g}")
            if size == SIZES[-1]:
                late = replace(listing, after=Position(received_at(size // 5), key_of(size // 5)))
                found[name].append(f"{units_of(tables, late, record):g}")
    yield ("listing", *(f"first page of {size:,}" for size in SIZES), f"page {SIZES[-1] * 4 // 5 // PAGE + 1} of them")
    for name, units in found.items():
        yield (name, *units)


def units_of(tables: tuple[str, str], listing: Listing, record: dict) -> float:
    """Read request units of the requests that a page makes."""
    entries: list[dict] = []
    reads: list[str] = []
    events = aws.client("dynamodb").meta.events
    events.register("after-call.dynamodb.Query", lambda parsed, **_: entries.extend(parsed["Items"]), "entries")
    events.register(
        "provide-client-params.dynamodb.BatchGetItem",
        lambda params, **_: reads.extend(
            str(key) for asked in params["RequestItems"].values() for key in asked["Keys"]
        ),
        "reads",
    )
    for attempt in range(PATIENCE):
        entries.clear()
        reads.clear()
        try:
            index.read_page(*tables, listing)
            break
        except ServiceUnavailable:  # the emulator's table is slow when it is large
            if attempt == PATIENCE - 1:
                raise
    events.unregister("after-call.dynamodb.Query", unique_id="entries")
    events.unregister("provide-client-params.dynamodb.BatchGetItem", unique_id="reads")
    return page_units(entries, [to_item(record)] * len(reads))


def key_of(number: int) -> str:
    return f"uploads/bench/{number:05}/cat.png"


def received_at(number: int) -> str:
    return f"2020-05-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"


def fill(api: Api, record: dict, size: int) -> None:
    """Write records until there are `size`, every tenth with a confidence of 95, and wait for the index."""
    client, tables = api.stack.client("dynamodb"), api.stack.outputs
    for start in range(0, size, 25):
        items = [
            to_item(
                record
                | {
                    "ImageKey": key_of(number),
                    "ReceivedAt": received_at(number),
                    "Labels": [{"Name": "Cat", "Confidence": 95 if number % 10 == 0 else 80}],
                }
            )
            for number in range(start, min(start + 25, size))
        ]
        requests = [{"PutRequest": {"Item": item}} for item in items]
        client.batch_write_item(RequestItems={tables["ImagesTable"]: requests})
    # The emulator's stream has one shard, so the last record is indexed last.
    last = lists.Entry(lists.ALL, lists.position(received_at(size - 1), key_of(size - 1)), "")
    while "Item" not in client.get_item(TableName=tables["IndexTable"], Key=last.key):
        time.sleep(0.5)


# ----------------------------------------------------------------------------------------------------------- one run


@contextmanager
def running() -> Iterator[Api]:
    """A local run of its own, with one image, and without the rules that would process what is measured."""
    with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder)) as stack:
        iam = stack.client("iam")
        iam.create_user(UserName="bench")
        allow = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        iam.put_user_policy(UserName="bench", PolicyName="calls", PolicyDocument=document)
        key = iam.create_access_key(UserName="bench")["AccessKey"]
        api = Api(stack, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
        stack.client("s3").put_object(Bucket=stack.outputs["UploadsBucket"], Key=KEY, Body=PHOTO.read_bytes())
        deadline = time.monotonic() + 120
        while KEY not in str(api.send("GET", "/images?label=cat")[1]):
            if time.monotonic() > deadline:
                raise SystemExit("bench.api: the photo was not processed")
            time.sleep(0.5)
        events = stack.client("events")
        for rule in events.list_rules()["Rules"]:
            events.disable_rule(Name=rule["Name"])
        yield api


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="bench.api", description=__doc__.splitlines()[0])
    parser.add_argument("--warm", type=int, default=200, help="requests to each route (default: %(default)s)")
    parser.add_argument("--cold", type=int, default=20, help="cold requests to each route (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="of load on each route (default: %(default)s)")
    options = parser.parse_args()
    with running() as api:
        record = json.loads(api.send("GET", f"/images?key={quote(KEY, safe='')}")[1])
        for rendition in record["Renditions"].values():
            del rendition["Url"]
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n")
        print(table(latency_rows(api, options.warm, options.cold)), "\n")
        print(table(throughput_rows(api, options.seconds)), "\n")
        os.environ |= api.stack.environment
        print(table(read_unit_rows(api, record)))


if __name__ == "__main__":
    main()
