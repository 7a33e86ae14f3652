"""The commands of the local run: `python -m local up`, `down`, `env` and `inbox`."""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from cli.problems import AWS_ERRORS, SetupError, explain
from local import samples
from local.daemons import DaemonFailed
from local.deployment import PROJECT, InvalidParameter, SamFailed, parse_parameters, stack_name
from local.stack import AlreadyRunning, Busy, LocalStack, OlderData, PortTaken

DEFAULT_PORT = 4566  # the usual port of an AWS emulator
PIPED_WIDTH = 160  # characters per line when the output is not a terminal


def main() -> int:
    """Run the command. Returns its exit status: 0 success, 1 failure, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # for terminals without UTF-8
    options = _parser().parse_args()
    try:
        status = options.command(_stack(options), options)
        sys.stdout.flush()  # now, because an error at exit could not be handled
        return status
    except (PortTaken, AlreadyRunning, Busy, OlderData, DaemonFailed, SamFailed, SetupError) as problem:
        print(f"local: {problem}", file=sys.stderr)
    except AWS_ERRORS as error:
        print(f"local: {explain(error)}", file=sys.stderr)
    except BrokenPipeError:
        # The reader of the output has closed it ("| head"). Flushing the buffer at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print(f"local: interrupted. To stop what was started: {_again('down', options)}", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Run the whole system on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--port", type=_port, help=f"port of every AWS service (default: {DEFAULT_PORT})")
    common.add_argument("--state-dir", type=Path, metavar="DIR", help="where data is stored (default: .local/PORT)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command, summary: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(command.__name__, parents=[common], help=summary, description=command.__doc__)
        subparser.set_defaults(command=command, parameters={})
        return subparser

    add(up, "start the system, or update it, and upload sample photos").add_argument(
        "--parameters",
        type=_parameters,
        metavar="'NAME=VALUE ...'",
        help="the stack's parameters, like 'MaxPixels=1000000 Renditions=\"small=100x100 large=900x900\"'; "
        "the stack keeps them until they are set again",
    )
    add(down, "stop the system; stored data remains").add_argument(
        "--purge", action="store_true", help="remove stored data, too"
    )
    add(env, 'print exports for any AWS client, for: eval "$(.venv/bin/python -m local env)"')
    add(inbox, "print the notifications that the stack has sent").add_argument(
        "--json", action="store_true", help="print one JSON object per line"
    )
    return parser


def up(stack: LocalStack, options: argparse.Namespace) -> int:
    """Start the system, build and deploy what has changed, and upload the sample photos."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    with stack.exclusively():
        with _step(console, "Start the AWS emulator"):
            stack.start()
        with _step(console, "Build the functions and layers (sam build)"):
            stack.build()
        with _step(console, "Deploy the stack (sam deploy)"):
            stack.deploy()
    console.print("\nUpload the sample photos of local/photos:\n")
    completed = samples.send(stack.session, stack_name(), console)
    console.print()
    _print_next_steps(stack, options)
    return 0 if completed else 1


def down(stack: LocalStack, options: argparse.Namespace) -> int:
    """Stop the emulator and remove its temporary files."""
    if not stack.state_dir.exists():
        print(f"There is no local run in {stack.state_dir}.")
    elif options.purge:
        stack.purge()
        print(f"Stopped, and removed {stack.state_dir}.")
    else:
        stack.stop()
        print(f"Stopped. Images, records and notifications remain in {stack.state_dir} for the next start.")
        print(f"To remove them: {_again('down --purge', options)}")
    return 0


def env(stack: LocalStack, options: argparse.Namespace) -> int:
    """Print shell commands that direct any AWS client, and the image-pipeline command, to the local run."""
    _require_running(stack, options)
    # Both would take precedence over the access key below, or be combined with it.
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    for name, value in stack.environment.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def inbox(stack: LocalStack, options: argparse.Namespace) -> int:
    """Print every notification so far, oldest first."""
    _require_running(stack, options)
    mails = stack.mails()
    if options.json:
        for mail in mails:
            print(json.dumps(asdict(mail)))
    else:
        print(f"\n\n{'-' * 72}\n".join(map(str, mails)) if mails else "No notifications yet.")
    return 0


def _stack(options: argparse.Namespace) -> LocalStack:
    if options.state_dir:
        return LocalStack(options.state_dir, options.port or 0, options.parameters)
    port = options.port or DEFAULT_PORT
    return LocalStack(PROJECT / ".local" / str(port), port, options.parameters)


def _require_running(stack: LocalStack, options: argparse.Namespace) -> None:
    if stack.emulator_pid is None:
        raise SetupError(f"the local run in {stack.state_dir} is not running. Start it with: {_again('up', options)}")


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    started = time.monotonic()
    with console.status(name):
        yield
    console.print(f"{name:<55} {time.monotonic() - started:5.1f} s")


def _print_next_steps(stack: LocalStack, options: argparse.Namespace) -> None:
    outputs = stack.outputs
    bucket, api = outputs["UploadsBucket"], outputs["ImageStatusApiEndpoint"]
    print(f"""\
The system is running at {stack.endpoint} and keeps running in the background.

Run this first, to direct the AWS clients of this shell to it:
  eval "$({_again("env", options)})"

Then, for example:
  Upload an image         .venv/bin/image-pipeline upload local/photos/cat.png
                          aws s3 cp local/photos/cat.png s3://{bucket}/uploads/
  Ask for its status      curl {api}/images/uploads/cat.png/status
  Read notifications      {_again("inbox", options)}
  Deploy changed code     {_again("up", options)}
  Stop the system         {_again("down", options)}

The log is {stack.log}.""")


def _again(command: str, options: argparse.Namespace) -> str:
    """The command line of a command for the same local run."""
    words = [".venv/bin/python", "-m", "local", *command.split()]
    if options.state_dir:
        words += ["--state-dir", str(options.state_dir)]
    elif options.port not in (None, DEFAULT_PORT):
        words += ["--port", str(options.port)]
    return shlex.join(words)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose a number from 1 to 65535")
    return int(text)


def _parameters(text: str) -> dict[str, str]:
    try:
        return parse_parameters(text)
    except InvalidParameter as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
