"""The command line: arguments in, results out, an exit status that tells.

0: every image is COMPLETED. 1: some are not. 2: the arguments, the settings or the stack are wrong. 130: interrupted.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from client import files, report, upload
from client.problems import AWS_ERRORS, SetupError, explain
from client.stack import Record, Stack, default_name, default_session
from client.upload import Result

OK, NOT_ALL_COMPLETED, SETUP_PROBLEM, INTERRUPTED = 0, 1, 2, 130

_SUCCESSES = {"COMPLETED", upload.UPLOADED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end the run
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except SetupError as error:
        _say(str(error))
        return SETUP_PROBLEM
    except AWS_ERRORS as error:
        _say(explain(error))
        return SETUP_PROBLEM
    except BrokenPipeError:
        # The reader of our output has gone ("| head"). What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_ALL_COMPLETED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="image-pipeline",
        description="Send images to a deployed image pipeline, on AWS or the local run, and see what becomes of them. "
        "Account, region and endpoint come from the usual AWS settings.",
        epilog="Exit status: 0 all completed, 1 some not, 2 wrong arguments or settings, 130 interrupted.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--stack", metavar="NAME", help="default: IMAGE_PIPELINE_STACK, else stack_name in the nearest samconfig.toml"
    )
    common.add_argument("--json", action="store_true", help="print one JSON object a line, and nothing else")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    uploading = commands.add_parser(
        "upload",
        parents=[common],
        help="upload files and directories, and follow each file to its end",
        description="Upload files and follow each to its end. The file cat.jpg gets the key uploads/cat.jpg, wherever "
        "it lies; a directory trip gets uploads/trip/, then the path within it. Hidden files in directories are "
        "skipped.",
    )
    uploading.add_argument("paths", nargs="+", type=_path, metavar="FILE|DIR")
    uploading.add_argument(
        "--prefix", default="", type=_prefix, metavar="P", help="put after uploads/: uploads/P/cat.jpg"
    )
    uploading.add_argument("--no-follow", dest="follow", action="store_false", help="upload, and don't wait")
    uploading.add_argument(
        "--timeout",
        type=_seconds,
        default=upload.DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long to follow a file after its upload (default: %(default)g)",
    )
    uploading.set_defaults(command=_upload)

    status = commands.add_parser("status", parents=[common], help="show what the pipeline knows of images")
    status.add_argument("keys", nargs="+", type=_key, metavar="KEY", help="for example uploads/cat.jpg")
    status.set_defaults(command=_status)
    return parser


def _upload(options: argparse.Namespace) -> int:
    selection = files.select(options.paths, options.prefix)
    if selection.problems:
        for problem in selection.problems:
            _say(problem)
        raise SetupError("nothing was uploaded")
    if selection.hidden:
        _say(f"skipped {selection.hidden} hidden {'entry' if selection.hidden == 1 else 'entries'}")
    stack = _stack(options)

    items = selection.items
    stop = threading.Event()
    shown = report.Report([item.key for item in items], sum(item.size for item in items), as_json=options.json)
    results = upload.upload_and_follow(
        stack, items, shown.sent, follow=options.follow, timeout=options.timeout, stop=stop
    )
    try:
        with _ctrl_c_sets(stop), closing(results), shown:
            for result in results:
                shown.add(result)
    finally:
        _say(shown.summary())
    if stop.is_set():
        return INTERRUPTED
    return OK if set(shown.ends) <= _SUCCESSES else NOT_ALL_COMPLETED


def _status(options: argparse.Namespace) -> int:
    keys = list(dict.fromkeys(options.keys))
    records = _stack(options).records(keys)
    shown = report.Report(keys, as_json=options.json)
    with shown:
        for key in keys:
            shown.add(_known(key, records.get(key)))
    return OK if set(shown.ends) <= _SUCCESSES else NOT_ALL_COMPLETED


def _known(key: str, record: Record | None) -> Result:
    if record is None:
        error = {"Name": "NotFound", "Message": "the pipeline knows no image under this key"}
        return Result(key, "NOT_FOUND", error=error)
    return Result(key, record["Status"], record=record, seconds=_seconds_taken(record), error=record.get("Error"))


def _seconds_taken(record: Record) -> float | None:
    if "ReceivedAt" not in record or "CompletedAt" not in record:
        return None
    taken = datetime.fromisoformat(record["CompletedAt"]) - datetime.fromisoformat(record["ReceivedAt"])
    return taken.total_seconds()


def _stack(options: argparse.Namespace) -> Stack:
    return Stack.find(default_session(), options.stack or default_name(Path.cwd()))


@contextmanager
def _ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`, so that the run ends in order; the second one interrupts."""
    usual = signal.getsignal(signal.SIGINT)

    def end_in_order(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, end_in_order)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _say(text: str) -> None:
    print(f"image-pipeline: {report.printable(text)}", file=sys.stderr)


def _path(text: str) -> Path:
    if not text:  # Path("") would be the current folder, to the surprise of whoever has an unset variable there
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def _prefix(text: str) -> str:
    prefix = text.strip("/")
    if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty part, . or .. in it")
    return prefix


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _key(text: str) -> str:
    if not text.startswith(files.UPLOADS_PREFIX):
        raise argparse.ArgumentTypeError(f"{text!r}: keys begin with uploads/, as in {files.UPLOADS_PREFIX}{text}")
    if len(text.encode(errors="surrogatepass")) > files.MAX_KEY_BYTES:
        raise argparse.ArgumentTypeError(f"no key has more than {files.MAX_KEY_BYTES:,} bytes")
    return text
