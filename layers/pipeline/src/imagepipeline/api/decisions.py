"""Decisions of moderators: what a request must say, and the edge towards Step Functions."""

import json
from typing import NamedTuple

from imagepipeline import aws
from imagepipeline.api.http import Refused
from imagepipeline.models import JsonObject
from imagepipeline.quarantine import Action

MEMBERS = frozenset({"Action", "Sequencer"})


class Decided(NamedTuple):
    """What a moderator decided, and about which upload."""

    action: Action
    sequencer: str  # of the record that the moderator has seen

    @classmethod
    def from_json(cls, body: JsonObject) -> "Decided":
        """The decision in the body of a request. Raises Refused."""
        try:
            action = Action(str(body.get("Action")).upper())
        except ValueError:
            raise Refused(400, "Action must be release or reject") from None
        sequencer = body.get("Sequencer")
        if not isinstance(sequencer, str):
            raise Refused(
                400, "Sequencer must be that of the image's record, so that the decision is about this upload"
            )
        return cls(action, sequencer)


def start(state_machine: str, event: JsonObject) -> None:
    """Starts the execution that applies a decision. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("Step Functions"):
        aws.client("stepfunctions").start_execution(stateMachineArn=state_machine, input=json.dumps(event))
