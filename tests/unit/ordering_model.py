"""A model of one key: S3, its events, the table and its index, the thumbnails bucket, and executions of both state
machines.

A `World` is one state of this model. `successors` yields every state that may come next: the user acts, an event is
delivered, an execution makes its next step, or something goes wrong. A step is what AWS does atomically: one write, one
read, one listing. The decisions are the deployed ones: the condition expressions of `imagepipeline.ordering`,
evaluated by moto's DynamoDB, and its functions.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from moto.dynamodb.comparisons import Op, get_filter_expression
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from imagepipeline import lists, ordering

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
TERMINAL = ("COMPLETED", "HELD", "REJECTED", "FAILED")
DECISIONS = ("release", "reject")

MAX_RESUMPTIONS, MAX_EXPRESS_RESUMPTIONS = 3, 33  # as in Housekeeping's RouteEvent

ANNOUNCED = ("announced",)  # what an Express execution has yet to note of its success

# Steps of Lambda functions, which continue when their task has timed out or their execution has ended.
WITHIN_A_FUNCTION = ("write", "store", "list", "look", "sweep", "confirm")


class Version(NamedTuple):
    """One object under the key."""

    id: str  # "null" without versioning
    content: str  # "bad…" for no image, "flagged…" for one to be held; equal contents have equal ETags
    at: int  # seconds; S3 counts no finer
    marker: bool = False  # a delete marker


class Record(NamedTuple):
    """The attributes of a record that the rules use."""

    status: str
    sequencer: int
    version: str
    execution: str
    announced: bool = False
    renditions: frozenset[str] = frozenset()
    content: str = ""  # the ETag
    at: int = 0


class Event(NamedTuple):
    """What EventBridge delivers about an object, or about an execution that ended early."""

    kind: str  # "created" or "deleted", or for an execution: "failed", "aborted" or "timed out"
    sequencer: int
    version: str
    content: str
    at: int
    execution: str = ""  # the execution that ended early
    abandoned: tuple[str, ...] = ()  # the execution in whose place this "created" starts one, and those before
    resumptions: int = 0  # how many executions in a row were started in place of another
    decision: str = ""  # "release" or "reject": a moderator's, about a record that is HELD
    unfinished: bool = False  # that execution, of an Express workflow, had too little time


class Process(NamedTuple):
    """An execution, or a function that outlives its task, about to make a step."""

    step: str
    event: Event
    execution: str  # named for its event, so that worlds are equal in whatever order executions were started
    then: str = ""  # where the removal of renditions leads
    outcome: str = ""  # the outcome to announce
    seen: tuple = ()  # what an earlier step read
    orphan: bool = False  # a function whose task nobody waits for any more
    origin: tuple = ()  # the event that started the execution, if it processes another one by now
    run: int = 0  # 1 or 2, of an Express execution, which Step Functions may run twice


class Invocation(NamedTuple):
    """The index function, about to write what follows from the record that it has read."""

    changes: int  # how many it was given
    wanted: frozenset[lists.Entry]
    unwanted: frozenset[lists.Entry]


class World(NamedTuple):
    """One moment."""

    versions: tuple[Version, ...] = ()  # oldest first
    record: Record | None = None
    renditions: frozenset[str] = frozenset()
    pending: tuple[Event, ...] = ()  # sorted
    processes: tuple[Process, ...] = ()  # sorted
    announced: tuple[tuple[int, str, str], ...] = ()  # sequencer, version and outcome of each announcement, in order
    acted: int = 0  # how many of the history's operations have happened
    started: tuple[str, ...] = ()  # names of executions so far, sorted
    lost: tuple[str, ...] = ()  # faults so far
    stream: tuple[tuple[Record | None, Record | None], ...] = ()  # changes that the index has not followed
    indexing: Invocation | None = None  # one at a time
    index: frozenset[lists.Entry] = frozenset()
    decisions: tuple[tuple[str, int, str], ...] = ()  # action, sequencer and content of each, in order
    registered: frozenset[tuple[str, int, Event]] = frozenset()  # Express executions that have not succeeded: name, run


@dataclass(frozen=True)
class History:
    """What the user does, and how many faults may occur."""

    operations: tuple[str, ...]  # uploads ("good", "bad", "flagged", "same"), deletions, and a moderator's decisions
    versioned: bool = False
    duplicates: int = 0  # events that are delivered twice
    aborts: int = 0
    failures: int = 0  # steps that fail for good
    timeouts: int = 0  # steps that fail for good while their function runs on
    repeats: int = 0  # steps whose response is lost, so that they are made twice
    express: bool = False  # whether ImagePipeline is an Express workflow; then `aborts` are ends after five minutes
    restarts: int = 0  # Express executions that Step Functions runs twice
    same_second: bool = False  # whether operations follow one another within a second
    indexed: bool = False  # whether the index is modelled, too
    index_faults: int = 0  # invocations of the index function that fail, before or after they wrote, or are repeated
    hasty: bool = (
        True  # whether anything may happen between an execution's last check of ownership and its announcement
    )


@cache
def holds(condition: str, record: Record | None, **values: object) -> bool:
    """Whether DynamoDB accepts a write with this condition."""
    expression = _parsed(condition, tuple((name, _text(value)) for name, value in values.items()))
    return bool(expression.expr(Item(DynamoType({"S": "key"}), None, item(record))))


@cache  # parsing takes longer than evaluating
def _parsed(condition: str, values: tuple[tuple[str, str], ...]) -> Op:
    statuses = [(status.lower(), status) for status in ("COMPLETED", "FAILED", "PROCESSING")]
    typed = {f":{name}": {"S": value} for name, value in (*values, *statuses) if f":{name}" in condition}
    return get_filter_expression(condition, {"#status": "Status"} if "#status" in condition else None, typed)


def item(record: Record | None) -> dict:
    """A record as the table stores it, as far as the rules use it."""
    if record is None:
        return {}
    attributes = {
        "ImageKey": "key",
        "Status": record.status,
        "Sequencer": _text(record.sequencer),
        "VersionId": record.version,
        "ExecutionArn": _text(record.execution),
    }
    if record.announced:
        attributes["AnnouncedAt"] = "now"
    return {name: {"S": value} for name, value in attributes.items()}


def _text(value: object) -> str:
    return f"{value:04}" if isinstance(value, int) else str(value)


# --------------------------------------------------------------------------------------------------- what may come next


def successors(history: History, world: World) -> Iterator[tuple[str, World]]:
    """Every next state, with a sentence about what happened."""
    if not history.indexed:
        yield from of_the_pipeline(history, world)
        return
    for sentence, after in of_the_pipeline(history, world):
        changed = [(world.record, after.record)] if after.record != world.record else []
        yield sentence, after._replace(stream=(*world.stream, *changed))
    yield from of_the_index(history, world)


def of_the_pipeline(history: History, world: World) -> Iterator[tuple[str, World]]:
    """What may come next of everything but the index."""
    if world.acted < len(history.operations):
        yield act(history, world)
    for event in sorted(set(world.pending)):
        rest = without(world.pending, event)
        yield f"event {describe(event)} is delivered", deliver(history, world, rest, event)
        if world.lost.count("duplicate") < history.duplicates:
            yield (
                f"event {describe(event)} is delivered, and will be again",
                deliver(history, lose(world, "duplicate"), world.pending, event),
            )
        if history.express and event.kind == "created" and world.lost.count("restart") < history.restarts:
            yield (
                f"event {describe(event)} is delivered, and its execution run twice",
                deliver(history, lose(world, "restart"), rest, event, runs=2),
            )
    running = {(process.execution, process.run) for process in world.processes if not process.orphan}
    for name, run, event in sorted(world.registered):
        if (name, run) not in running:
            ended = event._replace(kind="timed out", execution=name)
            left = world._replace(registered=world.registered - {(name, run, event)})
            yield f"the sweep finds the execution of {name}", deliver(history, left, world.pending, ended)
    for process in sorted(set(world.processes)):
        yield from progress(history, world, process)


def progress(history: History, world: World, process: Process) -> Iterator[tuple[str, World]]:
    """What may become of one execution, or of one function that outlived its task."""
    others = world._replace(processes=without(world.processes, process))
    name = f"{'the rest of ' if process.orphan else ''}execution of {process.execution}"
    if process.step == "wait for stragglers" and any(p.orphan for p in others.processes):
        return
    after, moved = make(history, others, process)
    if moved and moved.step == "announce" and not history.hasty:
        yield f"{name}: {process.step}, announce", proceed(*make(history, after, moved))
    else:
        yield f"{name}: {process.step}", proceed(after, moved)
    if process.orphan:
        return
    in_pipeline = process.event.kind == "created"
    if in_pipeline and world.lost.count("abort") < history.aborts and process.step != "register":
        aborted = lose(end(history, others, process, "aborted"), "abort")
        if process.step == "mark announced" or process.seen == ANNOUNCED:
            aborted = lose(aborted, "mark")
        yield f"{name} is aborted before {process.step}", aborted
        if process.step in WITHIN_A_FUNCTION:
            yield f"{name} is aborted within {process.step}", proceed(aborted, process._replace(orphan=True))
    if in_pipeline and process.step in FAILURES and (process.then == "confirm" or process.step not in REMOVAL):
        if world.lost.count("failure") < history.failures:
            yield f"{name} fails before {process.step}", proceed(lose(others, "failure"), fail(process))
        if process.step in WITHIN_A_FUNCTION and world.lost.count("timeout") < history.timeouts:
            failing = proceed(lose(others, "timeout"), fail(process))
            yield f"{name} times out within {process.step}", proceed(failing, process._replace(orphan=True))
    if process.step in REPEATABLE and world.lost.count("repeat") < history.repeats:
        yield f"{name}: {process.step}, and again", proceed(lose(after, "repeat"), process)


def make(history: History, others: World, process: Process) -> tuple[World, Process | None]:
    """A process makes its step. What remains of it, if anything, is about to make the next."""
    if process.step in ("process current", "resume"):
        return STEPS[process.step](history, others, process)
    if process.step == "fail":
        return end(history, others, process, "failed"), None
    after, moved = STEPS[process.step](others, process)
    if moved is None and process.run and not process.orphan and process.step != "forget":
        # A rejection needs no second look at whether it was announced: its record is marked.
        seen = ANNOUNCED if process.step == "announce" else ()
        return after, process._replace(step="forget", seen=seen)
    return after, moved


def end(history: History, world: World, process: Process, how: str) -> World:
    """An execution ends otherwise than by succeeding. EventBridge gets an event for it, if the workflow is Standard."""
    if history.express:
        return world
    event = Event(*(process.origin or process.event))
    return world._replace(pending=with_(world.pending, event._replace(kind=how, execution=process.execution)))


def act(history: History, world: World) -> tuple[str, World]:
    """The user's next operation, and the event that S3 sends for it."""
    operation, number = history.operations[world.acted], world.acted + 1
    at, sequencer = 0 if history.same_second else number, 10 * number
    versioned = history.versioned or "enable" in history.operations[: world.acted]
    versions, newest = world.versions, world.versions[-1] if world.versions else None
    after = world._replace(acted=number)
    if operation in DECISIONS:
        return f"the moderator: {operation}", decide(after, operation)
    name = f"v{number}" if versioned else "null"
    kept = versions if versioned else ()
    match operation:
        case "enable":
            return "versioning is enabled", after
        case "delete":
            version, event = Version(name, "", at, marker=True), Event("deleted", sequencer, name, "", at)
            versions = (*versions, version) if versioned else ()
        case "restore" | "undo":
            event, versions = Event("deleted", sequencer, newest.id, "", at), versions[:-1]
        case "prune":
            event, versions = Event("deleted", sequencer, versions[0].id, "", at), versions[1:]
        case _:
            content = content_of(history.operations[:number])
            event, versions = Event("created", sequencer, name, content, at), (*kept, Version(name, content, at))
    return f"the user: {operation}", after._replace(versions=versions, pending=with_(world.pending, event))


def decide(world: World, decision: str) -> World:
    """What becomes of a moderator's decision: nothing, if no image is held."""
    record = world.record
    if record is None or record.status != "HELD":
        return world
    event = Event("created", record.sequencer, record.version, record.content, record.at, decision=decision)
    decisions = (*world.decisions, (decision, record.sequencer, record.content))
    return world._replace(pending=with_(world.pending, event), decisions=decisions)


def content_of(operations: tuple[str, ...]) -> str:
    """What the last of these operations uploads."""
    kinds = ("good", "bad", "flagged", "folder")
    number = max(number for number, operation in enumerate(operations, 1) if operation in kinds)
    return f"{operations[number - 1]}{number}"


def deliver(history: History, world: World, pending: tuple[Event, ...], event: Event, runs: int = 1) -> World:
    """EventBridge, the sweep, or Housekeeping starts an execution for an event."""
    delivered = sum(name.rpartition("#")[0] == describe(event) for name in world.started)
    name = f"{describe(event)}#{delivered + 1}"
    world = world._replace(pending=pending, started=with_(world.started, name))
    if event.kind == "created" and history.express:
        for run in range(1, runs + 1):
            world = proceed(world, Process("register", event, name, run=run))
        return world
    step = {"created": "begin", "deleted": "locate"}.get(event.kind, "resume")
    return proceed(world, Process(step, event, name))


def proceed(world: World, process: Process | None) -> World:
    return world._replace(processes=with_(world.processes, process)) if process else world


def lose(world: World, what: str) -> World:
    return world._replace(lost=tuple(sorted((*world.lost, what))))


def without[Value](values: tuple[Value, ...], one: Value) -> tuple[Value, ...]:
    at = values.index(one)
    return values[:at] + values[at + 1 :]


def with_[Value](values: tuple[Value, ...], one: Value) -> tuple[Value, ...]:
    return tuple(sorted((*values, one)))


def describe(event: Event) -> str:
    if event.abandoned:
        return f"{event.kind} {event.sequencer} for ({event.abandoned[0]})"
    if event.decision:
        return f"{event.decision} {event.sequencer}"
    return f"{event.kind} {event.execution or event.sequencer}"


# ------------------------------------------------------------------------------------------------------------ the index


def of_the_index(history: History, world: World) -> Iterator[tuple[str, World]]:
    """What the index function may do next."""
    invocation = world.indexing
    if invocation is None:
        for size in sorted({1, len(world.stream)} if world.stream else ()):
            states = [_as_indexed(state) for change in world.stream[:size] for state in change if state]
            wanted, unwanted = lists.changes(states, _as_indexed(world.record) if world.record else None)
            yield (
                f"the index function reads the record for {size} changes",
                world._replace(indexing=Invocation(size, frozenset(wanted), frozenset(unwanted))),
            )
        return
    written = _without_places(world.index, invocation.wanted) | invocation.wanted
    idle = world._replace(indexing=None)
    done = idle._replace(index=_without_places(written, invocation.unwanted))
    yield "the index function ends", done._replace(stream=world.stream[invocation.changes :])
    if world.lost.count("index") < history.index_faults:
        yield "the index function fails before it writes", lose(idle, "index")
        yield "the index function fails in between", lose(idle._replace(index=written), "index")
        yield "the index function ends, and is given the same changes again", lose(done, "index")


def _as_indexed(record: Record) -> dict:
    """A record as far as lists depend on it."""
    labels = [{"Name": "even" if record.sequencer % 20 else "odd", "Confidence": 90}]
    return {
        "ImageKey": "key",
        "Status": record.status,
        "ReceivedAt": _text(record.sequencer // 10),
        **({"Labels": labels} if record.status == "COMPLETED" else {}),
        **({"AnnouncedAt": "now"} if record.announced else {}),
    }


def _without_places(index: frozenset[lists.Entry], entries: frozenset[lists.Entry]) -> frozenset[lists.Entry]:
    places = {(entry.list_name, entry.position) for entry in entries}
    return frozenset(entry for entry in index if (entry.list_name, entry.position) not in places)


# ------------------------------------------------------------------------------------------ ImagePipeline, step by step


def current(world: World) -> Version | None:
    """What GetObject and HeadObject find."""
    return world.versions[-1] if world.versions and not world.versions[-1].marker else None


def holds_key(world: World, process: Process, condition: str, **values: object) -> bool:
    return holds(
        condition, world.record, **{"execution": process.execution, "sequencer": process.event.sequencer} | values
    )


def version_prefix(sequencer: int, execution: str) -> str:
    return f"{sequencer:04}-{execution}/"


def register(world: World, process: Process) -> tuple[World, Process]:
    entry = (process.execution, process.run, process.event)
    return world._replace(registered=world.registered | {entry}), process._replace(step="begin")


def forget(world: World, process: Process) -> tuple[World, None]:
    entry = (process.execution, process.run, Event(*(process.origin or process.event)))
    return world._replace(registered=world.registered - {entry}), None


def begin(world: World, process: Process) -> tuple[World, Process | None]:
    if not holds_key(world, process, ordering.MAY_BEGIN):
        return world, process._replace(step="take over")
    event = process.event
    record = Record("PROCESSING", event.sequencer, event.version, process.execution, content=event.content, at=event.at)
    return world._replace(record=record), process._replace(step="validate")


def take_over(world: World, process: Process) -> tuple[World, Process | None]:
    decision = process.event.decision
    abandoned, earlier, earliest = (*process.event.abandoned, "none", "none", "none")[:3]
    values = {"abandoned": abandoned, "earlier": earlier, "earliest": earliest}
    if not holds_key(world, process, ordering.MAY_TAKE_OVER, **values, decidable="HELD" if decision else "none"):
        return world, remove(process)
    # What is announced is what the record describes, which may be another version than that of the abandoned event.
    found, origin = world.record, process.origin or process.event
    event = process.event._replace(sequencer=found.sequencer, version=found.version)
    taken = process._replace(step="announce", event=event, outcome=found.status, origin=origin)
    if found.status == "PROCESSING" and process.event.unfinished:
        again = Event("created", found.sequencer, found.version, found.content, found.at)
        taken = process._replace(step="begin", event=again, origin=origin)
    elif found.status == "PROCESSING":
        taken = fail(taken)
    if world.record.status == "HELD" and decision == "release":
        taken = taken._replace(step="store", then="released", seen=tuple(sorted(world.record.renditions)))
    if world.record.status == "HELD" and decision == "reject":
        taken = fail(taken, "REJECTED")
    return world._replace(record=world.record._replace(execution=process.execution)), taken


def read_upload(world: World, process: Process, then: str) -> tuple[World, Process]:
    found, event = current(world), process.event
    if found is None or (found.id, found.content) != (event.version, event.content):
        return world, process._replace(step="discard")
    if found.content.startswith("bad"):
        return world, fail(process, "REJECTED")
    return world, process._replace(step=then)


def validate(world: World, process: Process) -> tuple[World, Process]:
    if process.event.content.startswith("folder"):
        return world, process._replace(step="discard")
    return read_upload(world, process, "render")


def render(world: World, process: Process) -> tuple[World, Process]:
    return read_upload(world, process, "write")


def write(world: World, process: Process) -> tuple[World, Process | None]:
    written = frozenset({f"{version_prefix(process.event.sequencer, process.execution)}small.jpg"})
    return world._replace(renditions=world.renditions | written), after_function(
        process, process._replace(step="store")
    )


def store(world: World, process: Process) -> tuple[World, Process | None]:
    if not holds_key(world, process, ordering.MAY_COMPLETE):
        return world, after_function(process, remove(process))
    event, released = process.event, process.then == "released"
    named = frozenset(process.seen if released else {f"{version_prefix(event.sequencer, process.execution)}small.jpg"})
    status = "HELD" if event.content.startswith("flagged") and not released else "COMPLETED"
    begun = world.record
    record = Record(status, event.sequencer, event.version, process.execution, False, named, begun.content, begun.at)
    return world._replace(record=record), process._replace(step="list", then="confirm", outcome=status, seen=())


def confirm(world: World, process: Process) -> tuple[World, Process | None]:
    owner = holds_key(world, process, ordering.OWNS_RECORD)
    return world, after_function(process, process._replace(step="announce") if owner else remove(process))


def fail(process: Process, status: str = "FAILED") -> Process:
    return process._replace(step="record failure", outcome=status, then="", seen=())


def record_failure(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_FAIL):
        return world, remove(process, "fail" if process.outcome == "FAILED" else "")
    record = world.record._replace(status=process.outcome, renditions=frozenset())
    return world._replace(record=record), process._replace(step="announce")


def announce(world: World, process: Process) -> tuple[World, Process | None]:
    event = process.event
    said = (event.sequencer, event.version, process.outcome)
    last = process.outcome in ("COMPLETED", "HELD")
    following = None if last else process._replace(step="mark announced")
    return world._replace(announced=(*world.announced, said)), following


def mark_announced(world: World, process: Process) -> tuple[World, Process]:
    if holds_key(world, process, ordering.OWNS_RECORD):
        world = world._replace(record=world.record._replace(announced=True))
    return world, remove(process, "fail" if process.outcome == "FAILED" else "")


def discard(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_DISCARD):
        return world, remove(process)
    return world._replace(record=None), process._replace(step="locate", then="removed")


# ----- removing renditions, from four places


def remove(process: Process, then: str = "") -> Process:
    return process._replace(step="list", then=then, seen=())


def list_renditions(world: World, process: Process) -> tuple[World, Process | None]:
    if not world.renditions:
        return world, after_removal(process)
    return world, process._replace(step="look", seen=tuple(sorted(world.renditions)))


def look(world: World, process: Process) -> tuple[World, Process | None]:
    record = world.record
    prefix = version_prefix(record.sequencer, record.execution) if record else ""
    unneeded = ordering.unneeded(list(process.seen), as_read(record), prefix)
    if not unneeded:
        return world, after_removal(process)
    return world, process._replace(step="sweep", seen=tuple(unneeded))


def sweep(world: World, process: Process) -> tuple[World, Process | None]:
    return world._replace(renditions=world.renditions - set(process.seen)), after_removal(process)


def after_removal(process: Process) -> Process | None:
    """The store function checks ownership once more; elsewhere a removal is a function's last step."""
    following = process._replace(step=process.then, seen=()) if process.then else None
    return following if process.then == "confirm" else after_function(process, following)


def after_function(process: Process, following: Process | None) -> Process | None:
    """What follows a function's last step: nothing, if nobody waits for its answer."""
    return None if process.orphan else following


def as_read(record: Record | None) -> dict | None:
    """A record as `records.find` returns it, as far as the rules use it."""
    if record is None:
        return None
    named = {str(number): {"Key": key} for number, key in enumerate(record.renditions)}
    return {"Status": record.status, "VersionId": record.version, "Renditions": named}


# ----- what the key holds now, in both state machines


def locate(world: World, process: Process) -> tuple[World, Process]:
    found = current(world)
    if found and found.content.startswith("folder"):
        found = None
    # Processes are sorted, and a tuple compares with a Version, which None does not.
    return world, process._replace(step="judge", seen=(found or (), tuple(version.id for version in world.versions)))


def judge(world: World, process: Process) -> tuple[World, Process]:
    found, listed = process.seen
    answer = {"VersionId": found.id, "LastModified": EPOCH + timedelta(seconds=found.at)} if found else None
    event = process.event
    action = ordering.resolve_current_version(
        answer, listed, as_read(world.record), event.version, EPOCH + timedelta(seconds=event.at)
    )
    match action:
        case ordering.Action.REMOVE if process.then != "removed":
            return world, process._replace(step="remove record", seen=())
        case ordering.Action.PROCESS if (
            event.kind == "created" or process.then == "removed" or found.id != event.version
        ):
            return world, process._replace(step="process current")
    return world, remove(process)


def process_current(history: History, world: World, process: Process) -> tuple[World, Process | None]:
    found, _ = process.seen
    event = Event("created", process.event.sequencer + 1, found.id, found.content, process.event.at)
    if process.event.kind == "created":
        origin = process.origin or process.event
        return world, Process("begin", event, process.execution, origin=origin, run=process.run)
    return deliver(history, world, world.pending, event), remove(process)


# ------------------------------------------------------------------------------------------- Housekeeping, step by step


def remove_record(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_REMOVE, abandoned=process.event.execution or "none"):
        return world, remove(process)
    return world._replace(record=None), process._replace(step="locate", then="removed")


def resume(history: History, world: World, process: Process) -> tuple[World, Process]:
    """Start an execution in place of one that ended early."""
    event = process.event
    waiting = process._replace(step="wait for stragglers")
    unfinished = event.kind == "timed out"
    if event.resumptions >= (MAX_EXPRESS_RESUMPTIONS if unfinished else MAX_RESUMPTIONS):
        return world, waiting
    resumption = event._replace(
        kind="created",
        execution="",
        abandoned=(event.execution, *event.abandoned)[:3],
        resumptions=event.resumptions + 1,
        unfinished=unfinished,
    )
    return deliver(history, world, world.pending, resumption), waiting


def wait_for_stragglers(world: World, process: Process) -> tuple[World, Process]:
    return world, process._replace(step="locate", then="")


STEPS = {
    "begin": begin,
    "take over": take_over,
    "validate": validate,
    "render": render,
    "write": write,
    "store": store,
    "confirm": confirm,
    "record failure": record_failure,
    "announce": announce,
    "register": register,
    "forget": forget,
    "mark announced": mark_announced,
    "fail": None,  # see `make`
    "discard": discard,
    "list": list_renditions,
    "look": look,
    "sweep": sweep,
    "locate": locate,
    "judge": judge,
    "process current": process_current,
    "remove record": remove_record,
    "resume": resume,
    "wait for stragglers": wait_for_stragglers,
}
# Repeating these must be harmless. An announcement is not among them: one that SNS accepted without saying so is sent
# again.
REPEATABLE = STEPS.keys() - {"announce"}
# Steps whose failing fails the image. Those of a removal do so within the store function alone.
REMOVAL = ("list", "look", "sweep", "confirm")
FAILURES = ("validate", "render", "write", "store", *REMOVAL)


# ------------------------------------------------------------------------------------------------------------ invariant


def problems(history: History, world: World) -> list[str]:
    """What is wrong with a state after which nothing more would happen."""
    expected = lists.entries(_as_indexed(world.record)) if world.record and history.indexed else set()
    wrong = ["the index and the record disagree"] if world.index != expected else []
    return wrong + problems_of_the_pipeline(history, world)


def problems_of_the_pipeline(history: History, world: World) -> list[str]:
    newest, record = current(world), world.record
    if newest is None or newest.content.startswith("folder"):
        wrong = ["a deleted object has a record"] if record else []
        return wrong + (["a deleted object has renditions"] if world.renditions else [])
    if record is None:
        return ["the newest object has no record"]
    wrong = []
    if record.version != newest.id:
        wrong.append("the record is of another version")
    if record.status not in TERMINAL:
        wrong.append(f"the record stays {record.status}")
    announced = [outcome for sequencer, _, outcome in world.announced if sequencer == record.sequencer]
    # Again for a version that was restored, and after an execution that ended between announcing a failure and marking
    # it announced, because Housekeeping cannot know whether it announced it.
    restored = history.operations.count("restore") + history.operations.count("undo")
    # A decision is announced as well. One that was made at once may overtake the announcement that it was awaited.
    most = 1 + restored + world.lost.count("mark") + len(world.decisions) + world.lost.count("restart")
    last = announced if world.decisions and history.hasty else announced[-1:]
    if record.status not in last or len(announced) > most:
        wrong.append(f"the newest is {record.status} and was announced as {announced}")
    # A version that was never restored has one event, whatever else made it be processed.
    of_version = [outcome for _, version, outcome in world.announced if version == record.version != "null"]
    if len(of_version) > most and not restored:
        wrong.append(f"the newest version was announced as {of_version}")
    if world.renditions != record.renditions:
        wrong.append("renditions and record disagree")
    if newest.content.startswith("flagged") and record.status == "COMPLETED":
        released = {content for decision, _, content in world.decisions if decision == "release"}
        if newest.content not in released:
            wrong.append("a flagged image was shown that nobody released")
    # After a deletion that was undone, the image is held once more, and another decision is awaited.
    if record.status == "HELD" and not restored and any(of == record.sequencer for _, of, _ in world.decisions):
        wrong.append("a decision was lost")
    return wrong


def late(world: World) -> bool:
    """Whether an object was announced after a newer one."""
    order = [sequencer for sequencer, *_ in world.announced]
    return order != sorted(order)


class Explored(NamedTuple):
    """The outcome of a search."""

    worlds: int
    problems: list[str]
    story: list[str]  # how to get there, shortest first


def explore(history: History, in_order: bool = False, most: int = 10**6) -> Explored:
    """Search every state that a history can lead to until one is wrong, or `most` states were seen.

    With `in_order`, an object that is announced after a newer one is wrong, too.
    """
    start = World()
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        world = waiting.popleft()
        ended = True
        for sentence, after in successors(history, world):
            ended = False
            if after not in came_from:
                came_from[after] = (world, sentence)
                waiting.append(after)
        wrong = problems(history, world) if ended else []
        if in_order and late(world):
            wrong.append("an object was announced after a newer one")
        if wrong:
            return Explored(len(came_from), wrong, story(came_from, world))
        if len(came_from) > most:
            break
    return Explored(len(came_from), [], [])


def story(came_from: dict, world: World) -> list[str]:
    sentences = []
    while came_from[world]:
        world, sentence = came_from[world]
        sentences.append(sentence)
    return sentences[::-1]
