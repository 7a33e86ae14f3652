"""A deployed stack: finding it, and reading its table."""

import os
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.problems import SetupError, code
from imagepipeline.executions import RegisteredExecution
from imagepipeline.items import from_item

URL_SECONDS = 900
# For presigned URLs, which botocore would otherwise sign by an older scheme, and lead to the global endpoint. That one
# redirects requests for a new bucket of another Region, and does not know buckets of Regions that are off by default.
REGIONAL_URLS = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
KEYS_PER_READ = 100  # BatchGetItem's limit
REGISTERED_AFTER = 10.0  # seconds at most, from the start of an Express execution
MAX_CONNECTIONS = 16  # at least one for each upload in progress, and one to follow them

Record = dict[str, Any]
Document = dict[str, Any]  # JSON
Client = Any  # boto3 makes the methods of a client at run time

# The outputs that are needed for uploading, and for listing and redriving failures.
TO_UPLOAD = ("UploadsBucket", "ImagesTable")
TO_OPERATE = (
    *TO_UPLOAD,
    "IndexTable",
    "ThumbnailsBucket",
    "ImagePipeline",
    "Housekeeping",
    "UndeliveredEventsQueue",
)
TO_DECIDE = (*TO_UPLOAD, "ThumbnailsBucket", "ImagePipeline")
TO_REINDEX = (*TO_UPLOAD, "IndexTable", "UnindexedChangesQueue")


@dataclass(frozen=True, slots=True)
class Stack:
    """One deployed image pipeline, with the boto3 clients to use it."""

    name: str
    outputs: Mapping[str, str]
    session: boto3.Session  # for clients that only one command needs
    s3: Client
    dynamodb: Client
    stepfunctions: Client
    sqs: Client
    parameters: Mapping[str, str] = field(default_factory=dict)  # with which it was deployed

    @classmethod
    def find(cls, session: boto3.Session, name: str, needed: Iterable[str] = TO_UPLOAD) -> "Stack":
        """The stack called `name` in the session's account and region, with the `needed` outputs.

        Raises SetupError if there is none or it is not an image pipeline, and botocore's errors for everything else;
        `cli.problems.explain` explains those.
        """
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=MAX_CONNECTIONS,
        )
        try:
            cloudformation = session.client("cloudformation", config=config)
        except ValueError as error:  # also the base of botocore's InvalidRegionError
            raise SetupError(f"{str(error).rstrip('.')}: check AWS_REGION and AWS_ENDPOINT_URL") from error
        try:
            description = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
            raise SetupError(
                f'stack "{name}" does not exist at {cloudformation.meta.endpoint_url}: '
                "check --stack, AWS_REGION and AWS_PROFILE, or deploy it"
            ) from error
        outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", ())}
        if missing := [output for output in needed if output not in outputs]:
            raise SetupError(
                f'stack "{name}" ({description["StackStatus"]}) has no output {" and no ".join(missing)}: '
                "check that it is an image pipeline and that its deployment succeeded"
            )
        # Step Functions has the smallest quotas of all: adapt to its throttling.
        patient = config.merge(Config(retries={"mode": "adaptive", "total_max_attempts": 10}))
        return cls(
            name,
            outputs,
            session,
            s3=session.client("s3", config=config.merge(REGIONAL_URLS)),
            dynamodb=session.client("dynamodb", config=config),
            stepfunctions=session.client("stepfunctions", config=patient),
            sqs=session.client("sqs", config=config),
            parameters={
                parameter["ParameterKey"]: parameter["ParameterValue"]
                for parameter in description.get("Parameters", ())
            },
        )

    @property
    def uploads_bucket(self) -> str:
        """Name of the bucket for the images to process."""
        return self.outputs["UploadsBucket"]

    def records(self, keys: Iterable[str], *, consistent: bool = False) -> dict[str, Record]:
        """The records of `keys`, by key; keys without a record are left out. Numbers are int or float.

        `consistent` costs twice as much, and sees every earlier write.
        """
        found = {}
        for batch in batched(dict.fromkeys(keys), KEYS_PER_READ, strict=False):
            for item in self._read([{"ImageKey": {"S": key}} for key in batch], consistent):
                record = from_item(item)
                found[record["ImageKey"]] = record
        return found

    def keys_by_status(self, status: str) -> Iterator[list[str]]:
        """The keys of the images that have a status, page by page. Reads keys alone, from the table's index."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.outputs["ImagesTable"],
            IndexName="ByStatus",
            KeyConditionExpression="#status = :status",
            ExpressionAttributeNames={"#status": "Status"},
            ExpressionAttributeValues={":status": {"S": status}},
        )
        for page in pages:
            yield [item["ImageKey"]["S"] for item in page["Items"]]

    def keys_in_list(self, name: str) -> Iterator[list[str]]:
        """The keys of the images in a list of the index table, page by page."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.outputs["IndexTable"],
            KeyConditionExpression="ListName = :name",
            ExpressionAttributeValues={":name": {"S": name}},
        )
        for page in pages:
            yield [item["ImageKey"]["S"] for item in page["Items"]]

    def head(self, key: str) -> Document | None:
        """S3's HeadObject of an upload, or None if there is no object.

        Without permission for s3:ListBucket, S3 denies access to an object that does not exist: that error is raised.
        """
        try:
            head: Document = self.s3.head_object(Bucket=self.uploads_bucket, Key=key)
        except ClientError as error:
            if code(error) != "404":
                raise
            return None
        return head

    def exists(self, key: str) -> bool:
        """Whether there is an upload under a key. Requires the permissions of `head`."""
        try:
            return self.head(key) is not None
        except ClientError as error:
            if code(error) != "400":  # S3's answer about an object whose key only its uploader has (SSE-C)
                raise
            return True

    def rendition_url(self, record: Record) -> str:
        """A URL that anyone can see the largest rendition by for 15 minutes; empty without one. Calls nothing."""
        renditions = record.get("Renditions", {}).values()
        if not renditions:
            return ""
        largest = max(renditions, key=lambda rendition: rendition["Width"] * rendition["Height"])
        asked = {"Bucket": self.outputs["ThumbnailsBucket"], "Key": largest["Key"]}
        url: str = self.s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=URL_SECONDS)
        return url

    @property
    def is_express(self) -> bool:
        """Whether ImagePipeline is an Express workflow, about whose executions Step Functions cannot be asked."""
        return "ExecutionsTable" in self.outputs

    def may_be_unregistered(self, since: float) -> bool:
        """Whether an execution that was started at `since`, by time.monotonic(), may have yet to register itself."""
        return self.is_express and time.monotonic() - since < REGISTERED_AFTER

    def registered(self) -> Iterator[tuple[RegisteredExecution, str]]:
        """The executions of an Express workflow that have not succeeded yet, each with its input, as JSON."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.outputs["ExecutionsTable"])
        for item in (item for page in pages for item in page["Items"]):
            yield RegisteredExecution.from_item(item), item["Input"]["S"]

    def execution_status(self, arn: str) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED, or GONE: Step Functions deletes executions after 90 days.

        Of an Express workflow: SUCCEEDED if nothing is registered of the execution, which is also the case in its first
        seconds; RUNNING until Sweep should hand it to Housekeeping; then TIMED_OUT.
        """
        machine = self.outputs["ImagePipeline"].rpartition(":")[2]
        if self.is_express and f":{machine}:" in f"{arn}:":
            answer = self.dynamodb.query(
                TableName=self.outputs["ExecutionsTable"],
                KeyConditionExpression="ExecutionArn = :arn",
                ExpressionAttributeValues={":arn": {"S": arn}},
                ConsistentRead=True,
            )
            due = [RegisteredExecution.from_item(item).due() for item in answer["Items"]]
            if not due:
                return "SUCCEEDED"
            return "RUNNING" if max(due) > datetime.now(UTC) else "TIMED_OUT"
        try:
            status: str = self.stepfunctions.describe_execution(executionArn=arn)["status"]
        except ClientError as error:
            if code(error) != "ExecutionDoesNotExist":
                raise
            return "GONE"
        return status

    def _read(self, keys: list[Document], consistent: bool) -> Iterable[Document]:
        request = {self.outputs["ImagesTable"]: {"Keys": keys, "ConsistentRead": consistent}}
        pause = 0.05  # seconds
        while request:
            answer = self.dynamodb.batch_get_item(RequestItems=request)
            yield from answer["Responses"].get(self.outputs["ImagesTable"], ())
            # A response ends at 16 MB, or where the table throttles; one that read nothing at all is an error.
            request = answer.get("UnprocessedKeys")
            if request:
                time.sleep(pause)
                pause = min(2 * pause, 2)


def default_session() -> boto3.Session:
    """A session with the usual AWS settings. The region is the environment's, otherwise that of the nearest
    samconfig.toml, as in the SAM CLI, otherwise the profile's.

    boto3 itself ignores AWS_REGION; as in the AWS CLI, it takes precedence.
    """
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return boto3.Session(region_name=named or samconfig(Path.cwd()).get("region"))


def default_name(start: Path, environment: str = "default") -> str:
    """The stack to use by default: IMAGE_PIPELINE_STACK, otherwise the nearest samconfig.toml's. Raises SetupError."""
    if name := os.environ.get("IMAGE_PIPELINE_STACK") or samconfig(start, environment).get("stack_name"):
        return name
    raise SetupError("no stack specified: set --stack or IMAGE_PIPELINE_STACK, or stack_name in samconfig.toml")


def samconfig(start: Path, environment: str = "default") -> dict[str, Any]:
    """The deployment settings in the nearest samconfig.toml that names a stack; empty if there is none.

    The search goes from the folder `start` upwards, then to this package's own checkout. Raises SetupError.
    """
    checkout = Path(__file__).resolve().parent.parent
    for folder in (start, *start.parents, checkout):
        settings = _read_samconfig(folder / "samconfig.toml").get(environment, {})
        # The more specific section takes precedence, as in the SAM CLI.
        saved = {
            name: value
            for command in ("global", "deploy")
            for name, value in settings.get(command, {}).get("parameters", {}).items()
        }
        if "stack_name" in saved:
            return saved
    return {}


def _read_samconfig(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(
            f"{file} cannot be read ({error}): correct it, or set --stack and AWS_REGION instead"
        ) from error
