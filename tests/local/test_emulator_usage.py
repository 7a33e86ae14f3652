"""The emulator measures what a bill would count."""

import json
import re
import urllib.request

from tests.local.emulated import Emulated

WORK = """
import os
def handler(event, context):
    kept = b"x" * 2**20 * event["megabytes"]
    if os.fork() == 0:
        os._exit(sum(range(event["loops"])) * 0)
    os.wait()
    return len(kept)
"""


def report(emulator: Emulated, group: str) -> dict[str, float]:
    """The numbers of the last REPORT line."""
    events = emulator.client("logs").filter_log_events(logGroupName=group, filterPattern="REPORT")["events"]
    [*_, line] = [event["message"] for event in events if event["message"].startswith("REPORT")]
    return {name: float(number) for name, number in re.findall(r"([A-Z][A-Za-z ]+): ([\d.]+) (?:ms|MB)", line)}


def test_a_report_states_what_the_invocation_took(patched: Emulated):
    group = f"/usage/{patched.url.rsplit(':', 1)[-1]}"
    function = patched.function(WORK, MemorySize=512, Timeout=30, LoggingConfig={"LogGroup": group})

    patched.invoke(function, {"megabytes": 60, "loops": 1_000_000})
    first = report(patched, group)
    patched.invoke(function, {"megabytes": 1, "loops": 1})
    second = report(patched, group)

    assert 60 < first["Max Memory Used"] < 200
    assert first["Memory Size"] == 512
    assert first["Billed Duration"] >= first["Duration"] + first["Init Duration"]
    assert first["Processor Time"] > 3 * second["Processor Time"]  # that of processes it has forked included
    assert "Init Duration" not in second


def test_requests_are_counted_by_caller(emulator: Emulated):
    code = "import boto3\ndef handler(event, context): boto3.client('s3').list_objects_v2(Bucket='counted')"
    emulator.client("s3").create_bucket(Bucket="counted")
    allow = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    function = emulator.function(code, Role=emulator.role(allow), Timeout=20)

    emulator.invoke(function)

    with urllib.request.urlopen(f"{emulator.url}/_local/usage", timeout=10) as answer:
        requests = json.load(answer)
    assert requests[function.rsplit(":", 1)[-1]] == {"s3:ListBucket": 1}
    assert requests["client"]["s3:CreateBucket"] >= 1
