"""The HTTP side: AWS JSON 1.1 on `/`, and what tests steer by under `/_…`."""

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
from local.rekognition.faces import detect_faces
from local.rekognition.faults import Calls, Faults
from local.rekognition.images import decode
from local.rekognition.labels import MODEL_VERSION, detect_labels
from local.rekognition.validation import parse

HOST = "127.0.0.1"
TARGET_PREFIX = "RekognitionService."
OPERATIONS = {"DetectFaces": detect_faces, "DetectLabels": detect_labels}

logger = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """Listens on a port of the loopback interface from the start. OSError where the port is taken."""

    request_queue_size = 256  # a burst of uploads calls all at once

    def __init__(self, port: int, endpoint: str) -> None:
        super().__init__((HOST, port), Handler)
        self.emulator = Emulator(endpoint)
        self.faults = Faults(list(OPERATIONS))
        self.calls = Calls(list(OPERATIONS))
        self._loaded = threading.local()
        self._lookers = ThreadPoolExecutor(os.cpu_count(), "looker", initializer=self._load)

    def look(self, operation: str, parameters: dict, image: bytes) -> dict:
        """The operation's answer. Decoding and detecting take turns on as many threads as there are cores."""
        return self._lookers.submit(self._look, operation, parameters, image).result()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that doesn't wait for its answer is worth a line; anything else is our bug, with its traceback."""
        if isinstance(sys.exception(), ConnectionError):
            logger.info("the client left before its answer")
        else:
            super().handle_error(request, client_address)

    def _load(self) -> None:
        self._loaded.detectors = Detectors()

    def _look(self, operation: str, parameters: dict, image: bytes) -> dict:
        return OPERATIONS[operation](parameters, decode(image), self._loaded.detectors)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    timeout = 60  # seconds an idle connection is kept

    def do_POST(self) -> None:
        """An operation."""
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
        """Health, calls and faults."""
        answers = {
            "/_health": lambda: {"LabelModelVersion": MODEL_VERSION, "Status": "ok"},
            "/_calls": self.server.calls.totals,
            "/_faults": self.server.faults.pending,
        }
        if self.path in answers:
            self._answer(200, answers[self.path]())
        else:
            self._answer(404, {"Message": f"there is no {self.path}, only {', '.join(answers)}"})

    def do_PUT(self) -> None:
        """New faults."""
        body = self._body()
        if self.path != "/_faults":
            self._answer(404, {"Message": f"there is no {self.path} to put, only /_faults"})
            return
        try:
            self.server.faults.replace(json.loads(body))
        except ValueError as error:
            self._answer(400, {"Message": str(error)})
        else:
            self._answer(200, self.server.faults.pending())
            logger.info("faults: %s", self.server.faults.pending() or "none")

    def do_DELETE(self) -> None:
        """No more faults."""
        if self.path != "/_faults":
            self._answer(404, {"Message": f"there is no {self.path} to delete, only /_faults"})
            return
        self.server.faults.replace({})
        self._answer(200, {})
        logger.info("faults: none")

    def log_message(self, format: str, *arguments: object) -> None:
        """Silence http.server's own line: each operation has a better one."""

    def _operate(self, operation: str, body: bytes) -> dict:
        if operation not in OPERATIONS:
            raise ServiceError("UnknownOperationException")
        self.server.calls.add(operation)
        self.server.faults.strike(operation)
        try:
            caller = self.server.emulator.caller(self.headers.get("Authorization", ""))
            caller.require(operation)
            parameters = parse(operation, body)
            image = parameters["Image"]
            if ("Bytes" in image) == ("S3Object" in image):
                raise ServiceError("InvalidParameterException")
            data = image["Bytes"] if "Bytes" in image else caller.read(image["S3Object"])
        except BotoCoreError as error:
            raise ServiceError("InternalServerError", f"The emulator doesn't answer: {error}") from error
        return self.server.look(operation, parameters, data)

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
    """An answer in a few words, for the log."""
    if "__type" in answer:
        return f"{answer['__type']}: {answer['Message']}"
    if "FaceDetails" in answer:
        return f"{len(answer['FaceDetails'])} faces"
    return ", ".join(f"{label['Name']} {label['Confidence']:.0f}" for label in answer.get("Labels", [])) or "no labels"
