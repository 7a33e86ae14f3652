"""The HTTP server: AWS JSON 1.1 at `/`, and the faults that tests ask for at `/_faults`."""

import json
import logging
import os
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.exceptions import BotoCoreError

from local.rekognition.detectors import Detectors
from local.rekognition.emulator import Emulator
from local.rekognition.errors import ServiceError
from local.rekognition.faults import Faults
from local.rekognition.images import decode
from local.rekognition.operations import detect_faces, detect_labels, detect_moderation_labels
from local.rekognition.requests import parse

HOST = "127.0.0.1"
TARGET_PREFIX = "RekognitionService."
OPERATIONS = {
    "DetectFaces": detect_faces,
    "DetectLabels": detect_labels,
    "DetectModerationLabels": detect_moderation_labels,
}

logger = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """Listens on a port of the loopback interface. Raises OSError if the port is in use."""

    request_queue_size = 256  # for a burst of uploads

    def __init__(self, port: int, endpoint: str) -> None:
        super().__init__((HOST, port), Handler)
        self.emulator = Emulator(endpoint)
        self.faults = Faults(OPERATIONS)
        self._loaded = threading.local()
        self._workers = ThreadPoolExecutor(os.cpu_count(), "detection", initializer=self._load)

    def detect(self, operation: str, parameters: dict, image: bytes) -> dict:
        """The operation's response. Images are decoded and examined on as many threads as there are cores."""
        return self._workers.submit(self._detect, operation, parameters, image).result()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log one line for a client that disconnects early, and a traceback for anything else."""
        if isinstance(sys.exception(), ConnectionError):
            logger.info("the client disconnected before the response was sent")
        else:
            super().handle_error(request, client_address)

    def _load(self) -> None:
        self._loaded.detectors = Detectors()

    def _detect(self, operation: str, parameters: dict, image: bytes) -> dict:
        return OPERATIONS[operation](parameters, decode(image), self._loaded.detectors)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # send headers and body in one packet
    timeout = 60  # seconds before an idle connection is closed

    def do_POST(self) -> None:
        """Answer an operation."""
        started = time.perf_counter()
        operation = self.headers.get("X-Amz-Target", "").removeprefix(TARGET_PREFIX)
        body = self._body()
        try:
            status, answer = 200, self._operate(operation, body)
        except ServiceError as error:
            status, answer = error.status, {"__type": error.code, "Code": error.code, "Message": str(error)}
        self._answer(status, answer, "application/x-amz-json-1.1")
        logger.info(
            "%s %d in %.0f ms: %s", operation or "?", status, 1000 * (time.perf_counter() - started), _summary(answer)
        )

    def do_GET(self) -> None:
        """Return the faults that are still to come."""
        self._manage_faults()

    def do_PUT(self) -> None:
        """Replace all faults."""
        self._manage_faults(self._body())

    def do_DELETE(self) -> None:
        """Remove all faults."""
        self._manage_faults(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        """Suppress the request line of http.server: each operation logs a better one."""

    def _manage_faults(self, replacement: bytes | None = None) -> None:
        if self.path != "/_faults":
            self._answer(404, {"Message": f"{self.path} does not exist; only /_faults does"})
            return
        try:
            if replacement is not None:
                self.server.faults.replace(json.loads(replacement))
                logger.info("faults: %s", self.server.faults.pending() or "none")
        except (ValueError, AttributeError, TypeError) as error:
            self._answer(400, {"Message": str(error)})
        else:
            self._answer(200, self.server.faults.pending())

    def _operate(self, operation: str, body: bytes) -> dict:
        if operation not in OPERATIONS:
            raise ServiceError("UnknownOperationException")
        self.server.faults.apply(operation)
        try:
            caller = self.server.emulator.caller(self.headers.get("Authorization", ""))
            caller.require(operation)
            parameters = parse(operation, body)
            image = parameters["Image"]
            if "Bytes" in image:
                data = image["Bytes"]
            else:
                data = caller.read(image["S3Object"]["Bucket"], image["S3Object"]["Name"])
        except BotoCoreError as error:
            raise ServiceError("InternalServerError", f"The emulator does not respond: {error}") from error
        return self.server.detect(operation, parameters, data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, answer: dict, content_type: str = "application/json") -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        if "__type" in answer:
            self.send_header("x-amzn-ErrorType", answer["__type"])
        self.end_headers()
        self.wfile.write(payload)


def _summary(answer: dict) -> str:
    """A response in a few words, for the log."""
    if "__type" in answer:
        return f"{answer['__type']}: {answer['Message']}"
    if "FaceDetails" in answer:
        return f"{len(answer['FaceDetails'])} faces"
    labels = [*answer.get("Labels", []), *answer.get("ModerationLabels", [])]
    return ", ".join(f"{label['Name']} {label['Confidence']:.0f}" for label in labels) or "no labels"
