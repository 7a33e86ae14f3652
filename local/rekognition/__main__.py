"""Start the stand-in; see the package's docstring."""

import argparse
import errno
import logging
import signal
import sys

from local.rekognition.server import HOST, Server


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local.rekognition", description="Amazon Rekognition's stand-in.")
    parser.add_argument("--port", type=int, required=True, help=f"on {HOST}; 0 takes a free one")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the emulator, for its S3 and IAM")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit())
    try:
        server = Server(arguments.port, arguments.endpoint)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"port {arguments.port} on {HOST} is taken by another program; choose another with --port")
    with server:
        logging.info("Rekognition's stand-in is ready at http://%s:%d", HOST, server.server_port)
        server.serve_forever()


if __name__ == "__main__":
    main()
