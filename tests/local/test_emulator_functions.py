"""Functions on the emulator run as they would on AWS."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.local.emulated import REKOGNITION_URL, Emulated

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


def test_an_exception_is_reported_by_the_name_of_its_class(mended: Emulated):
    function = mended.function(COUNTING)

    error = mended.invoke(function, "raise")

    assert error["errorType"] == "TooManyPixels"
    assert error["errorMessage"] == "400 megapixels"


def test_an_environment_survives_its_handlers_exception(mended: Emulated):
    function = mended.function(COUNTING)

    mended.invoke(function, "raise")

    assert mended.invoke(function, "count") == 2


def test_a_process_that_exits_is_an_exit_error_and_the_next_invocation_starts_afresh(mended: Emulated):
    function = mended.function(COUNTING)

    error = mended.invoke(function, "exit")

    assert error["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in error["errorMessage"]
    assert mended.invoke(function, "count") == 1


def test_a_function_that_takes_too_long_times_out_under_awss_name(emulator: Emulated):
    function = emulator.function(COUNTING, Timeout=1)

    error = emulator.invoke(function, "hang")

    assert error["errorType"] == "Sandbox.Timedout"
    assert emulator.invoke(function, "count") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the emulator doesn't watch memory")
def test_a_function_that_takes_more_than_its_memory_size_is_killed(mended: Emulated):
    code = """
import time
def handler(event, context):
    kept = b"x" * 300 * 2**20
    time.sleep(1)
    return len(kept)
"""
    function = mended.function(code, MemorySize=256, Timeout=20)

    error = mended.invoke(function)

    assert error["errorType"] == "Runtime.ExitError"
    assert "signal: SIGKILL" in error["errorMessage"]


def test_a_module_that_is_not_packaged_is_an_import_error_although_the_emulator_has_it(mended: Emulated):
    function = mended.function("import hypercorn\ndef handler(event, context): return 'imported'")

    error = mended.invoke(function)

    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["errorMessage"] == "Unable to import module 'app': No module named 'hypercorn'"


def test_the_functions_own_module_wins_over_a_layers(mended: Emulated):
    layer = mended.layer({"python/app.py": "def handler(event, context): return 'layer'"})
    function = mended.function("def handler(event, context): return 'function'", Layers=[layer])

    assert mended.invoke(function) == "function"


def test_a_later_layer_overwrites_an_earlier_one_file_by_file(emulator: Emulated):
    first = emulator.layer({"python/where.py": "first = True", "python/only.py": "first = True"})
    second = emulator.layer({"python/where.py": "first = False"})
    code = "import where, only\ndef handler(event, context): return [where.first, only.first]"

    function = emulator.function(code, Layers=[first, second])

    assert emulator.invoke(function) == [False, True]


def test_packages_of_a_layer_are_found_where_pip_would_put_them(emulator: Emulated):
    layer = emulator.layer({"python/lib/python3.13/site-packages/packaged.py": "name = 'packaged'"})
    code = "import packaged\ndef handler(event, context): return packaged.name"

    assert emulator.invoke(emulator.function(code, Layers=[layer])) == "packaged"


def test_a_function_sees_awss_variables_and_its_own_and_none_of_the_machines(mended: Emulated):
    function = mended.function(
        "import os\ndef handler(event, context): return dict(os.environ)",
        MemorySize=512,
        Environment={"Variables": {"RENDITIONS": "small", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1"}},
    )

    seen = mended.invoke(function)

    assert seen["RENDITIONS"] == "small"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert seen["AWS_LAMBDA_LOG_GROUP_NAME"] == f"/aws/lambda/{seen['AWS_LAMBDA_FUNCTION_NAME']}"
    assert seen["AWS_ENDPOINT_URL_REKOGNITION"] == REKOGNITION_URL
    assert seen["AWS_SECRET_ACCESS_KEY"] != "the developer's"  # noqa: S105
    assert not seen.keys() & {"AUTH", "STATE_DIR", "GATEWAY_PORT", "USER", "PWD", "PYTEST_CURRENT_TEST"}


def test_a_functions_variables_are_set_before_its_interpreter_starts(emulator: Emulated):
    code = "import sys\ndef handler(event, context): return sys.flags.hash_randomization"

    function = emulator.function(code, Environment={"Variables": {"PYTHONHASHSEED": "0"}})

    assert emulator.invoke(function) == 0


def test_a_function_acts_with_its_role_and_no_more(emulator: Emulated):
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


def test_a_burst_queues_for_the_cores_instead_of_starting_a_process_each(mended: Emulated):
    code = "import os, time\ndef handler(event, context):\n    time.sleep(0.1)\n    return os.getpid()"
    function, burst = mended.function(code, Timeout=20), 3 * os.cpu_count()

    with ThreadPoolExecutor(burst) as callers:
        processes = set(callers.map(mended.invoke, [function] * burst))

    assert len(processes) <= os.cpu_count()


def test_who_waits_too_long_for_a_core_is_throttled(emulator: Emulated):
    slow = emulator.function("import time\ndef handler(event, context): time.sleep(15)", Timeout=30)
    client, cores = emulator.client("lambda"), os.cpu_count()

    with ThreadPoolExecutor(cores + 1) as callers:
        calls = [callers.submit(client.invoke, FunctionName=slow) for _ in range(cores + 1)]
        refused = [call for call in calls if isinstance(call.exception(), client.exceptions.TooManyRequestsException)]

    assert len(refused) == 1


def test_what_a_function_prints_is_in_its_log_group_even_when_it_dies(emulator: Emulated):
    group = "/custom/group"
    function = emulator.function(COUNTING, Timeout=1, LoggingConfig={"LogGroup": group})

    emulator.invoke(function, "hang")

    events = emulator.client("logs").filter_log_events(logGroupName=group)["events"]
    messages = [event["message"] for event in events]
    assert "invocation 1 🐈" in messages
    assert any("Task timed out after 1.00 seconds" in message for message in messages)


def test_the_context_tells_the_time_that_is_left(emulator: Emulated):
    code = "def handler(event, context): return context.get_remaining_time_in_millis()"

    left = emulator.invoke(emulator.function(code, Timeout=20))

    assert 0 < left <= 20_000


def test_a_result_that_is_no_json_is_a_marshal_error(mended: Emulated):
    function = mended.function("def handler(event, context): return {1, 2}")

    assert mended.invoke(function)["errorType"] == "Runtime.MarshalError"


def test_a_state_machine_catches_a_functions_exception_by_its_name(mended: Emulated):
    function = mended.function(COUNTING)
    machine = mended.state_machine(
        {
            "StartAt": "Work",
            "States": {
                "Work": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": function, "Payload": "raise"},
                    "Catch": [{"ErrorEquals": ["TooManyPixels"], "Next": "Caught"}],
                    "End": True,
                },
                "Caught": {"Type": "Pass", "End": True},
            },
        },
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": function},
    )

    execution = mended.run(machine)

    assert execution["status"] == "SUCCEEDED"
    assert json.loads(json.loads(execution["output"])["Cause"])["errorMessage"] == "400 megapixels"
