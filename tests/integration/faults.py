"""Faults at one step of one upload, and the required outcome of each."""

import io
import time
from collections import Counter
from dataclasses import dataclass

from PIL import Image

from tests.integration.conftest import Deployed, named
from tests.template.stack import definition

TERMINAL = ("COMPLETED", "HELD", "REJECTED", "FAILED")
FOR_GOOD = 1000  # times; more than all retries together


@dataclass(frozen=True)
class Case:
    """A fault, and the required outcome of an upload that meets it."""

    at: str  # a call, and a fault, as in local.emulator.calls
    fault: str
    times: int = 1
    status: str = "COMPLETED"
    error: str | None = None  # the name in Error, or in an error of Rekognition in a completed record
    step: str | None = None  # FailedStep
    quick: bool = False  # part of the test suite; the others run only in tests.torture

    def __str__(self) -> str:
        times = "for good" if self.times == FOR_GOOD else f"x{self.times}"
        return f"{self.at.strip('*').replace('lambda:*', '').replace('Function', '')} {self.fault} {times}"


def function(name: str) -> str:
    return f"lambda:*{name}Function*"


VALIDATE, THUMBNAILS, METADATA, STORE = map(function, ("Validate", "Thumbnails", "Metadata", "Store"))
STEPS = {VALIDATE: "ValidateImage", THUMBNAILS: "CreateThumbnails", METADATA: "ExtractMetadata", STORE: "StoreResult"}
# The error that a state machine receives for a function's fault.
FUNCTION_ERRORS = {
    "throttle": "Lambda.TooManyRequestsException",
    "error": "Lambda.ServiceException",
    "denied": "Lambda.AccessDeniedException",
    "crash": "Runtime.ExitError",
    "crash-late": "Runtime.ExitError",
    "timeout": "Sandbox.Timedout",
}


def matrix(express: bool = False) -> list[Case]:
    """Every fault at every step: once, and as often as the step is attempted."""
    cases = []
    for at in STEPS:
        for fault, error in FUNCTION_ERRORS.items():
            cases.append(Case(at, fault, quick=(at, fault) in QUICK_PASSING))
            if fault == "throttle":  # waited for at length: tests/statemachine has it last
                cases.append(Case(at, fault, 4))
                continue
            tries = attempts(STEPS[at], error)
            quick = (at, fault) in QUICK_LASTING
            if at == METADATA:
                cases.append(Case(at, fault, tries, "COMPLETED", error, quick=quick))
            elif at == STORE and fault in ("crash-late", "timeout"):
                cases.append(Case(at, fault, tries, "COMPLETED", quick=quick))
            else:
                cases.append(Case(at, fault, tries, "FAILED", error, STEPS[at], quick=quick))
    for service_call in ("dynamodb:PutItem", "dynamodb:UpdateItem", "s3:GetObject", "s3:ListBucket", "sns:Publish"):
        cases += [Case(service_call, fault, 2, quick=fault == "throttle") for fault in ("throttle", "error")]
    return [
        *cases,
        Case(THUMBNAILS, "malformed", 1),
        Case(THUMBNAILS, "malformed", 3, "FAILED", "States.QueryEvaluationError", "CreateThumbnails", quick=True),
        Case(STORE, "malformed", 1),
        # The next execution processes the image: of an Express workflow the one of the event in the dead-letter queue.
        *[
            Case("dynamodb:PutItem", fault, 7, quick=fault == "throttle" and not express)
            for fault in ("throttle", "error", "denied")
        ],
        Case("dynamodb:UpdateItem", "denied", 7),
        Case("s3:GetObject", "denied", 6, "FAILED", "AccessDenied", "ValidateImage", quick=True),
        Case("s3:GetObject", "throttle", 21, "FAILED", "ServiceUnavailable", "ValidateImage"),
        Case("sns:Publish", "denied", 7),
        Case("sns:Publish", "error", 9),
        Case("rekognition:DetectLabels", "error", FOR_GOOD, error="RekognitionFailed", quick=True),
        Case("rekognition:DetectLabels", "denied", FOR_GOOD, error="RekognitionFailed"),
        Case("rekognition:DetectLabels", "throttle", 5, quick=True),
        Case("rekognition:DetectFaces", "denied", FOR_GOOD, error="RekognitionFailed"),
        Case("rekognition:DetectFaces", "throttle", 7),
        Case("rekognition:DetectModerationLabels", "error", FOR_GOOD, error="RekognitionFailed"),
        Case("rekognition:DetectModerationLabels", "throttle", 5),
    ]


# Where an Express execution reaches its time limit. Not before it is registered: Step Functions starts such an
# execution again, which the emulator does not. The third value says whether the image may have been announced by then.
EXPRESS_ENDS = [
    ("dynamodb:PutItem", "end-late", False),
    *[(step, fault, False) for step in STEPS for fault in ("end", "end-late")],
    ("sns:Publish", "end", False),
    ("sns:Publish", "end-late", True),
    ("dynamodb:DeleteItem", "end", True),
]

QUICK_PASSING = {(VALIDATE, "crash"), (THUMBNAILS, "crash-late"), (METADATA, "throttle"), (STORE, "timeout")}
QUICK_LASTING = {
    (VALIDATE, "denied"),
    (THUMBNAILS, "timeout"),
    (METADATA, "timeout"),
    (STORE, "crash"),
    (STORE, "crash-late"),
}


def small_photo(shade: int = 0) -> bytes:
    """A JPEG just large enough for Rekognition, in a colour that depends on `shade`."""
    return _jpeg((shade % 256, shade // 256 % 256, 128))


def flagged_photo() -> bytes:
    """The same, with something in it for which the stand-in for Rekognition has moderation labels."""
    return _jpeg((255, 0, 255))


def _jpeg(color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (120, 90), color).save(file, "JPEG")
    return file.getvalue()


def run(deployed: Deployed, case: Case, key: str) -> list[str]:
    """Upload a photo that meets the fault. Returns the problems of its outcome."""
    faults = deployed.stack.faults
    faults.ask(case.at, case.fault, case.times)
    try:
        deployed.put(key, small_photo())
        executions = [] if deployed.is_express else deployed.settled(key)
        if deployed.is_express:
            settled_express(deployed, key)
    finally:
        faults.clear()
    record = deployed.record(key) or {}
    wrong = violations(deployed, key)
    if record.get("Status") != case.status:
        wrong.append(f"{record.get('Status')} instead of {case.status}: {record.get('Error')}")
    reasons = ("Error", "LabelsError", "FacesError", "ModerationError")
    found = next((record[name] for name in reasons if name in record), {})
    if found.get("Name") != case.error:
        wrong.append(f"for the reason of {found} instead of {case.error}")
    if record.get("FailedStep") != case.step:
        wrong.append(f"in {record.get('FailedStep')} instead of {case.step}")
    return wrong + [problem for execution in executions for problem in runaways(deployed, execution)]


def settled_express(deployed: Deployed, key: str) -> None:
    """Waits until nothing of a key is registered. Sweeps meanwhile, and delivers what the dead-letter queue keeps."""

    def ended() -> bool:
        deployed.sweep()
        deliver_what_was_kept(deployed)
        running = [found for found in deployed.executions_of(key, "Housekeeping") if found["status"] == "RUNNING"]
        # In this order: an execution registers itself before it writes the record.
        return not running and deployed.record(key) is not None and not deployed.registered(key)

    deployed.eventually(ended, patience=300)


def deliver_what_was_kept(deployed: Deployed) -> int:
    """Start the executions for up to ten events of the dead-letter queue. Returns their number."""
    sqs, queue = deployed.queues, {"QueueUrl": deployed.outputs["UndeliveredEventsQueue"]}
    found = sqs.receive_message(**queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get("Messages", [])
    for message in found:
        start(deployed, message["MessageAttributes"]["TARGET_ARN"]["StringValue"], message["Body"])
        sqs.delete_message(**queue, ReceiptHandle=message["ReceiptHandle"])
    return len(found)


def start(deployed: Deployed, machine: str, event: str) -> None:
    """Start an execution, in spite of faults that are meant for EventBridge."""
    while True:
        try:
            deployed.executions.start_execution(stateMachineArn=machine, input=event)
            return
        except deployed.executions.exceptions.ClientError:
            time.sleep(0.2)


def violations(deployed: Deployed, key: str, mails: int = 1) -> list[str]:
    """The problems of a key after its executions have ended."""
    record, notified = deployed.record(key), deployed.mails(key)
    if record is None:
        return ["there is no record"]
    wrong = []
    if record["Status"] not in TERMINAL:
        wrong.append(f"the record remains {record['Status']}")
    if len(notified) != mails:
        wrong.append(f"{len(notified)} notifications instead of {mails}")
    outcome = {"COMPLETED": "SUCCESS", "HELD": "HELD"}.get(record["Status"], "FAILURE")
    if notified and notified[-1].attributes["processing_status"] != outcome:
        wrong.append(f"{record['Status']}, but notified as {notified[-1].attributes['processing_status']}")
    renditions, stored = named(record), deployed.renditions_of(key)
    if renditions != stored:
        wrong.append(f"the record names the renditions {sorted(renditions)}; stored are {sorted(stored)}")
    if (record["Status"] in ("COMPLETED", "HELD")) != bool(renditions):
        wrong.append(f"{record['Status']} with {len(renditions)} renditions")
    return wrong


def runaways(deployed: Deployed, execution: dict) -> list[str]:
    """The tasks of an execution that were attempted more often than their Retry allows."""
    machine = "housekeeping" if "Housekeeping" in execution["stateMachineArn"] else "image_pipeline"
    pages = deployed.executions.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
    entered, tried, state = Counter(), Counter(), None
    for event in (event for page in pages for event in page["events"]):
        if "stateEnteredEventDetails" in event:
            state = event["stateEnteredEventDetails"]["name"]
            entered[state] += 1
        elif event["type"] == "TaskScheduled":
            tried[state] += 1
    states = definition(machine)["States"]
    return [
        f"{state} was attempted {count} times"
        for state, count in tried.items()
        if count > entered[state] * (1 + sum(map(retries, states[state].get("Retry", []))))
    ]


def attempts(state: str, error: str) -> int:
    """How often ImagePipeline attempts a state that always fails with this error."""
    rules = definition("image_pipeline")["States"][state].get("Retry", [])
    matching = (rule for rule in rules if {error, "States.ALL"} & {*rule["ErrorEquals"]})
    return 1 + next(map(retries, matching), 0)


def retries(rule: dict) -> int:
    """The MaxAttempts of a Retry rule, whose default is 3."""
    return rule.get("MaxAttempts", 3)
