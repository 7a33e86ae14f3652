"""A moderator's decisions about images that are held, each followed until the pipeline has announced it."""

import json
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from cli.events import sequencer_of
from cli.following import (
    DEFAULT_TIMEOUT,
    NOT_FOUND,
    NOT_STARTED,
    REMOVED,
    Followed,
    Result,
    Work,
    start_and_follow,
    why,
)
from cli.problems import name_and_message
from cli.stack import Record, Stack
from imagepipeline import quarantine
from imagepipeline.quarantine import HELD, Action, NotHeld

NOT_HELD = "NOT_HELD"  # there is nothing to decide
NOT_APPLIED = "NOT_APPLIED"  # the image was replaced, or decided about, before the decision was applied


@dataclass(slots=True, kw_only=True)
class _Decision(Followed):
    """A decision whose execution was started."""

    sequencer: str  # of the record that it is about
    execution: str


def decide(
    stack: Stack,
    keys: Iterable[str],
    action: Action,
    sequencer: str | None = None,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    stop: threading.Event | None = None,
) -> Generator[Result]:
    """Release or reject the images under the `keys` (distinct), and yield each one's Result as soon as it is known.

    `sequencer` is that of the record which the moderator has seen; without one, the decision is about the record as it
    is. Errors, `timeout` and `stop` are those of `start_and_follow`.
    """
    return start_and_follow(_Decisions(stack, action, sequencer), keys, timeout=timeout, stop=stop)


class _Decisions(Work[str, _Decision]):
    abandoned = "was decided about and then not followed until the decision was announced"

    def __init__(self, stack: Stack, action: Action, sequencer: str | None) -> None:
        super().__init__(stack)
        self._action = action
        self._sequencer = sequencer

    def start(self, key: str) -> _Decision | Result:
        record = self.stack.records([key], consistent=True).get(key)
        if record is None:
            return Result(key, NOT_FOUND, error={"Name": "NotFound", "Message": "there is no record of this key"})
        try:
            event = quarantine.decision(self.stack.uploads_bucket, record, self._action, self._sequencer)
        except NotHeld as reason:
            return Result(key, NOT_HELD, record=record, error={"Name": "NotHeld", "Message": str(reason)})
        started = self.stack.stepfunctions.start_execution(
            stateMachineArn=self.stack.outputs["ImagePipeline"], input=json.dumps(event)
        )
        return _Decision(key=key, sequencer=sequencer_of(record), execution=started["executionArn"])

    def not_started(self, key: str, error: Exception) -> Result:
        return Result(key, NOT_STARTED, error=name_and_message(error))

    def look(self, decision: _Decision, record: Record | None) -> Result | None:
        return _outcome(self.stack, decision)


def _outcome(stack: Stack, decision: _Decision) -> Result | None:
    """The outcome, once the execution has ended; it announces the decision before it succeeds."""
    status = stack.execution_status(decision.execution)
    if status == "RUNNING":
        decision.last_seen = "its execution is still running"
        return None
    record = stack.records([decision.key], consistent=True).get(decision.key)
    if record is None:
        return decision.result(REMOVED)
    is_about_it = sequencer_of(record) == decision.sequencer
    if is_about_it and record["Status"] == HELD and stack.may_be_unregistered(decision.since):
        decision.last_seen = "its execution has not begun yet"
        return None
    if is_about_it and status != "SUCCEEDED" and record["Status"] == HELD:
        decision.last_seen = f"its execution ended as {status}, and another one is to be started in its place"
        return None
    if is_about_it and record["Status"] != HELD:
        return decision.result(record["Status"], record, why(record))
    message = f"the image was replaced or processed again meanwhile: its status is {record['Status']}"
    return decision.result(NOT_APPLIED, record, {"Name": "NotApplied", "Message": message})
