"""Functions on the emulator run as on AWS."""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.local.emulated import Emulated

COUNTING = """
import os, sys, time
class TooManyPixels(Exception): pass
count = 0
def handler(event, context):
    global count
    count += 1
    print("invocation", count, "🐈")
    match event:
        case "raise": raise TooManyPixels("400 megapixels")
        case "exit": sys.exit(3)
        case "hang": time.sleep(60)
    return count
"""

WORK = """
import os
def handler(event, context):
    kept = b"x" * 2**20 * event["megabytes"]
    if os.fork() == 0:
        os._exit(sum(range(event["loops"])) * 0)
    os.wait()
    return len(kept)
"""


def test_an_exception_keeps_its_class_name_and_the_environment(patched: Emulated):
    function = patched.function(COUNTING)

    error = patched.invoke(function, "raise")

    assert (error["errorType"], error["errorMessage"]) == ("TooManyPixels", "400 megapixels")
    assert patched.invoke(function, "count") == 2


def test_a_process_that_exits_is_an_exit_error(emulator: Emulated):
    function = emulator.function(COUNTING)

    error = emulator.invoke(function, "exit")

    assert error["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in error["errorMessage"]
    assert emulator.invoke(function, "count") == 1


def test_a_function_over_its_timeout_is_ended_and_logged(emulator: Emulated):
    group = "/custom/group"
    function = emulator.function(COUNTING, Timeout=1, LoggingConfig={"LogGroup": group})

    error = emulator.invoke(function, "hang")

    events = emulator.client("logs").filter_log_events(logGroupName=group)["events"]
    messages = [event["message"] for event in events]
    assert error["errorType"] == "Sandbox.Timedout"
    assert "invocation 1 🐈" in messages
    assert any("Task timed out after 1.00 seconds" in message for message in messages)
    assert emulator.invoke(function, "count") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the emulator limits memory only on Linux")
def test_a_function_over_its_memory_size_is_killed(emulator: Emulated):
    code = """
import time
def handler(event, context):
    kept = b"x" * 300 * 2**20
    time.sleep(1)
    return len(kept)
"""
    function = emulator.function(code, MemorySize=256, Timeout=20)

    error = emulator.invoke(function)

    assert error["errorType"] == "Runtime.ExitError"
    assert "signal: SIGKILL" in error["errorMessage"]


def test_a_function_cannot_import_the_emulators_packages(patched: Emulated):
    function = patched.function("import hypercorn\ndef handler(event, context): return 'imported'")

    error = patched.invoke(function)

    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["errorMessage"] == "Unable to import module 'app': No module named 'hypercorn'"


def test_the_functions_module_takes_precedence_over_a_layers(emulator: Emulated):
    layer = emulator.layer({"python/app.py": "def handler(event, context): return 'layer'"})
    function = emulator.function("def handler(event, context): return 'function'", Layers=[layer])

    assert emulator.invoke(function) == "function"


def test_a_layers_packages_can_be_in_site_packages(emulator: Emulated):
    layer = emulator.layer({"python/lib/python3.13/site-packages/packaged.py": "name = 'packaged'"})
    code = "import packaged\ndef handler(event, context): return packaged.name"

    assert emulator.invoke(emulator.function(code, Layers=[layer])) == "packaged"


def test_a_function_sees_only_awss_variables_and_its_own(emulator: Emulated):
    function = emulator.function(
        "import os\ndef handler(event, context): return dict(os.environ)",
        MemorySize=512,
        Environment={"Variables": {"RENDITIONS": "small", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1"}},
    )

    seen = emulator.invoke(function)

    assert seen["RENDITIONS"] == "small"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert seen["AWS_LAMBDA_LOG_GROUP_NAME"] == f"/aws/lambda/{seen['AWS_LAMBDA_FUNCTION_NAME']}"
    assert seen["AWS_ENDPOINT_URL"] == emulator.url
    assert seen["AWS_SECRET_ACCESS_KEY"] != "the developer's"
    assert not seen.keys() & {"AUTH", "STATE_DIR", "GATEWAY_PORT", "USER", "PWD", "PYTEST_CURRENT_TEST"}


def test_a_function_can_do_only_what_its_role_allows(emulator: Emulated):
    bucket = "allowed-by-role"
    emulator.client("s3").create_bucket(Bucket=bucket)
    emulator.client("s3").put_object(Bucket=bucket, Key="a", Body=b"content")
    code = f"""
import boto3
def handler(event, context):
    s3 = boto3.client("s3")
    return s3.get_object(Bucket="{bucket}", Key="a")["Body"].read().decode()
"""
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}

    allowed = emulator.function(code, Role=emulator.role(allow), Timeout=20)
    refused = emulator.function(code, Timeout=20)

    assert emulator.invoke(allowed) == "content"
    assert "AccessDenied" in emulator.invoke(refused)["errorMessage"]


def test_a_wildcard_in_a_policy_matches_line_breaks(patched: Emulated):
    bucket, key = "line-breaks", "a\nb"
    patched.client("s3").create_bucket(Bucket=bucket)
    patched.client("s3").put_object(Bucket=bucket, Key=key, Body=b"content")
    code = f"""
import boto3
def handler(event, context):
    return boto3.client("s3").get_object(Bucket="{bucket}", Key={key!r})["Body"].read().decode()
"""
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}

    function = patched.function(code, Role=patched.role(allow), Timeout=20)

    assert patched.invoke(function) == "content"


def test_a_burst_starts_at_most_one_process_per_core(emulator: Emulated):
    code = "import os, time\ndef handler(event, context):\n    time.sleep(0.1)\n    return os.getpid()"
    function, burst = emulator.function(code, Timeout=20), 3 * os.cpu_count()

    with ThreadPoolExecutor(burst) as callers:
        processes = set(callers.map(emulator.invoke, [function] * burst))

    assert len(processes) <= os.cpu_count()


def test_an_invocation_that_waits_too_long_is_throttled(emulator: Emulated):
    slow = emulator.function("import time\ndef handler(event, context): time.sleep(12)", Timeout=30)
    client, cores = emulator.client("lambda"), os.cpu_count()

    with ThreadPoolExecutor(cores + 1) as callers:
        calls = [callers.submit(client.invoke, FunctionName=slow) for _ in range(cores + 1)]
        refused = [call for call in calls if isinstance(call.exception(), client.exceptions.TooManyRequestsException)]

    assert len(refused) == 1


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
