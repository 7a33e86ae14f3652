"""A model of one key: S3, its events, the table, the thumbnails bucket, and executions of both state machines.

A `World` is one moment. `successors` has every moment that may come next: the user acts, an event is delivered, an
execution makes its next step, or something goes wrong. Steps are as large as what AWS does at once: one write, one
read, one listing. What decides is the real thing: the condition expressions of `imagepipeline.ordering`, evaluated by
moto's DynamoDB, and its functions, called as they are.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from imagepipeline import ordering

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
TERMINAL = ("COMPLETED", "REJECTED", "FAILED")

# Steps of Lambda functions, which go on when the execution that called them has ended.
WITHIN_A_FUNCTION = ("write", "store", "list", "look", "sweep")


class Version(NamedTuple):
    """One object under the key."""

    id: str  # "null" without versioning
    content: str  # "bad…" for no image; equal contents have equal ETags
    at: int  # seconds; S3 counts no finer
    marker: bool = False  # a delete marker


class Record(NamedTuple):
    """What the rules look at of an item."""

    status: str
    sequencer: int
    version: str
    execution: str
    announced: bool = False
    renditions: frozenset[str] = frozenset()


class Event(NamedTuple):
    """What EventBridge delivers: of an object, or of an execution that ended early."""

    kind: str  # "created" or "deleted", or of an execution: "failed" or "aborted"
    sequencer: int
    version: str
    content: str
    at: int
    execution: str = ""  # the one that ended


class Process(NamedTuple):
    """An execution, or a function that outlives it, about to make a step."""

    step: str
    event: Event
    execution: str  # named for its event, so that worlds are equal in whatever order executions were started
    then: str = ""  # where the removal of renditions leads
    telling: str = ""  # the outcome to announce
    seen: tuple = ()  # what an earlier step read
    orphan: bool = False  # a function whose execution has ended


class World(NamedTuple):
    """One moment."""

    versions: tuple[Version, ...] = ()  # oldest first
    record: Record | None = None
    renditions: frozenset[str] = frozenset()
    pending: tuple[Event, ...] = ()  # sorted
    processes: tuple[Process, ...] = ()  # sorted
    told: tuple[tuple[int, str, str], ...] = ()  # sequencer, version and outcome of each announcement, in order
    acted: int = 0  # how many of the history's operations have happened
    started: tuple[str, ...] = ()  # names of executions so far, sorted
    lost: tuple[str, ...] = ()  # what went wrong so far


@dataclass(frozen=True)
class History:
    """What the user does, and how much may go wrong."""

    operations: tuple[str, ...]  # "good", "bad", "same" (bytes as before), "delete", "restore", "undo"
    versioned: bool = False
    duplicates: int = 0  # events that are delivered twice
    aborts: int = 0
    failures: int = 0  # steps that fail for good
    repeats: int = 0  # steps whose answer is lost, so that they are made twice
    same_second: bool = False  # whether operations follow one another within a second
    hasty: bool = True  # whether anything may come between an execution's last look at the record and its message


@cache
def holds(condition: str, record: Record | None, **values: object) -> bool:
    """What DynamoDB makes of a condition."""
    typed = {f":{name}": {"S": _text(value)} for name, value in values.items()} | {":completed": {"S": "COMPLETED"}}
    names = {"#status": "Status"} if "#status" in condition else None
    expression = get_filter_expression(condition, names, {n: v for n, v in typed.items() if n in condition})
    return bool(expression.expr(Item(DynamoType({"S": "key"}), None, item(record))))


def item(record: Record | None) -> dict:
    """A record as the table has it, without what no rule looks at."""
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
    """Every next moment, with a sentence about what happened."""
    if world.acted < len(history.operations):
        yield act(history, world)
    for event in sorted(set(world.pending)):
        yield f"event {describe(event)} is delivered", deliver(world, without(world.pending, event), event)
        if world.lost.count("duplicate") < history.duplicates:
            yield (
                f"event {describe(event)} is delivered, and will be again",
                deliver(lose(world, "duplicate"), world.pending, event),
            )
    for process in sorted(set(world.processes)):
        yield from progress(history, world, process)


def progress(history: History, world: World, process: Process) -> Iterator[tuple[str, World]]:
    """What may become of one execution, or of one function that outlived its execution."""
    others = world._replace(processes=without(world.processes, process))
    name = f"{'the rest of ' if process.orphan else ''}execution of {process.execution}"
    if process.step == "stragglers" and any(p.orphan for p in others.processes):
        return
    after, moved = STEPS[process.step](others, process)
    if moved and moved.step == "tell" and not history.hasty:
        yield f"{name}: {process.step}, tell", proceed(*tell(after, moved))
    else:
        yield f"{name}: {process.step}", proceed(after, moved)
    if process.orphan:
        return
    in_pipeline = process.event.kind == "created"
    if in_pipeline and world.lost.count("abort") < history.aborts:
        aborted = lose(end(others, process, "aborted"), "abort")
        if process.step == "note":
            aborted = lose(aborted, "note")
        yield f"{name} is aborted before {process.step}", aborted
        if process.step in WITHIN_A_FUNCTION:
            yield f"{name} is aborted within {process.step}", proceed(aborted, process._replace(orphan=True))
    if (
        process.step in FAILURES
        or (in_pipeline and process.then == "confirm" and process.step in ("list", "look", "sweep", "confirm"))
    ) and world.lost.count("failure") < history.failures:
        yield f"{name} fails before {process.step}", proceed(lose(others, "failure"), fail(process))
    if process.step in REPEATABLE and world.lost.count("repeat") < history.repeats:
        yield f"{name}: {process.step}, and again", proceed(lose(after, "repeat"), process)


def end(world: World, process: Process, how: str) -> World:
    """An execution ends otherwise than by succeeding, which EventBridge tells."""
    event = process.event._replace(kind=how, execution=process.execution)
    return world._replace(pending=with_(world.pending, event))


def act(history: History, world: World) -> tuple[str, World]:
    """The user's next operation, and the event that S3 makes of it."""
    operation, number = history.operations[world.acted], world.acted + 1
    at, sequencer = 0 if history.same_second else number, 10 * number
    versioned = history.versioned or "enable" in history.operations[: world.acted]
    versions, newest = world.versions, world.versions[-1] if world.versions else None
    after = world._replace(acted=number)
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


def content_of(operations: tuple[str, ...]) -> str:
    """What the last of these operations uploads."""
    number = max(number for number, operation in enumerate(operations, 1) if operation in ("good", "bad"))
    return f"{operations[number - 1]}{number}"


def deliver(world: World, pending: tuple[Event, ...], event: Event) -> World:
    delivered = sum(name.rpartition("#")[0] == describe(event) for name in world.started)
    name = f"{describe(event)}#{delivered + 1}"
    step = {"created": "begin", "deleted": "resolve_current_version"}.get(event.kind, "take over")
    return proceed(world._replace(pending=pending, started=with_(world.started, name)), Process(step, event, name))


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
    return f"{event.kind} {event.execution or event.sequencer}"


# ---------------------------------------------------------------------------------------- steps, as the ASL orders them


def current(world: World) -> Version | None:
    """What GetObject and HeadObject find."""
    return world.versions[-1] if world.versions and not world.versions[-1].marker else None


def holds_key(world: World, process: Process, condition: str, **values: object) -> bool:
    return holds(
        condition, world.record, **{"execution": process.execution, "sequencer": process.event.sequencer} | values
    )


def key_prefix(sequencer: int) -> str:
    return f"{sequencer:04}/"


def begin(world: World, process: Process) -> tuple[World, Process | None]:
    if not holds_key(world, process, ordering.MAY_BEGIN):
        return world, None
    event = process.event
    record = Record("PROCESSING", event.sequencer, event.version, process.execution)
    return world._replace(record=record), process._replace(step="validate")


def read_upload(world: World, process: Process, then: str) -> tuple[World, Process]:
    found, event = current(world), process.event
    if found is None or (found.id, found.content) != (event.version, event.content):
        return world, process._replace(step="forget")
    if found.content.startswith("bad"):
        return world, process._replace(step="reject")
    return world, process._replace(step=then)


def validate(world: World, process: Process) -> tuple[World, Process]:
    return read_upload(world, process, "render")


def render(world: World, process: Process) -> tuple[World, Process]:
    return read_upload(world, process, "write")


def write(world: World, process: Process) -> tuple[World, Process | None]:
    written = frozenset({f"{key_prefix(process.event.sequencer)}small.jpg"})
    return world._replace(renditions=world.renditions | written), after_function(
        process, process._replace(step="store")
    )


def store(world: World, process: Process) -> tuple[World, Process | None]:
    if not holds_key(world, process, ordering.MAY_FINISH):
        return world, after_function(process, remove(process))
    event = process.event
    named = frozenset({f"{key_prefix(event.sequencer)}small.jpg"})
    record = Record("COMPLETED", event.sequencer, event.version, process.execution, renditions=named)
    return world._replace(record=record), process._replace(step="list", then="confirm", telling="COMPLETED")


def confirm(world: World, process: Process) -> tuple[World, Process | None]:
    newest = holds_key(world, process, ordering.MAY_FINISH)
    return world, after_function(process, process._replace(step="tell") if newest else remove(process))


def reject(world: World, process: Process) -> tuple[World, Process]:
    return finish_badly(world, process, "REJECTED", remove(process))


def record_failure(world: World, process: Process) -> tuple[World, Process | None]:
    if not holds_key(world, process, ordering.MAY_FAIL):
        return end(world, process, "failed"), None
    return finish_badly(world, process, "FAILED", None)


def finish_badly(
    world: World, process: Process, status: str, overtaken: Process | None
) -> tuple[World, Process | None]:
    if not holds_key(world, process, ordering.MAY_FAIL):
        return world, overtaken
    record = world.record._replace(status=status, renditions=frozenset())
    return world._replace(record=record), process._replace(step="tell", telling=status)


def forget(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_DISCARD):
        return world, remove(process)
    return world._replace(record=None), process._replace(step="resolve_current_version", then="removed")


def tell(world: World, process: Process) -> tuple[World, Process]:
    event = process.event
    told = (event.sequencer, event.version, process.telling)
    return world._replace(told=(*world.told, told)), process._replace(step="note")


def note(world: World, process: Process) -> tuple[World, Process | None]:
    noted = world.record
    if holds_key(world, process, ordering.MAY_FINISH):
        noted = noted._replace(announced=True)
    world = world._replace(record=noted)
    if process.event.kind != "created":
        return world, process._replace(step="stragglers")
    if process.telling == "COMPLETED":
        return world, None
    return world, process._replace(step="list", then="end")


def end_badly(world: World, process: Process) -> tuple[World, None]:
    return (end(world, process, "failed") if process.telling == "FAILED" else world), None


# ----- removing renditions, from three places


def remove(process: Process) -> Process:
    return process._replace(step="list", then="")


def list_renditions(world: World, process: Process) -> tuple[World, Process | None]:
    if not world.renditions:
        return world, after_removal(process)
    return world, process._replace(step="look", seen=tuple(sorted(world.renditions)))


def look(world: World, process: Process) -> tuple[World, Process | None]:
    record = world.record
    prefix = key_prefix(record.sequencer) if record else ""
    unneeded = ordering.unneeded(list(process.seen), as_read(record), prefix)
    if not unneeded:
        return world, after_removal(process)
    return world, process._replace(step="sweep", seen=tuple(unneeded))


def sweep(world: World, process: Process) -> tuple[World, Process | None]:
    return world._replace(renditions=world.renditions - set(process.seen)), after_removal(process)


def after_removal(process: Process) -> Process | None:
    """The store function has one more look at the record; other removals are a function's last step."""
    following = process._replace(step=process.then, seen=()) if process.then else None
    return following if process.then == "confirm" else after_function(process, following)


def after_function(process: Process, following: Process | None) -> Process | None:
    """What follows a function's last step: nothing, if nobody waits for its answer."""
    return None if process.orphan else following


def as_read(record: Record | None) -> dict | None:
    """A record as `records.find` returns it, as far as the rules look at it."""
    if record is None:
        return None
    named = {str(number): {"Key": key} for number, key in enumerate(record.renditions)}
    return {"Status": record.status, "VersionId": record.version, "Renditions": named}


# ----- Housekeeping: a deletion


def resolve_current_version(world: World, process: Process) -> tuple[World, Process]:
    return world, process._replace(step="judge", seen=(current(world),))


def judge(world: World, process: Process) -> tuple[World, Process]:
    (found,) = process.seen
    answer = found and {"VersionId": found.id, "LastModified": EPOCH + timedelta(seconds=found.at)}
    event = process.event
    todo = ordering.resolve_current_version(
        answer, as_read(world.record), event.version, EPOCH + timedelta(seconds=event.at)
    )
    match todo:
        case "REMOVE" if process.then != "removed":
            return world, process._replace(step="remove record", seen=())
        case "PROCESS":
            return world, process._replace(step="process current")
    return world, remove(process)


def remove_record(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_REMOVE):
        return world, remove(process)
    return world._replace(record=None), process._replace(step="resolve_current_version", then="removed")


def process_current(world: World, process: Process) -> tuple[World, Process | None]:
    (found,) = process.seen
    event = Event("created", process.event.sequencer + 1, found.id, found.content, process.event.at)
    if process.event.kind == "created":
        return world, Process("begin", event, process.execution)
    return deliver(world, world.pending, event), remove(process)


# ----- Housekeeping: an execution that ended early


def take_over(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_TAKE_OVER, abandoned=process.event.execution):
        return world, process._replace(step="begin again" if process.event.kind == "aborted" else "stragglers")
    taken = process._replace(telling=world.record.status, then="stragglers")
    step = "fail taken" if world.record.status == "PROCESSING" else "tell"
    return world._replace(record=world.record._replace(execution=process.execution)), taken._replace(step=step)


def begin_again(world: World, process: Process) -> tuple[World, Process]:
    again = process.event._replace(kind="created", execution="")
    return deliver(world, world.pending, again), process._replace(step="stragglers")


def fail_taken(world: World, process: Process) -> tuple[World, Process]:
    if not holds_key(world, process, ordering.MAY_FAIL):
        return world, process._replace(step="stragglers")
    record = world.record._replace(status="FAILED")
    return world._replace(record=record), process._replace(step="tell", telling="FAILED")


def let_stragglers_end(world: World, process: Process) -> tuple[World, Process]:
    return world, process._replace(step="resolve_current_version", then="")


STEPS = {
    "begin": begin,
    "validate": validate,
    "render": render,
    "write": write,
    "store": store,
    "confirm": confirm,
    "reject": reject,
    "fail": record_failure,
    "forget": forget,
    "tell": tell,
    "note": note,
    "end": end_badly,
    "list": list_renditions,
    "look": look,
    "sweep": sweep,
    "resolve_current_version": resolve_current_version,
    "judge": judge,
    "remove record": remove_record,
    "process current": process_current,
    "take over": take_over,
    "begin again": begin_again,
    "fail taken": fail_taken,
    "stragglers": let_stragglers_end,
}
# Once more has to be harmless. Not among them: a message that SNS took without saying so is sent again.
REPEATABLE = STEPS.keys() - {"tell"}
# What fails the image when it fails for good.
FAILURES = ("validate", "render", "write", "store")


def fail(process: Process) -> Process:
    return process._replace(step="fail")


# ------------------------------------------------------------------------------------------------------------ invariant


def problems(history: History, world: World) -> list[str]:
    """What is wrong with a moment after which nothing more would happen."""
    newest, record = current(world), world.record
    if newest is None:
        wrong = ["a deleted object has a record"] if record else []
        return wrong + (["a deleted object has renditions"] if world.renditions else [])
    if record is None:
        return ["the newest object has no record"]
    wrong = []
    if record.version != newest.id:
        wrong.append("the record is of another version")
    if record.status not in TERMINAL:
        wrong.append(f"the record stays {record.status}")
    told = [outcome for sequencer, _, outcome in world.told if sequencer == record.sequencer]
    # Again for a version that was brought back, and after an execution that ended between telling and noting it, of
    # which Housekeeping can't know whether it told.
    most = 1 + history.operations.count("restore") + history.operations.count("undo") + world.lost.count("note")
    if told[-1:] != [record.status] or len(told) > most:
        wrong.append(f"the newest is {record.status} and was announced as {told}")
    if world.renditions != record.renditions:
        wrong.append("renditions and record disagree")
    return wrong


def late(world: World) -> bool:
    """Whether an object was announced after a newer one."""
    order = [sequencer for sequencer, *_ in world.told]
    return order != sorted(order)


class Explored(NamedTuple):
    """The outcome of a search."""

    worlds: int
    problems: list[str]
    story: list[str]  # how to get there, shortest first


def explore(history: History, in_order: bool = False, most: int = 10**6) -> Explored:
    """Every moment that a history can come to, until one is wrong. Stops at `most`.

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
