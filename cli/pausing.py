"""Pausing the pipeline, so that the events of new uploads wait in a queue, and resuming it."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cli.events import Event
from cli.problems import SetupError
from cli.stack import Client, Document, Stack
from imagepipeline import pausing

NEEDED = ("UploadsRule", "PausedUploadsQueue", "ImagePipeline", "RulesRole")

# Seconds for which EventBridge may still send events to the queue. AWS asks for "a short period of time".
SETTLING = 60.0
_THREADS = 8
_HIDDEN_SECONDS = 60  # after which another run may start what this one received and did not start


@dataclass(frozen=True, slots=True)
class Switch:
    """Where the rule for uploads sends their events: to the state machine, or to the queue."""

    stack: Stack
    events: Client  # EventBridge's

    def pause(self) -> bool:
        """Have new uploads wait. Returns False if they do already."""
        target = self._target()
        if target["Arn"] == self._queue_arn():
            return False
        self._put(pausing.paused(target, self._queue_arn()))
        return True

    def resume(self) -> bool:
        """Have new uploads processed. Returns False if they are already. `release` starts those that wait."""
        target = self._target()
        if target["Arn"] != self._queue_arn():
            return False
        outputs = self.stack.outputs
        self._put(pausing.resumed(target, outputs["ImagePipeline"], outputs["RulesRole"]))
        return True

    def waiting(self) -> int:
        """About how many events are in the queue."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(int(self._attributes(names)[name]) for name in names)

    def release(
        self, stop: threading.Event, on_start: Callable[[int], None], *, settling: float = SETTLING
    ) -> tuple[int, int]:
        """Start an execution for each event in the queue, until it is empty, and for at least `settling` seconds.

        Returns how many were started, and how many messages are no uploads' events and stay in the queue. A message is
        deleted after its execution started. If this ends in between, the next run starts another execution for the
        same event, and the state machine recognises it as a duplicate. Ends early after `stop` is set.
        """
        drain = _Drain(self.stack, stop, on_start, time.monotonic() + settling)
        with ThreadPoolExecutor(_THREADS, "release") as pool:
            for worker in [pool.submit(drain.work) for _ in range(_THREADS)]:
                worker.result()
        return drain.started, len(drain.foreign)

    def _target(self) -> Document:
        rule = self.stack.outputs["UploadsRule"]
        targets: list[Document] = self.events.list_targets_by_rule(Rule=rule)["Targets"]
        if len(targets) != 1:
            raise SetupError(f"the rule {rule} has {len(targets)} targets instead of one: correct it, or deploy again")
        return targets[0]

    def _put(self, target: Document) -> None:
        answer = self.events.put_targets(Rule=self.stack.outputs["UploadsRule"], Targets=[target])
        if answer["FailedEntryCount"]:
            reason = answer["FailedEntries"][0]["ErrorMessage"]
            raise SetupError(f"EventBridge did not change where uploads are sent: {reason}; run the command again")

    def _queue_arn(self) -> str:
        return self._attributes(["QueueArn"])["QueueArn"]

    def _attributes(self, names: list[str]) -> dict[str, str]:
        answer = self.stack.sqs.get_queue_attributes(
            QueueUrl=self.stack.outputs["PausedUploadsQueue"], AttributeNames=names
        )
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
                messages = [found for found in self._receive() if found["MessageId"] not in self.foreign]
                if not messages and time.monotonic() >= self._settled_at:
                    return
                self._start(messages)
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
