"""`python -m bench.usage`: what one upload and one deletion use, measured on the local run. Writes cli/usage.json.

Each upload is a photo of 12 megapixels. Uploads and deletions go one after another through the deployed template, and
what a bill would count is read from where AWS would count it: the histories of executions, the REPORT lines and the
other bytes of the functions' logs, the requests of each caller, the item in the table. The emulator answers in no time,
so how long a function waits for AWS is not measured but assumed (`Assumed`): the durations of requests as AWS states
them, times the requests that were counted.
"""

import argparse
import json
import math
import platform
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import boto3

from bench import pictures
from bench.quotas import DEFINITION
from bench.template import Deployment
from cli.api import Api, signed
from local.stack import LocalStack

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "cli" / "usage.json"
PICTURE = "JPEG 12 MP"
PATIENCE_SECONDS = 120
SETTLING_SECONDS = 4  # for the index function, which follows the table

# What is not measured. `LabelsAnImage` is added from the template: the default of LabelsMaxCount, the most that there
# can be, because AWS does not say how many labels an image has on average.
ASSUMED = {
    # Milliseconds from sending a request to the last byte of its answer, within a Region.
    "S3Ms": 100,  # "roughly 100-200 milliseconds": Performance Design Patterns for Amazon S3
    "S3BytesPerMs": 85_000,  # "85-90 MB/s for each concurrent request", ibid.
    "DynamoDbMs": 10,  # "single-digit millisecond"
    "RekognitionMs": 600,  # AWS states none
    "SnsMs": 30,  # AWS states none
    "BetweenStatesMs": 50,  # AWS states none
    "XrayLogBytes": 120,  # of the line with the trace's id that Lambda adds to REPORT
    "LabelBytes": 40,  # of a label in a record: its name, of about 15 characters, and its confidence
    "ListEntryBytes": 300,  # of an entry of the index table, with DynamoDB's own
}
EXECUTION_BYTES = 300  # of an item in the table of executions, without the event
SWEEP_LOG_BYTES = 1500  # of a sweep: three lines of Lambda's, one of ours, and two metrics
SWEEP_METRICS = {"STANDARD": 1, "EXPRESS": 2}
ITEM_BYTES = 100  # that DynamoDB adds to the size of each stored item
LOG_EVENT_BYTES = 26  # that CloudWatch Logs adds to each event
KB, READ_UNIT = 1024, 4096

# Requests that a function sends at the same time, so that it waits for one of them.
AT_ONCE = {"ThumbnailsFunction": "s3:PutObject"}
# Functions that wait for Rekognition: for all answers about a rendition at the same time, and for faces to crop around.
WAITS_FOR_REKOGNITION = {"MetadataFunction": "RekognitionMs", "ThumbnailsFunction": "FaceCropsMs"}
# Reasons of rejections and failures, of which each is a metric, and none is measured here.
REASONS = 5
OPERATIONS = ("Upload", "Deletion", "Api")
SERVICES_OF_WAITS = {"s3": "S3Ms", "dynamodb": "DynamoDbMs", "sns": "SnsMs"}


class Measured:
    """The local run, and what it counted since `begin`."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.outputs = stack.outputs
        self.s3, self.table = stack.client("s3"), stack.client("dynamodb")
        self.machines, self.logs = stack.client("stepfunctions"), stack.client("logs")
        listed = stack.client("cloudformation").describe_stack_resources(
            StackName=stack.environment["IMAGE_PIPELINE_STACK"]
        )
        names = {
            resource["PhysicalResourceId"]: resource["LogicalResourceId"]
            for resource in listed["StackResources"]
            if resource["ResourceType"] == "AWS::Lambda::Function"
        }
        self.names = names | {"states": "states", "client": "client"}
        describe = stack.client("lambda").get_function_configuration
        self.groups = {
            logical: describe(FunctionName=physical)["LoggingConfig"]["LogGroup"] for physical, logical in names.items()
        }
        self.begin()

    def begin(self) -> None:
        self.since = datetime.now(UTC)
        reset = urllib.request.Request(f"{self.stack.endpoint}/_local/usage", method="DELETE")
        urllib.request.urlopen(reset, timeout=30).close()

    def requests(self) -> dict[str, Counter]:
        """Requests by caller and action."""
        with urllib.request.urlopen(f"{self.stack.endpoint}/_local/usage", timeout=30) as answer:
            return {self.names[caller]: Counter(counts) for caller, counts in json.load(answer).items()}

    def executions(self, machine: str) -> list[dict]:
        listed = self.machines.get_paginator("list_executions").paginate(stateMachineArn=self.outputs[machine])
        return [
            execution
            for page in listed
            for execution in page["executions"]
            if execution["startDate"] >= self.since.replace(microsecond=0)
        ]

    def transitions(self, execution: dict) -> int:
        """State entries; a retry would be one more."""
        pages = self.machines.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
        return sum("stateEnteredEventDetails" in event for page in pages for event in page["events"])

    def log(self, group: str) -> list[str]:
        pages = self.logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=int(self.since.timestamp() * 1000)
        )
        return [event["message"] for page in pages for event in page["events"]]

    def item(self, key: str) -> dict:
        answer = self.table.get_item(
            TableName=self.outputs["ImagesTable"], Key={"ImageKey": {"S": key}}, ConsistentRead=True
        )
        return answer.get("Item", {})


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench.usage: nothing happened in {PATIENCE_SECONDS} s")
        time.sleep(0.1)


# ----------------------------------------------------------------------------------------------------------- one bill


def attribute_bytes(attribute: dict) -> int:
    """Bytes of a DynamoDB attribute's value, by its documented rules."""
    [(kind, value)] = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return math.ceil(len(value.strip("-0.").replace(".", "")) / 2) + 1
        case "L":
            return 3 + sum(1 + attribute_bytes(member) for member in value)
        case "M":
            return 3 + sum(len(name.encode()) + 1 + attribute_bytes(member) for name, member in value.items())
    return 1  # BOOL, NULL


def item_bytes(item: dict) -> int:
    return sum(len(name.encode()) + attribute_bytes(attribute) for name, attribute in item.items())


# The attributes that BeginRecord writes, and those of an entry in the index ByStatus.
BEGUN = ("ImageKey", "Status", "Sequencer", "VersionId", "ETag", "Bytes", "ReceivedAt", "StartedAt", "ExecutionArn")
INDEXED = ("ImageKey", "Status", "ReceivedAt")


def units(requests: dict[str, Counter], record: dict) -> dict[str, int]:
    """Write and read request units. An entry of the index is deleted and written again when the status changes."""
    complete = math.ceil(item_bytes(record) / KB)
    begun = math.ceil(item_bytes({name: record[name] for name in BEGUN}) / KB)
    costs = {
        ("states", "dynamodb:PutItem"): begun + 1,
        ("StoreFunction", "dynamodb:PutItem"): complete + 2,
        ("states", "dynamodb:DeleteItem"): complete + 1,
        # An entry of the index table in the list of all images. Those in lists of labels are `LabelsAnImage`.
        ("IndexFunction", "dynamodb:BatchWriteItem"): 1,
    }
    written = read = 0
    for caller, counts in requests.items():
        for action, count in counts.items():
            if caller == "client" or not action.startswith("dynamodb:"):
                continue
            if action in ("dynamodb:GetItem", "dynamodb:BatchGetItem"):
                read += count * math.ceil(item_bytes(record) / READ_UNIT)
            else:
                written += count * costs[caller, action]  # a KeyError is a write that nobody has priced yet
    return {"WriteUnits": written, "ReadUnits": read}


def bill(measured: Measured, machine: str, count: int, record: dict, sizes: dict[str, int]) -> dict:
    """What one operation used, of `count` that were done."""
    entered = [measured.transitions(execution) for execution in measured.executions(machine)]
    functions, log_bytes = functions_of(measured, count, sizes)
    requests = measured.requests()
    everyone = sum((counts for caller, counts in requests.items() if caller != "client"), Counter())
    return {
        "Transitions": statistics.mode(entered),
        "Functions": functions,
        "Tasks": {action: number / count for action, number in sorted(requests["states"].items())},
        "S3Writes": (everyone["s3:PutObject"] + everyone["s3:ListBucket"] + everyone["s3:ListBucketVersions"]) / count,
        "S3Reads": everyone["s3:GetObject"] / count,
        **{name: number / count for name, number in units(requests, record).items()},
        "LogBytes": round(log_bytes / count),
        "OrchestrationMs": round(
            (requests["states"].total() * ASSUMED["BetweenStatesMs"] + wait_ms(requests["states"])) / count
        ),
    }


def functions_of(measured: Measured, count: int, sizes: dict[str, int]) -> tuple[dict[str, dict], int]:
    """What each function took in an invocation, and the bytes of all their logs; `sizes` are bytes read and written."""
    requests = measured.requests()
    deployed = Deployment().resources
    functions, log_bytes = {}, 0
    for name, group in measured.groups.items():
        lines = measured.log(group)
        reports = [report(line) for line in lines if line.startswith("REPORT")]
        log_bytes += sum(len(_as_on_aws(line).encode()) + LOG_EVENT_BYTES for line in lines)
        log_bytes += len(reports) * ASSUMED["XrayLogBytes"]
        if not reports:
            continue
        calls = {
            action: round(number / len(reports), 3)
            for action, number in sorted(requests.get(name, Counter()).items())
            if not action.startswith("rekognition:")  # which is billed for each image, not for each request
        }
        functions[name] = {
            "Invocations": round(len(reports) / count, 3),
            "MemoryMb": deployed[name]["MemorySize"],
            "ProcessorMs": round(statistics.median(found["Processor Time"] for found in reports), 1),
            "PeakMb": max(found["Max Memory Used"] for found in reports),
            "WaitMs": round(wait_ms(calls | {AT_ONCE.get(name, ""): 1}) + sizes.get(name, 0) / ASSUMED["S3BytesPerMs"]),
            "Requests": calls,
        }
        if name in WAITS_FOR_REKOGNITION:
            functions[name][WAITS_FOR_REKOGNITION[name]] = ASSUMED["RekognitionMs"]
    return functions, log_bytes


def wait_ms(calls: dict[str, float]) -> float:
    """Milliseconds of waiting for requests that are sent one after another, without Rekognition's."""
    return sum(
        number * ASSUMED.get(SERVICES_OF_WAITS.get(action.split(":")[0], ""), 0) for action, number in calls.items()
    )


def report(line: str) -> dict[str, float]:
    """The numbers of a REPORT line, in milliseconds and megabytes."""
    return {name: float(number) for name, number in re.findall(r"([A-Z][A-Za-z ]+): ([\d.]+) (?:ms|MB)", line)}


def _as_on_aws(line: str) -> str:
    """Without what only the local run adds to a REPORT line."""
    return re.sub(r"\t(?:Init )?Processor Time: [\d.]+ ms", "", line)


def metrics(lines: list[str]) -> set[str]:
    """The custom metrics that lines in embedded metric format create; each set of dimensions is one of its own."""
    found = set()
    for line in lines:
        if not line.startswith('{"_aws"'):
            continue
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                values = [document[name] for name in dimensions]
                found |= {f"{directive['Namespace']}/{metric['Name']}{values}" for metric in directive["Metrics"]}
    return found


def idle(**parameters: str) -> dict:
    """What costs something while nothing is uploaded: alarms, by their metrics, and dashboards."""
    deployment = Deployment(**parameters)
    alarms = deployment.of_type("AWS::CloudWatch::Alarm")
    return {
        "Alarms": sum(sum("MetricStat" in metric for metric in alarm.get("Metrics", [])) or 1 for alarm in alarms),
        "Dashboards": len(deployment.of_type("AWS::CloudWatch::Dashboard")),
    }


# ------------------------------------------------------------------------------------------------------------ the run


@contextmanager
def running() -> Iterator[Measured]:
    """The template, deployed for this measurement."""
    with tempfile.TemporaryDirectory(prefix="bench-usage-") as folder, LocalStack(Path(folder) / "run") as stack:
        yield Measured(stack)


def measure(measured: Measured, images: int, photo: Path) -> dict:
    """Upload and delete, one after another."""
    keys = [f"uploads/2026/11/photo-{number:04}.jpg" for number in range(images)]

    def upload(key: str) -> None:
        measured.s3.upload_file(str(photo), measured.outputs["UploadsBucket"], key)
        eventually(lambda: measured.item(key).get("Status", {}).get("S") == "COMPLETED")
        eventually(lambda: all(found["status"] != "RUNNING" for found in measured.executions("ImagePipeline")))

    measured.begin()
    upload("uploads/first.jpg")
    time.sleep(SETTLING_SECONDS)  # executions are told apart by whole seconds
    measured.begin()
    for number, key in enumerate(keys, 1):
        upload(key)
        print(f"\r{number} of {images} uploaded", end="", file=sys.stderr, flush=True)
    time.sleep(SETTLING_SECONDS)
    # Without labels, which are assumed: how many the stand-in finds says nothing about photos.
    record = measured.item(keys[-1]) | {"Labels": {"L": []}}
    renditions = sum(int(found["M"]["Bytes"]["N"]) for found in record["Renditions"]["M"].values())
    original = photo.stat().st_size
    lines = [line for group in measured.groups.values() for line in measured.log(group)]
    uploads = bill(measured, "ImagePipeline", images, record, {"ThumbnailsFunction": original + renditions})
    uploads["S3Writes"] += 1  # the user's
    uploads |= {
        "StoredBytes": item_bytes(record)
        + item_bytes({name: record[name] for name in INDEXED})
        + 2 * ITEM_BYTES
        + ASSUMED["ListEntryBytes"],
        "BackedUpBytes": item_bytes(record) + ITEM_BYTES,
        "RecordBytes": item_bytes(record),
        "OriginalBytes": original,
        "RenditionBytes": renditions,
    }

    measured.s3.delete_object(Bucket=measured.outputs["UploadsBucket"], Key="uploads/first.jpg")
    eventually(lambda: not measured.item("uploads/first.jpg"))
    eventually(lambda: all(found["status"] != "RUNNING" for found in measured.executions("Housekeeping")))
    time.sleep(SETTLING_SECONDS)
    measured.begin()
    for number, key in enumerate(keys, 1):
        measured.s3.delete_object(Bucket=measured.outputs["UploadsBucket"], Key=key)
        eventually(lambda key=key: not measured.item(key))
        print(f"\r{number} of {images} deleted ", end="", file=sys.stderr, flush=True)
    eventually(lambda: len(measured.executions("Housekeeping")) >= images)
    eventually(lambda: all(found["status"] != "RUNNING" for found in measured.executions("Housekeeping")))
    print(file=sys.stderr)
    time.sleep(SETTLING_SECONDS)
    deletions = bill(measured, "Housekeeping", images, record, {})
    return {
        "Measured": datetime.now(UTC).date().isoformat(),
        "Command": "python -m bench.usage",
        "Machine": f"{platform.machine()}, {_processor()}",
        "Picture": f"{PICTURE}, {original:,} bytes, the three default renditions",
        "Images": images,
        "Assumed": dict(ASSUMED),
        "Upload": uploads,
        "Deletion": deletions,
        "Api": {"Functions": measure_api(measured, images, photo)},
        "Idle": idle() | {"Metrics": len(metrics(lines)) + REASONS},
    }


def measure_api(measured: Measured, requests: int, photo: Path) -> dict:
    """Ask for statuses, records, pages and deletions, and upload in a request's body as much as that may hold."""
    environment = measured.stack.environment
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1"
    )
    api = Api(measured.outputs["ImageStatusApiEndpoint"], signed(session))
    key = "uploads/api.jpg"
    measured.s3.upload_file(str(photo), measured.outputs["UploadsBucket"], key)
    eventually(lambda: measured.item(key).get("Status", {}).get("S") == "COMPLETED")
    measured.begin()
    for number in range(requests):
        time.sleep(0.3)  # the API accepts only so many a second
        urllib.request.urlopen(f"{api.endpoint}/images/status?key={key}", timeout=30).close()
        api.image(key)
        next(api.images(status="COMPLETED", limit="100"))
        if number % 10 == 0:
            api._call("POST", "/images", {"filename": "body.jpg"}, photo.read_bytes()[: 4 * 2**20], "image/jpeg")
        else:
            api.delete(f"uploads/{number}")
        print(f"\r{number + 1} of {requests} asked   ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    functions, _ = functions_of(measured, requests, {})
    return {name: functions[name] for name in ("StatusFunction", "ReadImagesFunction", "WriteImagesFunction")}


def init_ms(measured: Measured) -> dict[str, float]:
    """The median processor time of each function's inits, of all that there were since the deployment."""
    measured.since = datetime.fromtimestamp(0, UTC)
    return {
        name: statistics.median(
            found["Init Processor Time"]
            for found in (report(line) for line in measured.log(group) if line.startswith("REPORT"))
            if "Init Processor Time" in found
        )
        for name, group in measured.groups.items()
        if measured.log(group)
    }


def _processor() -> str:
    """The processor's name, where the system tells."""
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except FileNotFoundError:
        return platform.processor()
    return found[1] if found else "unknown processor"


def main() -> None:
    """Measure and write the file, or write again only what follows from the template."""
    parser = argparse.ArgumentParser(prog="bench.usage", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument(
        "--derive",
        action="store_true",
        help="read memory sizes and alarms from the template again, and measure nothing",
    )
    options = parser.parse_args()
    if options.derive:
        found = json.loads(options.output.read_text())
    else:
        with running() as measured:
            found = measure(measured, options.images, pictures.picture(PICTURE, ROOT / ".local" / "bench" / "pictures"))
            inits = init_ms(measured)
        for operation in OPERATIONS:
            for name, function in found[operation]["Functions"].items():
                function["InitProcessorMs"] = round(inits[name])
    options.output.write_text(json.dumps(derived(found), indent=2) + "\n")


def derived(found: dict) -> dict:
    """The measurement with what follows from the template and the state machine as they are now."""
    deployment = Deployment()
    for operation in OPERATIONS:
        for name, function in found[operation]["Functions"].items():
            function["MemoryMb"] = deployment.resources[name]["MemorySize"]
    found["Assumed"]["LabelsAnImage"] = int(deployment.parameters["LabelsMaxCount"])
    found["Idle"] |= idle()
    found["Express"] = express()
    found["Sweeps"] = sweeps(found["Api"]["Functions"]["StatusFunction"])
    return found


def express() -> dict:
    """What an Express workflow adds to an image: an item in the table of executions."""
    event = json.dumps(json.loads((ROOT / "events" / "upload.json").read_text()), separators=(",", ":"))
    tasks = Counter(
        f"dynamodb:{state['Resource'].rsplit(':', 1)[-1].removesuffix('Item').capitalize()}Item"
        for state in json.loads(DEFINITION.read_text())["States"].values()
        if state.get("Arguments", {}).get("TableName") == "${ExecutionsTable}"
    )
    return {
        "Tasks": dict(tasks),
        "WriteUnits": tasks.total() * math.ceil((len(event.encode()) + EXECUTION_BYTES) / KB),
        "OrchestrationMs": tasks.total() * (ASSUMED["BetweenStatesMs"] + ASSUMED["DynamoDbMs"]),
    }


def sweeps(like: dict) -> dict:
    """The sweeps of a month, by the type of the workflow.

    A sweep that finds nothing reads a table once. It is taken to use as much as the status function, which reads a
    record.
    """

    def minutes(workflow: str) -> int:
        schedule = Deployment(WorkflowType=workflow).resources["SweepRule"]["ScheduleExpression"]
        return int(re.fullmatch(r"rate\((\d+) minutes?\)", schedule)[1])

    memory = Deployment().resources["SweepFunction"]["MemorySize"]
    return {
        "AMonth": {workflow: 30 * 24 * 60 // minutes(workflow) for workflow in SWEEP_METRICS},
        "Metrics": SWEEP_METRICS,
        "Function": {name: like[name] for name in ("ProcessorMs", "WaitMs")} | {"MemoryMb": memory},
        "LogBytes": SWEEP_LOG_BYTES,
    }


if __name__ == "__main__":
    main()
