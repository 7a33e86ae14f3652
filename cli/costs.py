"""What uploads cost: measured usage times list prices. Everything here is arithmetic on plain values.

`usage.json` is measured by `python -m bench.usage`; `prices.toml` holds prices with their sources. docs/costs.md
explains what each line is, and what the figures leave out.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

STANDARD, EXPRESS = "STANDARD", "EXPRESS"
WORKFLOWS = (STANDARD, EXPRESS)

# Lambda gives a function processor time in proportion to its memory: one virtual processor at this size.
FULL_PROCESSOR_MB = 1769
# Where a share is not measured, because it depends on the user. Each has an option or is stated in docs/costs.md.
DELETED = 0.01
RETRIED = 0.001  # of the steps
COLD = 0.01  # of the invocations
MONTH_SECONDS = 30 * 86_400
# X-Ray's default rule: the first request of each second, and 5 % of the others.
SAMPLED_A_SECOND, SAMPLED_OF_THE_REST = 1, 0.05
GB = 2**30
EXPRESS_GB = 64 / 1024  # 50 MB, the definition and the data, in chunks of 64 MB

Document = Mapping[str, Any]  # JSON


@dataclass(frozen=True, slots=True)
class Price:
    """A list price in USD: for each `per` units, or by tiers of (units, USD for a unit)."""

    per: int
    unit: str
    source: str
    usd: float = 0.0
    tiers: tuple[tuple[float, float], ...] = ()

    def of(self, quantity: float) -> float:
        """USD for a quantity that is used within one month."""
        total, left = 0.0, quantity
        for size, usd in self.tiers or ((quantity, self.usd / self.per),):
            total += min(left, size) * usd
            left -= min(left, size)
        return total


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table."""

    region: str
    as_of: date
    by_name: Mapping[str, Price]

    @classmethod
    def from_toml(cls, text: str) -> "Prices":
        table = tomllib.loads(text)
        prices = {
            name: Price(
                per=price["per"],
                unit=price["unit"],
                source=price["source"],
                usd=price.get("usd", 0.0),
                tiers=tuple(map(tuple, price.get("tiers", ()))),
            )
            for name, price in table.items()
            if isinstance(price, dict)
        }
        return cls(table["region"], table["as_of"], prices)


@dataclass(frozen=True, slots=True)
class Line:
    """One item of the bill."""

    service: str
    what: str
    quantity: float
    usd: float
    monthly: bool = False  # due every month, whether there are uploads or not


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be priced: uploads within one month."""

    images: int
    workflow: str = STANDARD
    labels: bool = True
    faces: bool = False  # DetectFaces
    face_crops: bool = False  # a rendition with cover:face
    moderation: bool = False
    mail: bool = False
    traces: bool = False
    deleted: float = DELETED  # share of the uploads
    retried: float = RETRIED
    architecture: str = "arm64"

    @property
    def rekognition_calls(self) -> int:
        """Calls for each image. The faces that crops needed are not asked for again."""
        return self.calls_about_rendition + self.face_crops

    @property
    def calls_about_rendition(self) -> int:
        """Those of them that the metadata function sends, all at the same time."""
        return self.labels + self.moderation + (self.faces and not self.face_crops)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer."""

    question: Question
    lines: tuple[Line, ...]

    @property
    def total(self) -> float:
        return sum(line.usd for line in self.lines)

    @property
    def monthly(self) -> float:
        """The part of the total that is due every month without any upload."""
        return sum(line.usd for line in self.lines if line.monthly)

    @property
    def by_service(self) -> dict[str, float]:
        services = dict.fromkeys(line.service for line in self.lines)
        return {service: sum(line.usd for line in self.lines if line.service == service) for service in services}


@cache
def prices() -> Prices:
    """The packaged price table."""
    return Prices.from_toml((files("cli") / "prices.toml").read_text())


@cache
def usage() -> Document:
    """The packaged measurement."""
    measured: Document = json.loads((files("cli") / "usage.json").read_text())
    return measured


def estimate(question: Question, measured: Document, prices: Prices) -> Estimate:
    """The bill for the uploads of one month, with the deletions and retries that come with them."""
    images, deletions = question.images, question.images * question.deleted
    upload, deletion, idle, express = (measured[name] for name in ("Upload", "Deletion", "Idle", "Express"))
    is_express = question.workflow == EXPRESS
    sweep = measured["Sweeps"]
    sweeps = sweep["AMonth"][question.workflow]
    assumed = measured["Assumed"]
    labels = assumed["LabelsAnImage"] * question.labels
    price = {name: price.of for name, price in prices.by_name.items()}
    lines: list[Line] = []

    def add(service: str, what: str, quantity: float, name: str, *, monthly: bool = False) -> None:
        if quantity:
            lines.append(Line(service, what, quantity, price[name](quantity), monthly))

    # ------------------------------------------------------------------------------------------------ Step Functions
    if question.workflow == STANDARD:
        add("Step Functions", "transitions of uploads", images * upload["Transitions"], "step_functions_transition")
        add("Step Functions", "retries", images * upload["Transitions"] * question.retried, "step_functions_transition")
    else:
        longer = {"OrchestrationMs": upload["OrchestrationMs"] + express["OrchestrationMs"]}
        seconds = images * express_seconds({**upload, **longer}, question)
        add("Step Functions", "executions of uploads", images, "step_functions_request")
        add("Step Functions", "GB-seconds of uploads", seconds * EXPRESS_GB, "step_functions_gb_second")
    # Housekeeping is a Standard workflow, whatever the stack's WorkflowType is.
    add("Step Functions", "transitions of deletions", deletions * deletion["Transitions"], "step_functions_transition")

    # -------------------------------------------------------------------------------------------------------- Lambda
    runs, gb_seconds = 0.0, 0.0
    for count, operation in ((images * (1 + question.retried), upload), (deletions, deletion)):
        for function in operation["Functions"].values():
            runs += count * function["Invocations"]
            ms = _duration_ms(function, question)
            ms += COLD * function["InitProcessorMs"]  # an init has a whole processor, whatever the memory size
            gb_seconds += count * function["Invocations"] * function["MemoryMb"] / 1024 * ms / 1000
    add("Lambda", "invocations", runs, "lambda_request")
    add("Lambda", "GB-seconds", gb_seconds, f"lambda_gb_second_{question.architecture}")
    function = sweep["Function"]
    swept = sweeps * function["MemoryMb"] / 1024 * duration_ms(function, function["MemoryMb"]) / 1000
    add("Lambda", "sweeps", sweeps, "lambda_request", monthly=True)
    add("Lambda", "GB-seconds of sweeps", swept, f"lambda_gb_second_{question.architecture}", monthly=True)

    # ------------------------------------------------------------------------------------------- S3, DynamoDB, events
    for name, requests in (("s3_write", "S3Writes"), ("s3_read", "S3Reads")):
        count = images * upload[requests] + deletions * deletion[requests]
        # Rekognition reads a rendition with the function's role. The JPEG for crops is in the request.
        count += images * question.calls_about_rendition if name == "s3_read" else 0
        add("S3", "writes and listings" if name == "s3_write" else "reads", count, name)
    for kind in ("Write", "Read"):
        units = images * upload[f"{kind}Units"] + deletions * deletion[f"{kind}Units"]
        if kind == "Write":
            units += images * express["WriteUnits"] * is_express
        add("DynamoDB", f"{kind.lower()} request units", units, f"dynamodb_{kind.lower()}_unit")
    # An image has an entry in the list of each of its labels. A deletion removes them.
    add("DynamoDB", "write request units of labels", (images + deletions) * labels, "dynamodb_write_unit")
    kept = images * (1 - question.deleted)
    stored = upload["StoredBytes"] + labels * (assumed["LabelBytes"] + assumed["ListEntryBytes"])
    backed_up = upload["BackedUpBytes"] + labels * assumed["LabelBytes"]
    add("DynamoDB", "storage for a month", kept * stored / GB, "dynamodb_gb_month")
    add("DynamoDB", "point-in-time recovery for a month", kept * backed_up / GB, "dynamodb_pitr_gb_month")
    # Each finds hardly anything in a table or an index: half a unit, because it need not be consistent.
    add("DynamoDB", "read request units of sweeps", sweeps / 2, "dynamodb_read_unit", monthly=True)
    add("EventBridge", "events of S3", images + deletions, "eventbridge_event")
    add("SNS", "publish requests", images, "sns_publish")
    add("SNS", "e-mails", images * question.mail, "sns_email")

    # ------------------------------------------------------------------------------------------ monitoring, Rekognition
    log_gb = (images * upload["LogBytes"] + deletions * deletion["LogBytes"]) / GB
    add("CloudWatch", "logs", log_gb, "logs_gb")
    add("CloudWatch", "logs kept for a month", log_gb, "logs_gb_month")
    add("CloudWatch", "alarms", idle["Alarms"], "alarm_month", monthly=True)
    add("CloudWatch", "custom metrics", idle["Metrics"], "metric_month")
    add("CloudWatch", "logs of sweeps", sweeps * sweep["LogBytes"] / GB, "logs_gb", monthly=True)
    add("CloudWatch", "metrics of sweeps", sweep["Metrics"][question.workflow], "metric_month", monthly=True)
    add("CloudWatch", "dashboards", idle["Dashboards"], "dashboard_month", monthly=True)
    add("X-Ray", "traces", traces(images + deletions) * question.traces, "xray_trace")
    add("Rekognition", "images", images * question.rekognition_calls, "rekognition_image")
    return Estimate(question, tuple(lines))


def duration_ms(function: Document, memory_mb: int, *, rekognition: bool = False, face_crops: bool = False) -> float:
    """Milliseconds of a warm invocation with this memory: processor time at its share of a processor, and waiting.

    Two functions may wait for Rekognition: one for `rekognition`, the other for faces to crop around.
    """
    return float(
        function["ProcessorMs"] / processor_share(memory_mb)
        + function["WaitMs"]
        + rekognition * function.get("RekognitionMs", 0)
        + face_crops * function.get("FaceCropsMs", 0)
    )


def _duration_ms(function: Document, question: Question) -> float:
    asked = question.calls_about_rendition > 0
    return duration_ms(function, function["MemoryMb"], rekognition=asked, face_crops=question.face_crops)


def processor_share(memory_mb: int) -> float:
    """The part of one processor that a function gets. More than one does not help code that computes in one thread."""
    return min(1.0, memory_mb / FULL_PROCESSOR_MB)


def express_seconds(operation: Document, question: Question) -> float:
    """Billed seconds of an execution: its functions one after another, its own calls, and the way between states."""
    ms: float = operation["OrchestrationMs"] + sum(
        function["Invocations"] * _duration_ms(function, question) for function in operation["Functions"].values()
    )
    return math.ceil(ms / 100) / 10


def traces(executions: float) -> float:
    """Traces that X-Ray's default rule samples, of executions that are spread over a month: the most there can be."""
    if not executions:
        return 0.0
    rate = executions / MONTH_SECONDS
    sampled = min(rate, SAMPLED_A_SECOND) + SAMPLED_OF_THE_REST * max(0.0, rate - SAMPLED_A_SECOND)
    return executions * sampled / rate


def storage_a_month(question: Question, measured: Document, prices: Prices) -> dict[str, float]:
    """USD a month for keeping the objects in S3, which is no part of the estimate."""
    kept = question.images * (1 - question.deleted) / GB
    price = prices.by_name["s3_gb_month"].of
    return {
        "Uploads": price(kept * measured["Upload"]["OriginalBytes"]),
        "Renditions": price(kept * measured["Upload"]["RenditionBytes"]),
    }


def to_json(answer: Estimate, measured: Document, prices: Prices) -> dict[str, Any]:
    """`Total` and `ByService` in USD, and what they rest on."""
    question = answer.question
    return {
        "Total": round(answer.total, 6),
        "ByService": {service: round(usd, 6) for service, usd in answer.by_service.items()},
        "Monthly": round(answer.monthly, 6),
        "Images": question.images,
        "Workflow": question.workflow,
        "Labels": question.labels,
        "Lines": [
            {"Service": line.service, "What": line.what, "Quantity": round(line.quantity, 6), "Usd": round(line.usd, 6)}
            for line in answer.lines
        ],
        "Shares": {"Deleted": question.deleted, "Retried": question.retried, "Cold": COLD},
        "Assumed": measured["Assumed"],
        "NotIncluded": {
            "S3StorageAMonth": {k: round(v, 6) for k, v in storage_a_month(question, measured, prices).items()}
        },
        "Region": prices.region,
        "PricesAsOf": prices.as_of.isoformat(),
        "UsageMeasured": measured["Measured"],
    }
