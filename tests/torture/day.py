"""A mixed day: whatever users do, at random, while things fail and executions are aborted."""

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from PIL import Image

from cli.events import Event
from cli.failures import FAILED, NOT_REMOVED, STUCK, UNANNOUNCED, Failure, in_stack
from cli.redrive import redrive
from cli.stack import Stack
from imagepipeline import quarantine
from imagepipeline.executions import PATIENCE
from imagepipeline.keys import renditions_prefix
from imagepipeline.quarantine import HELD, Action
from local.deployment import stack_name
from tests.integration.conftest import Deployed, named
from tests.integration.faults import (
    EXPRESS_ENDS,
    METADATA,
    STORE,
    TERMINAL,
    THUMBNAILS,
    VALIDATE,
    deliver_what_was_kept,
    start,
)
from tests.torture.burst import records

KEYS = 20  # few enough that what happens to one of them often meets what happened before
AGAIN = 0.6  # how likely the next action is about the same key, at once
MOST_RUNNING = 40  # executions; beyond, the user waits
END_SECONDS = 600  # that a day takes at most to end

# Each passes after a while, so that none outlasts all patience for every upload.
FAULTS = [
    *[(at, fault) for at in (VALIDATE, THUMBNAILS, METADATA, STORE) for fault in ("throttle", "error", "timeout")],
    *[(at, fault) for at in (VALIDATE, THUMBNAILS, METADATA, STORE) for fault in ("crash", "crash-late")],
    *[(f"lambda:*{name}Function*", "crash-late") for name in ("ResolveCurrentVersion", "Cleanup")],
    *[("lambda:*IndexFunction*", fault) for fault in ("throttle", "crash", "crash-late", "timeout")],
    *[(f"dynamodb:Batch{call}Item", "throttle") for call in ("Get", "Write")],
    *[(f"dynamodb:{call}Item", fault) for call in ("Put", "Update", "Delete") for fault in ("throttle", "error")],
    *[("sns:Publish", fault) for fault in ("throttle", "error")],
    *[("rekognition:DetectLabels", fault) for fault in ("throttle", "error", "slow", "slow", "slow")],
    ("states:StartExecution", "throttle"),
]
# With Moderation=quarantine.
MODERATION_FAULTS = [("rekognition:DetectModerationLabels", fault) for fault in ("throttle", "error", "slow")]
# What an execution may have done without having noted it.
ANNOUNCING = {"NotifySuccess", "NotifyFailure", "RecordAnnouncement"}


@dataclass
class Key:
    """What the user did to one key."""

    uploads: list[tuple[int, int] | None] = field(default_factory=list)  # width and height in pixels; None: no image
    restored: int = 0
    flagged: set[tuple[int, int]] = field(default_factory=set)  # sizes of uploads in which something is found
    released: set[tuple[int, int]] = field(default_factory=set)
    decisions: int = 0

    @property
    def last_body(self) -> tuple[int, int] | None:
        return self.uploads[-1] if self.uploads else None


class Day:
    """A day of one bucket; afterwards, what was lost, not announced or announced twice."""

    def __init__(
        self,
        deployed: Deployed,
        chance: Random,
        *,
        versioned: bool = False,
        moderated: bool = False,
        quiet_seconds: float = 10,
    ) -> None:
        """A deployment whose images are `moderated` has Moderation=quarantine.

        A day has ended after `quiet_seconds` without executions.
        """
        self.counts: Counter[str] = Counter()
        self._deployed = deployed
        self._chance = chance
        self._versioned = versioned
        self._moderated = moderated
        self._quiet_seconds = quiet_seconds
        self._faults = deployed.stack.faults
        self._stack = Stack.find(deployed.stack.session, stack_name())
        self._bucket = deployed.outputs["UploadsBucket"]
        self._prefix = f"uploads/day{'-with-versions' if versioned else ''}{'-moderated' if moderated else ''}/"
        self._keys = {f"{self._prefix}{number:02}.jpg": Key() for number in range(KEYS)}
        self._key = next(iter(self._keys))  # the one that is being acted upon
        self._aborted: list[str] = []
        self._swept = 0.0  # time.monotonic()
        if versioned:
            deployed.s3.put_bucket_versioning(Bucket=self._bucket, VersioningConfiguration={"Status": "Enabled"})

    def __str__(self) -> str:
        return ", ".join(f"{number} {what}" for what, number in self.counts.items())

    # ------------------------------------------------------------------------------------------------------ the day

    def act(self) -> None:
        """Something happens."""
        if self._chance.random() > AGAIN:
            self._key = self._chance.choice([*self._keys])
            time.sleep(self._chance.choice((0, 0.1, 0.3)))
        actions = [self._upload] * 8 + [self._upload_again, self._upload_nonsense] * 2 + [self._delete] * 3
        if self._versioned:
            actions += [self._delete_newest_version, self._delete_oldest_version] * 2
        if self._moderated:
            actions += [self._upload_flagged] * 5 + [self._decide] * 8
        actions += [self._ask_for_a_fault] * 3 + [self._abort, self._deliver_again, self._deliver_what_was_kept]
        self._chance.choice(actions)(self._key)
        self._sweep()
        while len(self._running()) > MOST_RUNNING:
            time.sleep(0.5)

    def _upload(self, key: str) -> None:
        size = (100 + len(self._keys[key].uploads), 90)  # distinguishes this upload of the key from all others
        self._put(key, size)
        self.counts["uploads"] += 1

    def _upload_flagged(self, key: str) -> None:
        size = (100 + len(self._keys[key].uploads), 90)
        self._keys[key].flagged.add(size)
        self._put(key, size)
        self.counts["flagged uploads"] += 1

    def _decide(self, _key: str) -> None:
        """A moderator decides about an image that is held."""
        held = [record for record in records(self._deployed, self._prefix).values() if record["Status"] == HELD]
        if not held:
            return
        record, action = self._chance.choice(held), self._chance.choice([*Action])
        history = self._keys[record["ImageKey"]]
        history.decisions += 1
        if action is Action.RELEASE:
            history.released.add((record["Width"], record["Height"]))
        decision = json.dumps(quarantine.decision(self._bucket, record, action))
        for _ in range(self._chance.choice((1, 1, 2))):  # some moderators click twice
            start(self._deployed, self._deployed.outputs["ImagePipeline"], decision)
        self.counts["decisions"] += 1

    def _upload_again(self, key: str) -> None:
        if self._keys[key].last_body:
            self._put(key, self._keys[key].last_body)
            self.counts["uploads of the same bytes"] += 1

    def _upload_nonsense(self, key: str) -> None:
        self._put(key, None)
        self.counts["bad files"] += 1

    def _put(self, key: str, size: tuple[int, int] | None) -> None:
        self._keys[key].uploads.append(size)
        flagged = size in self._keys[key].flagged
        self._deployed.put(key, jpeg(size, flagged) if size else b"no image")

    def _delete(self, key: str) -> None:
        self._deployed.delete(key)
        self.counts["deletions"] += 1

    def _delete_newest_version(self, key: str) -> None:
        if versions := self._versions(key):
            self._keys[key].restored += 1
            self._delete_version(key, versions[0])
            self.counts["versions or delete markers removed"] += 1

    def _delete_oldest_version(self, key: str) -> None:
        if len(versions := self._versions(key)) > 1:
            self._delete_version(key, versions[-1])
            self.counts["old versions removed"] += 1

    def _delete_version(self, key: str, version: dict) -> None:
        self._deployed.s3.delete_object(Bucket=self._bucket, Key=key, VersionId=version["VersionId"])

    def _versions(self, key: str) -> list[dict]:
        """Newest first, delete markers among them."""
        listed = self._deployed.s3.list_object_versions(Bucket=self._bucket, Prefix=key)
        both = listed.get("Versions", []) + listed.get("DeleteMarkers", [])
        return sorted(both, key=lambda version: (version["IsLatest"], version["LastModified"]), reverse=True)

    def _ask_for_a_fault(self, _key: str) -> None:
        faults = FAULTS + 4 * MODERATION_FAULTS if self._moderated else FAULTS
        self._faults.ask(*self._chance.choice(faults), self._chance.randint(1, 3))
        self.counts["faults"] += 1

    def _abort(self, _key: str) -> None:
        if self._deployed.is_express:  # an execution cannot be stopped, but it can reach its time limit
            call, fault, _perhaps_announced = self._chance.choice(EXPRESS_ENDS)
            self._faults.ask(f"express:{call}", fault)
            self.counts["Express executions ended early"] += 1
        elif running := self._running("ImagePipeline"):
            arn, executions = self._chance.choice(running), self._deployed.executions
            with suppress(executions.exceptions.ClientError):  # it has just ended
                executions.stop_execution(executionArn=arn)
                self._aborted.append(arn)
                self.counts["aborted executions"] += 1

    def _deliver_again(self, _key: str) -> None:
        """EventBridge delivers an event at least once, and late if it likes."""
        machine = self._chance.choice(("ImagePipeline", "Housekeeping"))
        if self._deployed.is_express and machine == "ImagePipeline":
            if registered := [event for event in self._deployed.registered() if self._prefix in json.dumps(event)]:
                start(self._deployed, self._deployed.outputs[machine], json.dumps(self._chance.choice(registered)))
                self.counts["events delivered again"] += 1
        elif found := self._executions(machine)[:50]:
            execution = self._deployed.executions.describe_execution(
                executionArn=self._chance.choice(found)["executionArn"]
            )
            if self._prefix in execution["input"]:
                start(self._deployed, execution["stateMachineArn"], execution["input"])
                self.counts["events delivered again"] += 1

    def _deliver_what_was_kept(self, _key: str = "") -> int:
        """Somebody looks into the queue of undelivered events."""
        found = deliver_what_was_kept(self._deployed)
        self.counts["events from the dead-letter queue"] += found
        return found

    def _sweep(self) -> None:
        """At most once a second."""
        if self._deployed.is_express and time.monotonic() - self._swept > 1:
            self._swept = time.monotonic()
            self.counts["Express executions resumed"] += self._deployed.sweep()["HandedOver"]

    def _executions(self, machine: str, status: str | None = None) -> list[dict]:
        """The newest first."""
        filters = {"statusFilter": status} if status else {}
        arn = self._deployed.outputs[machine]
        listed = self._deployed.executions.list_executions(stateMachineArn=arn, maxResults=1000, **filters)
        return listed["executions"]

    def _running(self, *machines: str) -> list[str]:
        """ARNs of executions, or inputs of those of an Express workflow."""
        if self._deployed.is_express:
            running = [json.dumps(event) for event in self._deployed.registered()]
            return running + [found["executionArn"] for found in self._executions("Housekeeping", "RUNNING")]
        return [
            execution["executionArn"]
            for machine in machines or ("ImagePipeline", "Housekeeping")
            for execution in self._executions(machine, "RUNNING")
        ]

    # ------------------------------------------------------------------------------------------------- the end of it

    def end(self) -> None:
        """Nothing fails any more, everything comes to its end, and the operator redrives what Housekeeping gave up.

        Faults may outlast its patience; then `image-pipeline failures` has to list what is left to do.
        """
        self._faults.clear()
        self._wait_for_quiet()
        listed = in_stack(self._stack, datetime.now(UTC) + PATIENCE)  # nothing is about to be retried any more
        left = [failure for failure in listed if failure.kind == NOT_REMOVED or is_unannounced(failure)]
        for result in redrive(self._stack, {failure.key for failure in left}, left, timeout=END_SECONDS):
            self.counts[f"redriven and then {result.status}"] += 1
        for failure in left:
            self.counts[f"listed as {failure.kind} and redriven"] += 1
        self._wait_for_quiet()

    def _wait_for_quiet(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        quiet_since = time.monotonic()
        while time.monotonic() < min(quiet_since + self._quiet_seconds, deadline):
            self._sweep()
            if self._deliver_what_was_kept() or self._running() or self._deployed.index_problems(self._prefix):
                quiet_since = time.monotonic()
            time.sleep(0.5)

    def problems(self) -> dict[str, list[str]]:
        """What is wrong, by kind; every kind is there, most of them empty."""
        wrong: dict[str, list[str]] = {"lost": [], "of another version": [], "announced twice": [], "not announced": []}
        wrong |= {"announced before an older one": [], "left by deleted objects": [], "orphaned renditions": []}
        wrong |= {"renditions missing": [], "left running": self._running(), "shown without a release": []}
        wrong["index and records disagree"] = self._deployed.index_problems(self._prefix)
        found, announced = records(self._deployed, self._prefix), defaultdict(list)
        for mail in self._deployed.stack.mails():
            announced[mail.attributes["imageId"]].append(mail)
        stored = self._deployed.rendition_keys()
        excused = self._perhaps_announced()

        for key, history in self._keys.items():
            record, newest = found.get(key), self._newest(key)
            mine = {rendition for rendition in stored if rendition.startswith(renditions_prefix(key))}
            wrong["orphaned renditions"] += sorted(mine - named(record or {}))
            wrong["renditions missing"] += sorted(named(record or {}) - mine)
            if newest is None:
                wrong["left by deleted objects"] += [f"{key}: {record}"] if record else []
                continue
            if record is None or record["Status"] not in TERMINAL:
                wrong["lost"].append(f"{key}: {record}")
                continue
            self.counts[f"ended {record['Status']}"] += 1
            if record["VersionId"] != newest["VersionId"] or record["ETag"] != newest["ETag"].strip('"'):
                wrong["of another version"].append(f"{key}: {record}")
            times = [number for number, mail in enumerate(announced[key]) if is_about(mail.body, record)]
            if not times:
                wrong["not announced"].append(f"{key}: {record}")
                continue
            if times[-1] != len(announced[key]) - 1:
                wrong["announced before an older one"].append(f"{key}: {announced[key][-1].body}")
            size = (record.get("Width"), record.get("Height"))
            if record["Status"] == "COMPLETED" and size in history.flagged - history.released and self._moderated:
                wrong["shown without a release"].append(f"{key}: {record}")
            if len(times) > max(1, history.uploads.count(size)) + history.restored + excused[key]:
                wrong["announced twice"].append(f"{key}: {len(times)} times: {record}")
        return wrong

    def stories(self, wrong: dict[str, list[str]]) -> Iterator[str]:
        """How it came to what `problems` found: every execution of the keys concerned, in the order of their starts."""
        said = "\n".join(problem for problems in wrong.values() for problem in problems)
        keys = {key for key in self._keys if key in said or renditions_prefix(key) in said}
        stories = []
        for machine in ("Housekeeping",) if self._deployed.is_express else ("ImagePipeline", "Housekeeping"):
            for execution in self._executions(machine):
                described = self._deployed.executions.describe_execution(executionArn=execution["executionArn"])
                event = Event.parse(described["input"])
                if event.key in keys:
                    states = " ".join(self._deployed.history(execution["executionArn"]))
                    about = f"{event.key} {event.document['detail-type']} {event.sequencer.rstrip('0')}"
                    end = described.get("stopDate", described["startDate"])
                    outcome = f"{described['status']} {described.get('error', '')}"
                    stories.append(
                        f"{described['startDate']:%H:%M:%S.%f} to {end:%H:%M:%S.%f} {about}: {outcome}: {states}"
                    )
        yield from sorted(stories)

    def _newest(self, key: str) -> dict | None:
        s3 = self._deployed.s3
        try:
            head = s3.head_object(Bucket=self._bucket, Key=key)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return None
            raise
        return {"VersionId": head.get("VersionId", "null"), "ETag": head["ETag"]}

    def _perhaps_announced(self) -> Counter[str]:
        """By key, how many executions were aborted between announcing and recording it.

        Of an Express workflow: how many ended early, because nothing says where.
        """
        perhaps: Counter[str] = Counter()
        if self._deployed.is_express:
            for execution in self._executions("Housekeeping"):
                arn = execution["executionArn"]
                event = json.loads(self._deployed.executions.describe_execution(executionArn=arn)["input"])
                if "executionArn" in event["detail"]:
                    perhaps[json.loads(event["detail"]["input"])["detail"]["object"]["key"]] += 1
            return perhaps
        for arn in self._aborted:
            if {*self._deployed.history(arn)[-1:]} & ANNOUNCING:
                described = self._deployed.executions.describe_execution(executionArn=arn)
                perhaps[json.loads(described["input"])["detail"]["object"]["key"]] += 1
        self.counts["aborted while announcing"] = perhaps.total()
        return perhaps


def is_unannounced(failure: Failure) -> bool:
    """Whether the image still lacks a notification."""
    if failure.kind == FAILED:
        return "AnnouncedAt" not in failure.record
    return failure.kind in (STUCK, UNANNOUNCED)


def is_about(body: str, record: dict) -> bool:
    """Whether a message is about the upload of a record, not about an earlier one of its key."""
    if record["Status"] in ("COMPLETED", HELD):
        is_held = body.startswith("An image is held")
        return f" {record['Width']} x {record['Height']} " in body and is_held == (record["Status"] == HELD)
    return record["ExecutionArn"] in body


def jpeg(size: tuple[int, int], flagged: bool = False) -> bytes:
    """A picture; the stand-in for Rekognition flags magenta."""
    file = io.BytesIO()
    Image.new("RGB", size, "magenta" if flagged else (size[0] % 256, 128, 64)).save(file, "JPEG")
    return file.getvalue()
