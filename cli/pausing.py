"""Pausing the pipeline, so that the events of new uploads wait in a queue, and resuming it."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cli.events import Event
from cli.stack import Document, Stack
from imagepipeline import pausing

NEEDED = ("UploadsRule", "PausedUploadsQueue", "ImagePipeline", "RulesRole")

# Seconds for which EventBridge may still send events to the queue. AWS asks for "a short period of time".
SETTLING = 60.0
_THREADS = 8
_HIDDEN_SECONDS = 60  # after which another run may start what this one received and did not start


def pause(stack: Stack) -> bool:
    """Have new uploads wait. Returns False if they do already. Raises TargetNotReplaced."""
    return pausing.pause(stack.session.client("events"), stack.outputs["UploadsRule"], _queue_arn(stack))


def resume(stack: Stack) -> bool:
    """Have new uploads processed. Returns False if they are already. `release` starts those that wait.

    Raises TargetNotReplaced.
    """
    rule, machine, role = (stack.outputs[name] for name in ("UploadsRule", "ImagePipeline", "RulesRole"))
    return pausing.resume(stack.session.client("events"), rule, _queue_arn(stack), machine, role)


def waiting(stack: Stack) -> int:
    """About how many events are in the queue."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    return sum(int(count) for count in _attributes(stack, *names).values())


def release(
    stack: Stack, stop: threading.Event, on_start: Callable[[int], None], *, settling: float = SETTLING
) -> tuple[int, int]:
    """Start an execution for each event in the queue, until it is empty, and for at least `settling` seconds.

    Returns how many were started, and how many messages are no uploads' events and stay in the queue. A message is
    deleted after its execution started. If this ends in between, the next run starts another execution for the same
    event, and the state machine recognises it as a duplicate. Ends early after `stop` is set.
    """
    drain = _Drain(stack, stop, on_start, time.monotonic() + settling)
    with ThreadPoolExecutor(_THREADS, "release") as pool:
        for worker in [pool.submit(drain.work) for _ in range(_THREADS)]:
            worker.result()
    return drain.started, len(drain.foreign)


def _queue_arn(stack: Stack) -> str:
    return _attributes(stack, "QueueArn")["QueueArn"]


def _attributes(stack: Stack, *names: str) -> dict[str, str]:
    answer = stack.sqs.get_queue_attributes(QueueUrl=stack.outputs["PausedUploadsQueue"], AttributeNames=names)
    attributes: dict[str, str] = answer["Attributes"]
    return attributes


class _Drain:
    """What the threads of one run share."""

    def __init__(self, stack: Stack, stop: threading.Event, on_start: Callable[[int], None], settled_at: float) -> None:
        self._stack, self._stop, self._on_start, self._settled_at = stack, stop, on_start, settled_at
        self._queue = stack.outputs["PausedUploadsQueue"]
        self._lock = threading.Lock()
        self.started = 0
        self.foreign: set[str] = set()  # IDs of messages

    def work(self) -> None:
        """Start what waits, until the queue is empty and settled. An error ends all threads."""
        try:
            while not self._stop.is_set():
                received = self._receive()
                if not received and time.monotonic() >= self._settled_at:
                    return
                self._start([message for message in received if message["MessageId"] not in self.foreign])
        except BaseException:
            self._stop.set()
            raise

    def _receive(self) -> list[Document]:
        answer = self._stack.sqs.receive_message(
            QueueUrl=self._queue,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,  # without waiting, SQS asks only some of its servers and may miss messages
        )
        messages: list[Document] = answer.get("Messages", [])
        return messages

    def _start(self, messages: list[Document]) -> None:
        for message in messages:
            event = _upload_in(message["Body"])
            if event is None:
                with self._lock:
                    self.foreign.add(message["MessageId"])
                continue
            self._stack.stepfunctions.start_execution(
                stateMachineArn=self._stack.outputs["ImagePipeline"], input=json.dumps(pausing.released(event))
            )
            self._stack.sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
            with self._lock:
                self.started += 1
                self._on_start(self.started)


def _upload_in(text: str) -> Document | None:
    """The event of an upload in a message, or None if it holds something else."""
    try:
        event = Event.parse(text)
    except ValueError:
        return None
    return event.document if event.machine == "ImagePipeline" else None
