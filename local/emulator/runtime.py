"""What AWS calls the runtime: loads a handler and feeds it events. Runs as a script in the functions' interpreter.

Usage: python -P runtime.py PATH…, with PATH… as AWS orders them (/var/task, then /opt), and AWS's variables set.
Events come in on stdin, one JSON object a line; answers go out on the original stdout, one a line; everything that is
printed or logged goes to stderr, with `END_OF_LOG` after each invocation. Imports only the standard library, since
what it imports is importable in the handler too.
"""

import decimal
import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from queue import SimpleQueue

END_OF_LOG = "\0end of log"
MAX_RESPONSE_BYTES = 6_291_556  # as the message of Function.ResponseSizeTooLarge gives it
MEMORY_CHECK_SECONDS = 0.02


class LambdaContext:
    """The context object of AWS's Python runtime."""

    identity = None
    client_context = None
    tenant_id = None

    def __init__(self, invocation: dict) -> None:
        self.aws_request_id = invocation["request_id"]
        self.invoked_function_arn = invocation["function_arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = invocation["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout ends this invocation."""
        return max(0, int((self._deadline - time.time()) * 1000))


class RuntimeFault(Exception):
    """A failure that AWS names itself, instead of by the class of an exception."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def load_handler(handler: str) -> Callable:
    """The function that `module.name` or `package/module.name` stands for."""
    path, _, name = handler.rpartition(".")
    module = path.replace("/", ".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise RuntimeFault("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from error
    except SyntaxError as error:
        raise RuntimeFault("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}") from error
    except AttributeError as error:
        raise RuntimeFault("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'") from error


def invoke(handler: Callable, invocation: dict) -> str:
    """One answer, as JSON: {"result": …} or {"error": …} with AWS's error payload."""
    if invocation["trace_id"]:
        os.environ["_X_AMZN_TRACE_ID"] = invocation["trace_id"]
    try:
        result = marshal(handler(invocation["event"], LambdaContext(invocation)))
    except Exception as error:  # noqa: BLE001 (whatever a handler raises is its answer)
        return json.dumps({"error": describe(error, invocation["request_id"])})
    return f'{{"result": {result}}}'


def marshal(result: object) -> str:
    """The handler's result as JSON; decimals as numbers, as AWS's runtime writes them."""
    try:
        text = json.dumps(result, default=_decimal_as_number)
    except (TypeError, ValueError) as error:
        raise RuntimeFault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error
    if len(text) > MAX_RESPONSE_BYTES:
        problem = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        raise RuntimeFault("Function.ResponseSizeTooLarge", problem)
    return text


def _decimal_as_number(value: object) -> float:
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def describe(error: BaseException, request_id: str) -> dict:
    """AWS's error payload, which is also logged: the class name is the type that `Catch` and `Retry` match."""
    name = error.name if isinstance(error, RuntimeFault) else type(error).__name__
    # The first frame is this file's.
    frames = [] if isinstance(error, RuntimeFault) else traceback.format_tb(error.__traceback__)[1:]
    print(f"[ERROR] {name}: {error}", *(frame.rstrip() for frame in frames), sep="\n")
    return {"errorMessage": str(error), "errorType": name, "requestId": request_id, "stackTrace": frames}


def end_with_the_launcher(lines: SimpleQueue) -> None:
    """Pass on what arrives on stdin; at its end, end the process, in the midst of a handler too.

    AWS ends an environment from outside; here a launcher that was killed can't, but its pipes close.
    """
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def end_above_the_memory_size() -> None:
    """Kill the process once it holds more memory than the function may have, as AWS does.

    Reads Linux's account of this process; elsewhere a function may take what it likes.
    """
    limit = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) * 2**20
    page = os.sysconf("SC_PAGE_SIZE")
    with open("/proc/self/statm", "rb", buffering=0) as account:  # noqa: PTH123 (read again and again)
        while True:
            resident_pages = int(os.pread(account.fileno(), 100, 0).split()[1])
            if resident_pages * page > limit:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(MEMORY_CHECK_SECONDS)


def main() -> None:
    """Load the handler, then answer events until stdin ends. One that won't load fails the first event, and is done."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever native code prints belongs to the log as well
    sys.stdout.reconfigure(line_buffering=True)  # a killed process's last words too
    sys.path[:0] = sys.argv[1:]
    sys.argv[1:] = []
    logging.basicConfig(format="[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=end_with_the_launcher, args=(lines,), daemon=True).start()
    if sys.platform == "linux":
        threading.Thread(target=end_above_the_memory_size, daemon=True).start()

    failure = None
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 (reported as the answer, like a handler's)
        failure = describe(error, "")
    answers.write('{"ready": true}\n')
    while True:
        invocation = json.loads(lines.get())
        answer = json.dumps({"error": failure, "exits": True}) if failure else invoke(handler, invocation)
        print(END_OF_LOG, flush=True)
        sys.stderr.flush()
        answers.write(answer + "\n")


if __name__ == "__main__":
    main()
