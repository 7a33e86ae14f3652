"""The local run's commands: `python -m local up`, `down`, `env`, `inbox`."""

import argparse
import json
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
from local.deployment import PROJECT, SamFailed, stack_name
from local.stack import AlreadyRunning, Busy, LocalStack, PortTaken

DEFAULT_PORT = 4566  # where clients look for an AWS emulator
PIPED_WIDTH = 140  # characters a line when nothing tells how wide the output may be


def main() -> int:
    """Run the command. Returns its exit status: 0 done, 1 not done, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end the run
    options = _parser().parse_args()
    try:
        return options.command(_stack(options), options)
    except (PortTaken, AlreadyRunning, Busy, DaemonFailed, SamFailed, SetupError) as problem:
        print(f"local: {problem}", file=sys.stderr)
    except AWS_ERRORS as error:
        print(f"local: {explain(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("local: interrupted; what was started runs on until: make down", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole system on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--port", type=_port, help=f"where every AWS service answers (default: {DEFAULT_PORT})")
    common.add_argument("--state-dir", type=Path, metavar="DIR", help="what is kept (default: .local/PORT)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command, summary: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(command.__name__, parents=[common], help=summary, description=command.__doc__)
        subparser.set_defaults(command=command)
        return subparser

    add(up, "start and deploy, or update, the system; send sample photos through")
    add(down, "end it; keep what it stored").add_argument(
        "--purge", action="store_true", help="forget everything it stored, too"
    )
    add(env, 'print the exports for any AWS client: eval "$(python -m local env)"')
    add(inbox, "print what the notifications topic sent").add_argument(
        "--json", action="store_true", help="one JSON object a line"
    )
    return parser


def up(stack: LocalStack, options: argparse.Namespace) -> int:
    """Start what isn't running, build and deploy what changed, and send the sample photos through."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    with stack.exclusively():
        with _step(console, "MiniStack and the Rekognition stand-in started"):
            stack.start()
        with _step(console, "sam build"):
            stack.build()
        with _step(console, "sam deploy"):
            stack.deploy()
    console.print()
    completed = samples.send(stack.session, stack_name(), console)
    console.print()
    _print_how_to_go_on(stack, options)
    return 0 if completed else 1


def down(stack: LocalStack, options: argparse.Namespace) -> int:
    """End every process of the local run and remove its temporary files."""
    if not stack.state_dir.exists():
        print(f"nothing ever ran in {stack.state_dir}")
    elif options.purge:
        stack.purge()
        print(f"ended; {stack.state_dir} is removed")
    else:
        stack.stop()
        print(f"ended; images and records stay in {stack.state_dir}, for the next run")
        print(f"to remove them, too: {_again('down --purge', options)}")
    return 0


def env(stack: LocalStack, options: argparse.Namespace) -> int:
    """Print shell commands that lead any AWS client, and image-pipeline, to the local run."""
    _require_running(stack)
    # Either would win over, or be mixed with, the keys below.
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    for name, value in stack.environment.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def inbox(stack: LocalStack, options: argparse.Namespace) -> int:
    """Print every notification so far, oldest first."""
    _require_running(stack)
    mails = stack.inbox.read()
    if options.json:
        for mail in mails:
            print(json.dumps(asdict(mail)))
    else:
        print(f"\n\n{'-' * 72}\n".join(map(str, mails)) if mails else "no mail yet")
    return 0


def _stack(options: argparse.Namespace) -> LocalStack:
    if options.state_dir:
        return LocalStack(options.state_dir, options.port or 0)
    port = options.port or DEFAULT_PORT
    return LocalStack(PROJECT / ".local" / str(port), port)


def _require_running(stack: LocalStack) -> None:
    if stack.emulator_pid is None:
        raise SetupError(f"nothing runs from {stack.state_dir}: start it with make local")


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    started = time.monotonic()
    with console.status(name):
        yield
    console.print(f"{name:<50} {time.monotonic() - started:5.1f} s")


def _print_how_to_go_on(stack: LocalStack, options: argparse.Namespace) -> None:
    outputs = stack.outputs
    bucket, api = outputs["UploadsBucket"], outputs["ImageStatusApiEndpoint"]
    print(f"""\
Everything runs at {stack.endpoint}. Lead this shell's AWS clients to it, then go on from here:

  eval "$({_again("env", options)})"

  upload    .venv/bin/image-pipeline upload PHOTO
            aws s3 cp PHOTO s3://{bucket}/uploads/
  ask       curl {api}/images/uploads/cat.png/status
  mail      {_again("inbox", options)}
  change    edit the code, then run the same again: it updates in place
  end       {_again("down", options)}""")


def _again(command: str, options: argparse.Namespace) -> str:
    """The command line of another command for the same run."""
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


if __name__ == "__main__":
    sys.exit(main())
