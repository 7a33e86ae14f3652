"""Start the stand-in. See the package's docstring."""

import argparse
import errno
import logging
import signal
import sys

from local.rekognition.server import HOST, Server


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.rekognition", description="A stand-in for Rekognition.")
    parser.add_argument("--port", type=int, required=True, help=f"port on {HOST}; 0 chooses a free one")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the emulator, for its S3 and IAM")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: sys.exit())
    try:
        server = Server(arguments.port, arguments.endpoint)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"port {arguments.port} on {HOST} is in use by another program; choose another with --port")
    with server:
        logging.info("The Rekognition stand-in is ready at http://%s:%d", HOST, server.server_port)
        server.serve_forever()


if __name__ == "__main__":
    main()
