"""Remove every condition, catch, retry and choice, one at a time, and name the test that fails.

    python -m tests.mutations                 all of them, about half an hour
    python -m tests.mutations StoreResult     those whose name contains this

Prints a Markdown table. Ends with 1 if anything could be taken out unnoticed. The repository itself is left alone: each
mutation is made in a copy.
"""

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
MACHINES = ("image_pipeline", "housekeeping")
LAYER = "layers/pipeline/src/imagepipeline/"
ORDER = f"{LAYER}ordering.py"
RECORDS = f"{LAYER}records.py"
KEYS = f"{LAYER}keys.py"
OBJECTS = f"{LAYER}objects.py"
REPROCESSING = f"{LAYER}reprocessing.py"
CLEANUP = f"{LAYER}cleanup.py"
LISTS = f"{LAYER}lists.py"
ANALYSIS = f"{LAYER}analysis.py"
QUARANTINE = f"{LAYER}quarantine.py"
DISCLOSURE = f"{LAYER}disclosure.py"
INDEX = f"{LAYER}api/index.py"
EXECUTIONS = f"{LAYER}executions.py"
SWEEP = f"{LAYER}sweep.py"
STORE = "functions/store/app.py"
READ_IMAGES = "functions/read_images/app.py"
STATUS = "functions/status/app.py"

# Conditions in Python: the file, what is taken out, what stays.
BEGIN = 'MAY_BEGIN = (\n    "attribute_not_exists(ImageKey) OR'
IN_PYTHON = [
    (ORDER, f"{BEGIN} Sequencer < :sequencer OR ", f"{BEGIN} "),
    (ORDER, " OR (ExecutionArn = :execution AND #status = :processing)", ""),
    (ORDER, "(ExecutionArn = :execution AND #status = :processing)", "ExecutionArn = :execution"),
    (ORDER, f"{BEGIN} Sequencer < :sequencer OR", f"{BEGIN} Sequencer <= :sequencer OR"),
    (ORDER, "IN (:abandoned, :earlier, :earliest)", "= :abandoned"),
    (ORDER, 'MAY_FAIL = "ExecutionArn = :execution AND #status <> :completed', 'MAY_FAIL = "ExecutionArn = :execution'),
    (ORDER, "ExecutionArn = :execution AND #status <> :failed", "ExecutionArn = :execution"),
    (ORDER, 'MAY_DISCARD = "attribute_not_exists(ImageKey) OR ', 'MAY_DISCARD = "'),
    (ORDER, "Sequencer <= :sequencer OR ExecutionArn = :abandoned", "ExecutionArn = :abandoned"),
    (ORDER, "Sequencer <= :sequencer OR ExecutionArn = :abandoned", "Sequencer <= :sequencer"),
    (ORDER, ":earliest) AND attribute_not_exists(AnnouncedAt)", ":earliest)"),
    (ORDER, ':sequencer) OR ExecutionArn = :execution"\n)', ':sequencer)"\n)'),
    (ORDER, "(#status = :decidable AND Sequencer = :sequencer) OR ", ""),
    (ORDER, "#status = :decidable AND Sequencer = :sequencer", "#status = :decidable"),
    (ORDER, "#status = :decidable AND Sequencer = :sequencer", "Sequencer = :sequencer"),
    (ORDER, "    if current is None:", "    if False:"),
    (ORDER, 'if version_id in listed and version_id != current["VersionId"]:', "if False:"),
    (ORDER, 'current["VersionId"] == version_id == "null" or ', ""),
    (ORDER, ' or current["LastModified"] > event_time', ""),
    (ORDER, 'if record is not None and record["VersionId"]', 'if False and record["VersionId"]'),
    (ORDER, 'if record["Status"] == "PROCESSING"', "if False"),
    (
        RECORDS,
        "ConditionExpression=MAY_COMPLETE,",
        'ConditionExpression=f"{MAY_COMPLETE} OR attribute_exists(ImageKey)",',
    ),
    (RECORDS, ' or record["ExecutionArn"] != execution.arn', ""),
    (RECORDS, "ConsistentRead=True", "ConsistentRead=False"),
    (KEYS, "size == 0 and ", ""),
    (REPROCESSING, 'if record["Status"] == "PROCESSING":', "if False:"),
    (REPROCESSING, "if run and belongs_to(run, record):", "if False:"),
    (REPROCESSING, 'Decision.PROCESS if record["Status"] == "FAILED" else Decision.DONE', "Decision.DONE"),
    (REPROCESSING, 'just_after(record["Sequencer"])', 'record["Sequencer"]'),
    (REPROCESSING, "before_every_event(modified)", '"F" * 64'),
    (KEYS, "{sequencer.rstrip('0') or '0'}-{execution}/", "{sequencer.rstrip('0') or '0'}/"),
    (OBJECTS, ', "IfMatch": f\'"{upload.etag}"\'', ""),
    (OBJECTS, 'if answer.get("VersionId", "null") != self._version_id:', "if False:"),
    (OBJECTS, ' or is_folder_marker(key, current["Size"])', ""),
    (OBJECTS, 'case "NoSuchKey" | "404":', 'case "no code":'),
    (OBJECTS, 'case "PreconditionFailed" | "412":', 'case "no code":'),
    (OBJECTS, 'if failed := answer.get("Errors"):', "if failed := []:"),
    (RECORDS, '"ConsistentRead": True', '"ConsistentRead": False'),
    (LISTS, 'return "AnnouncedAt" not in record', "return False"),
    (LISTS, 'name.endswith("Error")', 'name == "LabelsError"'),
    (LISTS, "for state in earlier for entry in entries(state)", "for state in () for entry in entries(state)"),
    (LISTS, " if place not in places", ""),
    (INDEX, 'record and record["ReceivedAt"] == position.received_at and listing.shows(record)', "record"),
    (QUARANTINE, "if not MODERATION.is_answered(description):", 'if "ModerationLabels" not in description:'),
    (QUARANTINE, "if not MODERATION.is_answered(description):", "if MODERATION.error in description:"),
    (QUARANTINE, "description.get(MODERATION.error) or ", ""),
    (QUARANTINE, "description.get(MODERATION.skipped) or ", ""),
    (ANALYSIS, " and self.error not in record", ""),
    (ANALYSIS, " and self.skipped not in record", ""),
    (QUARANTINE, "    if not labels:", "    if True:"),
    (QUARANTINE, "    if sequencer not in (None, record", "    if False and sequencer not in (None, record"),
    (QUARANTINE, '    if record["Status"] != HELD:\n        raise', "    if False:\n        raise"),
    (QUARANTINE, '    if record["Status"] != HELD:\n        return', "    if True:\n        return"),
    (QUARANTINE, 'decision.get("Action") == Action.RELEASE', "decision"),
    (QUARANTINE, ' or (record.get("ETag"), record.get("VersionId")) != (etag, version_id)', ""),
    (DISCLOSURE, 'if record["Status"] == HELD', "if False"),
    (STORE, 'if is_released(event["Event"]):', "if False:"),
    (STORE, 'config.choice("MODERATION", *MODES) == "quarantine" and ', ""),
    (READ_IMAGES, 'if record["Status"] == HELD:', "if False:"),
    (READ_IMAGES, "record = without_held_renditions(find(request.image_key()))", "record = find(request.image_key())"),
    (INDEX, "without_held_renditions(record)", "record"),
    (STATUS, "without_held_renditions if", "(lambda record: record) if"),
    (CLEANUP, "except ServiceUnavailable as error:", "except ZeroDivisionError as error:"),
    (EXECUTIONS, "self.resumptions >= STUCK_AFTER or ", ""),
    (EXECUTIONS, " or now - self.due(overdue_after) > PATIENCE", ""),
    (SWEEP, ' if record["Status"] == "PROCESSING"', ""),
    (SWEEP, "if not arn.startswith(", "if False and not arn.startswith("),
    (SWEEP, ' and now - execution["stopDate"] > PATIENCE', ""),
]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One thing taken out of one file."""

    name: str
    file: str  # relative to the repository
    text: str  # the whole file without it
    tests: tuple[str, ...]  # where somebody has to notice


def of_machine(machine: str) -> Iterator[Mutation]:
    """Each catch, each retry, each choice of several and each condition of a state machine."""
    file = f"statemachine/{machine}.asl.json"
    others = ("quarantine", "express") if machine == "image_pipeline" else ("express",)
    tests = tuple(f"tests/statemachine/test_{name}.py" for name in (machine, *others, "definitions"))
    original = (REPOSITORY / file).read_text()
    for name, state in json.loads(original)["States"].items():
        for kind in ("Catch", "Retry"):
            for place, rule in enumerate(state.get(kind, ())):
                mutated = json.loads(original)
                del mutated["States"][name][kind][place]
                yield Mutation(f"{machine}, {name}: {kind} {_errors(rule)}", file, json.dumps(mutated), tests)
        for place, rule in enumerate(state.get("Choices", ())):
            mutated = json.loads(original)
            del mutated["States"][name]["Choices"][place]
            if mutated["States"][name]["Choices"]:
                yield Mutation(f"{machine}, {name}: Choice {rule['Next']}", file, json.dumps(mutated), tests)
        if "ConditionExpression" in state.get("Arguments", {}):
            mutated = json.loads(original)
            _lift_condition(mutated["States"][name]["Arguments"])
            yield Mutation(f"{machine}, {name}: its condition", file, json.dumps(mutated), tests)


def _errors(rule: dict) -> str:
    first, *others = rule["ErrorEquals"]
    return f"{first}, …" if others else first


def _lift_condition(arguments: dict) -> None:
    """Without the condition, and without the values that only it used, which DynamoDB would refuse."""
    del arguments["ConditionExpression"]
    for place in ("ExpressionAttributeValues", "ExpressionAttributeNames"):
        used = {
            name: value
            for name, value in arguments.pop(place, {}).items()
            if name in arguments.get("UpdateExpression", "")
        }
        if used:
            arguments[place] = used


def in_python() -> Iterator[Mutation]:
    """Each condition of the modules that decide about order."""
    modules = ("records", "objects", "keys", "reprocessing")
    quick = (*(f"tests/unit/test_{module}.py" for module in modules), "tests/functions")
    # The state machines have some of the conditions again; the last tests compare them.
    tests = (*quick, "tests/unit/test_ordering.py", "tests/statemachine/test_definitions.py")
    for file, out, stays in IN_PYTHON:
        original = (REPOSITORY / file).read_text()
        if original.count(out) != 1:
            raise SystemExit(f"{file} has {original.count(out)} times {out!r}: bring IN_PYTHON up to date")
        change = " ".join(f"{out} → {stays or 'nothing'}".split())
        yield Mutation(f"{file.removeprefix(LAYER)}: {change}", file, original.replace(out, stays), tests)


def copy_repository(folder: Path) -> None:
    """What tests read, with this environment."""
    passed_over = shutil.ignore_patterns(".git", ".venv*", ".local", ".tools", ".aws-sam", "__pycache__", ".*_cache")
    shutil.copytree(REPOSITORY, folder, ignore=passed_over)
    for environment in (".venv", ".venv-lambda"):
        (folder / environment).symlink_to(REPOSITORY / environment)


def first_to_notice(mutation: Mutation, copy: Path) -> str:
    """The test that fails; empty if none does."""
    file = copy / mutation.file
    original = file.read_text()
    file.write_text(mutation.text)
    try:
        return first_failure(mutation.tests, copy, PYTHONPATH=str(copy / "layers/pipeline/src"))
    finally:
        file.write_text(original)


def first_failure(tests: Iterable[str], repository: Path, **variables: str) -> str:
    """The first of these tests that fails; empty if none does."""
    ended = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-x", "-q", "--no-header", "-n", "0", "-p", "no:cacheprovider", *tests],
        cwd=repository,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    if ended.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) tests/(.+?)(?: - |$)", ended.stdout, re.MULTILINE)
    if not failed:
        raise SystemExit(f"pytest ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return failed[1]


def main() -> int:
    """Run all, or those asked for. Returns an exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="", help="of a mutation's name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    mutations = [*(mutation for machine in MACHINES for mutation in of_machine(machine)), *in_python()]
    mutations = [mutation for mutation in mutations if options.part in mutation.name]
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies = queue.SimpleQueue()
        for number in range(options.jobs):
            copy_repository(Path(folder, str(number)))
            copies.put(Path(folder, str(number)))

        def try_one(mutation: Mutation) -> str:
            copy = copies.get()
            try:
                return first_to_notice(mutation, copy)
            finally:
                copies.put(copy)

        print("| taken out | the first test to notice |\n| --- | --- |")
        for mutation, noticed in zip(mutations, pool.map(try_one, mutations), strict=True):
            unnoticed += not noticed
            taken_out = mutation.name.replace("|", "\\|")
            print(f"| {taken_out} | {f'`{noticed}`' if noticed else '**none**'} |", flush=True)
    print(f"\n{len(mutations)} mutations, {unnoticed} of them unnoticed.")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
