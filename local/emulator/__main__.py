"""`python -m local.emulator`: run the patched MiniStack until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from local.emulator.upstream import UpstreamChanged, install, require_version

HOST = "127.0.0.1"
# The variables that the emulator inherits from its caller. MiniStack multiplies every wait of a state machine by
# SFN_WAIT_SCALE, which lets tests run faster than AWS. LAMBDA_ACCOUNT_CONCURRENCY is the account's quota.
KEPT_VARIABLES = ("PATH", "LANG", "SFN_WAIT_SCALE", "LAMBDA_ACCOUNT_CONCURRENCY")


class CannotStart(Exception):
    """The emulator cannot start. The message says why and what to do."""


def main() -> None:
    """Parse the arguments and serve. Exits with status 1 and one line on stderr if the emulator cannot start."""
    parser = argparse.ArgumentParser(prog="python -m local.emulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1; 0 chooses a free one")
    parser.add_argument("--state-dir", type=Path, required=True, help="where state is kept between runs")
    arguments = parser.parse_args()
    try:
        require_version()
        listener = listen(arguments.port)
        run(listener, arguments.state_dir.resolve())
    except (CannotStart, UpstreamChanged) as problem:
        sys.exit(f"local.emulator: {problem}")
    # Python would first wait for the threads of Map states, which go on with their items.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def listen(port: int) -> socket.socket:
    """A listening socket on the port, opened early so that no other program can take the port before serving starts."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        raise CannotStart(f"port {port} is in use by another program; choose another with --port") from error
    return listener


def run(listener: socket.socket, state_dir: Path) -> None:
    """Serve until a signal arrives. Leaves no process and no temporary file behind."""
    port = listener.getsockname()[1]
    run_dir = state_dir / "run"
    shutil.rmtree(run_dir, ignore_errors=True)  # left by a run that was killed
    run_dir.mkdir(parents=True)
    configure(port, state_dir, run_dir)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    # MiniStack reads its settings when it is imported.
    from ministack.core import lambda_runtime

    from local.emulator import (  # noqa: F401 (they register patches)
        budgets,
        calls,
        distributed_maps,
        durability,
        environments,
        events,
        http_apis,
        notifications,
        rekognition,
        state_machines,
    )

    install()
    try:
        asyncio.run(serve(listener))
    finally:
        lambda_runtime.reset()
        shutil.rmtree(run_dir, ignore_errors=True)


def configure(port: int, state_dir: Path, run_dir: Path) -> None:
    """Reduce the environment to MiniStack's settings, for MiniStack and the processes it starts."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    os.environ.clear()
    os.environ |= {"LAMBDA_ACCOUNT_CONCURRENCY": "1000"}  # AWS's default; `environments` limits what runs at once
    os.environ |= kept | settings(port, state_dir, run_dir)
    Path(os.environ["STATE_DIR"]).mkdir(exist_ok=True)
    tempfile.tempdir = None  # makes Python read TMPDIR again


def settings(port: int, state_dir: Path, run_dir: Path) -> dict[str, str]:
    """MiniStack's settings: what it enforces, its port, and where it keeps its state and temporary files."""
    return {
        "AUTH": "true",
        "GATEWAY_PORT": str(port),
        "TMPDIR": str(run_dir),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state_dir / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state_dir / "objects"),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


async def serve(listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config
    from ministack import app

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 1
    config.keep_alive_timeout = 75
    await hypercorn_serve(app.app, config)


if __name__ == "__main__":
    main()
