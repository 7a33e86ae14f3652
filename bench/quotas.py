"""`python -m bench.quotas`: bursts of uploads against an account's quotas, with the state machine's own retry rules.

A discrete-event simulation. Retry rules, time limit and the number of billed transitions are read from
`statemachine/image_pipeline.asl.json`, the duration of each step from the measurement in `cli/usage.json`; quotas are
parameters. What it simplifies is listed in docs/quotas.md.
"""

import argparse
import heapq
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench import markdown
from cli import costs
from imagepipeline.executions import LIMIT, RegisteredExecution
from imagepipeline.sweep import MOST_OVERDUE

DEFINITION = Path(__file__).parents[1] / "statemachine" / "image_pipeline.asl.json"
LAMBDA_THROTTLED = "Lambda.TooManyRequestsException"
REKOGNITION_THROTTLED = "RekognitionThrottled"
REKOGNITION_STEP = "ExtractMetadata"

# The function that each step invokes, in the measurement.
FUNCTIONS = {
    "ValidateImage": "ValidateFunction",
    "CreateThumbnails": "ThumbnailsFunction",
    REKOGNITION_STEP: "MetadataFunction",
    "StoreResult": "StoreFunction",
}
METADATA = costs.usage()["Upload"]["Functions"]["MetadataFunction"]
TRANSITION_PRICE, REQUEST_PRICE, GB_SECOND_PRICE = (
    costs.prices().by_name[name].of(1)
    for name in ("step_functions_transition", "lambda_request", "lambda_gb_second_arm64")
)

# Of an Express workflow: its executions end, a sweep finds them, and Housekeeping has them resumed.
EXPRESS_SECONDS = LIMIT.total_seconds()
SWEEP_SECONDS = 60  # as SweepRule in template.yaml
RESUMPTIONS = 30  # as RouteByRecordStatus in the definition
RESUMING_STEPS = ("ResolveCurrentVersion", "RemoveRenditions")  # in the definition of Housekeeping, too
RESUMING_SECONDS = 0.1  # of each: one listing, one read
RESUMING_TRANSITIONS = 6


# ------------------------------------------------------------------------------------------------------- state machine


@dataclass(frozen=True, slots=True)
class RetryRule:
    """One entry of a state's Retry list, with the defaults of the Amazon States Language."""

    errors: frozenset[str]
    interval: float = 1  # seconds
    max_attempts: int = 3
    backoff_rate: float = 2.0
    max_delay: float = math.inf  # seconds
    full_jitter: bool = False

    @classmethod
    def from_asl(cls, rule: dict) -> "RetryRule":
        return cls(
            errors=frozenset(rule["ErrorEquals"]),
            interval=rule.get("IntervalSeconds", 1),
            max_attempts=rule.get("MaxAttempts", 3),
            backoff_rate=rule.get("BackoffRate", 2.0),
            max_delay=rule.get("MaxDelaySeconds", math.inf),
            full_jitter=rule.get("JitterStrategy", "NONE") == "FULL",
        )

    def matches(self, error: str) -> bool:
        return error in self.errors or not self.errors.isdisjoint({"States.ALL", "States.TaskFailed"})

    def delay(self, retries: int, rng: random.Random) -> float:
        """Seconds to wait before the next attempt, after `retries` earlier retries by this rule."""
        # The exponent is bounded because 2.0 ** 1024 overflows, and no max_delay is that long.
        delay = min(self.interval * self.backoff_rate ** min(retries, 64), self.max_delay)
        return rng.random() * delay if self.full_jitter else delay


@dataclass(frozen=True, slots=True)
class Step:
    """A Lambda step of the path that a successful image takes."""

    name: str
    rules: tuple[RetryRule, ...]

    def first_match(self, error: str) -> int | None:
        """The index of the rule that decides about `error`."""
        return next((index for index, rule in enumerate(self.rules) if rule.matches(error)), None)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the simulation needs to know about the state machine."""

    steps: tuple[Step, ...]
    transitions: int  # state entries of an image that completes without a retry
    timeout: float = math.inf  # seconds
    resuming: tuple[Step, ...] = ()  # what Housekeeping does when it resumes an execution
    express: bool = False

    @classmethod
    def from_asl(cls, definition: dict) -> "Machine":
        states = definition["States"]
        path = _walk(states, definition["StartAt"])
        steps = tuple(Step(name, _rules(states[name])) for name in path if _invokes_lambda(states[name]))
        return cls(steps, len(path), definition.get("TimeoutSeconds", math.inf))

    @classmethod
    def express_from_asl(cls, definition: dict) -> "Machine":
        """The same as an Express workflow, whose transitions are not billed."""
        states = definition["States"]
        resuming = tuple(Step(name, _rules(states[name])) for name in RESUMING_STEPS)
        return replace(cls.from_asl(definition), transitions=0, timeout=math.inf, resuming=resuming, express=True)


def read_definition(file: Path = DEFINITION) -> dict:
    """A definition, with its placeholders."""
    definition: dict = json.loads(file.read_text())
    return definition


def _walk(states: dict, name: str | None) -> list[str]:
    """The states from `name` on when each succeeds. A Choice state sends an ordinary image to its default."""
    names: list[str] = []
    while name and (name := name.strip("${}")) not in names:  # what a Standard workflow substitutes is called the same
        names.append(name)
        name = states[name].get("Default") or states[name].get("Next")
    return names


def _invokes_lambda(state: dict) -> bool:
    return state["Type"] == "Task" and state["Resource"].endswith(":lambda:invoke")


def _rules(state: dict) -> tuple[RetryRule, ...]:
    return tuple(RetryRule.from_asl(rule) for rule in state.get("Retry", []))


# ----------------------------------------------------------------------------------------------------------- scenarios


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account's quotas."""

    executions: int  # concurrent Lambda executions
    calls: float = math.inf  # Rekognition calls a second, of each operation
    bucket: float | None = None  # calls that may come at once after a pause; None for a second's calls


@dataclass(frozen=True, slots=True)
class Scenario:
    """A burst of uploads into an account."""

    name: str
    images: int
    rate: float  # uploads a second; infinite if all arrive at once
    account: Account
    required: bool = True  # whether the state machine has to meet the requirements for it

    def scaled(self, factor: float) -> "Scenario":
        """The same burst with `factor` times the images, in an account with `factor` times the quotas."""
        account = replace(
            self.account, executions=round(self.account.executions * factor), calls=self.account.calls * factor
        )
        return replace(self, images=round(self.images * factor), rate=self.rate * factor, account=account)


@dataclass(frozen=True, slots=True)
class Durations:
    """Mean seconds for which a run occupies its Lambda execution. Those of a warm function are `measured()`."""

    steps: dict[str, float] = field(default_factory=lambda: measured())
    spread: float = 0.5  # a run takes from 1 - spread to 1 + spread times the mean
    between_steps: float = 0.05  # for Step Functions to go on, while another image may take the execution
    refused_call: float = 0.1  # how long Rekognition takes to refuse a call
    calls_per_run: int = 3  # total_max_attempts in imagepipeline/aws.py
    questions: int = 1  # operations of Rekognition that a run calls at the same time: labels, faces, moderation
    keeps_answers: bool = True  # whether a run asks only for what earlier runs of the image were refused


def measured(*, labels: bool = True) -> dict[str, float]:
    """Seconds of each step for a photo of 12 megapixels: its processor time at its memory size, and its waiting."""
    functions = costs.usage()["Upload"]["Functions"]
    return {
        step: costs.duration_ms(functions[name], functions[name]["MemoryMb"], rekognition=labels) / 1000
        for step, name in FUNCTIONS.items()
    }


_AT_ONCE = math.inf
SCENARIOS = (
    Scenario("20,000 at 50/s; 10 executions", 20_000, 50, Account(10)),
    Scenario("20,000 at 50/s; 10 executions, 5 calls/s", 20_000, 50, Account(10, 5)),
    Scenario("10,000 at 20/s; 1,000 executions, 5 calls/s", 10_000, 20, Account(1000, 5)),
    Scenario("100,000 at once; 1,000 executions, 50 calls/s", 100_000, _AT_ONCE, Account(1000, 50)),
    Scenario("1,000 at once; 10 executions, 5 calls/s", 1000, _AT_ONCE, Account(10, 5), required=False),
    Scenario("100 at once; 10 executions, 5 calls/s", 100, _AT_ONCE, Account(10, 5), required=False),
)


# ---------------------------------------------------------------------------------------------------------- simulation


class TokenBucket:
    """A rate limit that allows a burst of `capacity` calls."""

    def __init__(self, rate: float, capacity: float | None = None) -> None:
        self._rate = rate
        self._capacity = max(rate if capacity is None else capacity, 1)
        self._tokens = self._capacity
        self._updated = 0.0

    def take(self, now: float) -> bool:
        if self._rate == math.inf:
            return True
        self._tokens = min(self._capacity, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Image:
    """One upload on its way through the steps."""

    __slots__ = (
        *("answered", "arrived", "asking", "ended", "entries", "has_labels", "position", "refused", "retries"),
        *("status", "step", "steps", "deadline", "resumptions"),
    )

    def __init__(self, arrived: float, steps: tuple[Step, ...], deadline: float) -> None:
        self.arrived = arrived
        self.steps = steps
        self.deadline = deadline  # when its execution ends
        self.resumptions = 0
        self.ended = math.nan
        self.status = ""  # COMPLETED, FAILED or TIMED_OUT
        self.has_labels = True
        self.asking = 0  # calls of the current run that have not ended
        self.refused = 0  # attempts refused by Lambda or, all calls of the attempt, by Rekognition
        self.position = 0
        self.entries = 0  # transitions beyond those of an image that completes without a retry
        self.enter(steps[0])

    def enter(self, step: Step) -> None:
        self.step = step
        self.answered: set[int] = set()  # questions to Rekognition
        self.retries = [0] * len(step.rules)


class Simulation:
    """One burst, played to its end. `images` and the counters are the result."""

    def __init__(self, machine: Machine, scenario: Scenario, durations: Durations, seed: int) -> None:
        self.machine = machine
        self.durations = durations
        self.rng = random.Random(seed)
        limit = EXPRESS_SECONDS if machine.express else machine.timeout
        arrivals = (n / scenario.rate for n in range(scenario.images))
        self.images = [Image(arrived, machine.steps, arrived + limit) for arrived in arrivals]
        self._ended_early: list[tuple[float, int, Image]] = []  # a heap, by when they are to be resumed
        self.free = scenario.account.executions
        self.most = MOST_OVERDUE  # executions that one sweep resumes
        account = scenario.account
        self.rekognition = [TokenBucket(account.calls, account.bucket) for _ in range(durations.questions)]
        self.answers = 0  # of Rekognition, each of which is billed
        self.refused_runs = 0  # runs of the metadata function that ended in RekognitionThrottled
        self.refused_seconds = 0.0  # their billed duration
        self._order = 0  # breaks ties in order of scheduling
        self._events: list[tuple[float, int, Callable, Image]] = []

    def run(self, progress: Callable[[float, int], None] = lambda now, ended: None) -> "Simulation":
        """`progress` is called every 100,000 events with the simulated time and the number of events so far."""
        for image in self.images:
            self._schedule(image.arrived, self._attempt, image)
        if self.machine.express:
            self._schedule(SWEEP_SECONDS, self._sweep, self.images[0])
        handled = 0
        while self._events:
            now, _, handle, image = heapq.heappop(self._events)
            handle(now, image)
            handled += 1
            if handled % 100_000 == 0:
                progress(now, handled)
        return self

    def _schedule(self, when: float, handle: Callable, image: Image) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, handle, image))

    def _attempt(self, now: float, image: Image) -> None:
        if now > image.deadline:
            self._end_early(image.deadline, image)
        elif self.free == 0:
            self._refuse(now, image, LAMBDA_THROTTLED)
        else:
            self.free -= 1
            if image.step.name == REKOGNITION_STEP:
                self._ask(now, image)
            else:
                self._schedule(now + self._duration(image), self._succeed, image)

    def _ask(self, now: float, image: Image) -> None:
        """Asks Rekognition all questions that are open, at the same time."""
        if not self.durations.keeps_answers:
            image.answered.clear()
        open_questions = [number for number in range(self.durations.questions) if number not in image.answered]
        image.asking = len(open_questions)
        for question in open_questions:
            self._call(now, image, now, 1, question)

    def _call(self, now: float, image: Image, started: float, call: int, question: int) -> None:
        """Calls Rekognition for the `call`th time in a run that started at `started`."""
        if self.rekognition[question].take(now):
            self.answers += 1
            image.answered.add(question)
            self._schedule(now + self._duration(image), lambda t, i: self._end_call(t, i, started), image)
            return
        answered = now + self.durations.refused_call
        if call < self.durations.calls_per_run:
            # botocore's standard mode: a random part of 1, 2, 4, … seconds.
            pause = self.rng.random() * 2 ** (call - 1)
            self._schedule(answered + pause, lambda t, i: self._call(t, i, started, call + 1, question), image)
        else:
            self._schedule(answered, lambda t, i: self._end_call(t, i, started), image)

    def _end_call(self, now: float, image: Image, started: float) -> None:
        """Ends the run with its last call."""
        image.asking -= 1
        if image.asking:
            return
        if len(image.answered) == self.durations.questions:
            self._succeed(now, image)
        else:
            self.refused_runs += 1
            self.refused_seconds += now - started
            self._throttled(now, image)

    def _duration(self, image: Image) -> float:
        spread = self.durations.spread
        return self.durations.steps.get(image.step.name, RESUMING_SECONDS) * self.rng.uniform(1 - spread, 1 + spread)

    def _throttled(self, now: float, image: Image) -> None:
        self.free += 1
        self._refuse(now, image, REKOGNITION_THROTTLED)

    def _refuse(self, now: float, image: Image, error: str) -> None:
        image.refused += 1
        index = image.step.first_match(error)
        if index is not None and image.retries[index] < image.step.rules[index].max_attempts:
            delay = image.step.rules[index].delay(image.retries[index], self.rng)
            image.retries[index] += 1
            image.entries += not self.machine.express
            self._schedule(now + delay, self._attempt, image)
        elif image.step.name == REKOGNITION_STEP:
            # Its catcher leads on to the next step.
            image.has_labels = False
            self._advance(now, image)
        else:
            self._end(now, image, "FAILED")

    def _succeed(self, now: float, image: Image) -> None:
        self.free += 1
        self._advance(now, image)

    def _advance(self, now: float, image: Image) -> None:
        image.position += 1
        if now > image.deadline:
            self._end_early(image.deadline, image)
        elif image.position == len(image.steps):
            self._end(now, image, "COMPLETED")
        else:
            image.enter(image.steps[image.position])
            self._schedule(now + self.durations.between_steps, self._attempt, image)

    def _end_early(self, now: float, image: Image) -> None:
        """Its execution has reached its time limit."""
        if not self.machine.express:
            self._end(now, image, "TIMED_OUT")
        elif image.resumptions == RESUMPTIONS:
            self._end(now, image, "FAILED")
        else:
            started = datetime.fromtimestamp(image.deadline - EXPRESS_SECONDS, UTC)
            due = RegisteredExecution("", started.isoformat(), image.resumptions).due()
            self._order += 1
            heapq.heappush(self._ended_early, (due.timestamp(), self._order, image))

    def _sweep(self, now: float, any_image: Image) -> None:
        """Resume what is due, longest overdue first."""
        for _ in range(self.most):
            if not self._ended_early or self._ended_early[0][0] > now:
                break
            _, _, image = heapq.heappop(self._ended_early)
            image.resumptions += 1
            image.entries += RESUMING_TRANSITIONS
            image.position, image.deadline, image.has_labels = 0, now + EXPRESS_SECONDS, True
            image.enter(image.steps[0])
            self._schedule(now, self._attempt, image)
            self._schedule(now, self._attempt, Image(now, self.machine.resuming, math.inf))
        if self._events or self._ended_early:
            self._schedule(now + SWEEP_SECONDS, self._sweep, any_image)

    def _end(self, now: float, image: Image, status: str) -> None:
        if image.status:
            raise AssertionError(f"an image ended as {image.status} and again as {status}")
        image.status, image.ended = status, now


# -------------------------------------------------------------------------------------------------------------- result


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one simulated burst."""

    scenario: str
    images: int
    failed: int  # FAILED or TIMED_OUT
    without_labels: int
    refused_median: float
    refused_p95: float
    refused_max: int
    transitions: float  # billed, an image
    transitions_cost: float  # USD per 1,000 images
    refused_runs_cost: float  # USD per 1,000 images: Lambda's bill for runs that Rekognition refused
    answers: float  # of Rekognition, billed, an image
    drain: float  # seconds from the first upload to the last end
    ideal: float  # seconds that the quotas need
    wait_median: float  # seconds from upload to end
    wait_max: float
    resumed: float  # times that an image of an Express workflow was resumed, on average

    @property
    def ratio(self) -> float:
        return self.drain / self.ideal

    @property
    def meets_requirements(self) -> bool:
        return not self.failed and not self.without_labels and self.refused_median <= 12 and self.ratio <= 1.3


def ideal_drain(scenario: Scenario, durations: Durations) -> float:
    """Seconds that the scarcest quota needs for the burst when nothing of it is wasted, or that the uploads take."""
    lambda_seconds = scenario.images * sum(durations.steps.values()) / scenario.account.executions
    return max(lambda_seconds, scenario.images / scenario.account.calls, scenario.images / scenario.rate)


def simulate(
    machine: Machine,
    scenario: Scenario,
    durations: Durations | None = None,
    seed: int = 1,
    progress: Callable[[float, int], None] = lambda now, events: None,
) -> Result:
    durations = durations or Durations()
    played = Simulation(machine, scenario, durations, seed).run(progress)
    images = played.images
    refused = sorted(image.refused for image in images)
    waits = [image.ended - image.arrived for image in images]
    transitions = machine.transitions + statistics.fmean(image.entries for image in images)
    runs_cost = (
        played.refused_runs * REQUEST_PRICE + played.refused_seconds * METADATA["MemoryMb"] / 1024 * GB_SECOND_PRICE
    )
    return Result(
        scenario=scenario.name,
        images=len(images),
        failed=sum(image.status != "COMPLETED" for image in images),
        without_labels=sum(not image.has_labels for image in images),
        refused_median=statistics.median(refused),
        refused_p95=refused[math.ceil(0.95 * len(refused)) - 1],
        refused_max=refused[-1],
        transitions=transitions,
        transitions_cost=1000 * transitions * TRANSITION_PRICE,
        refused_runs_cost=1000 * runs_cost / len(images),
        answers=played.answers / len(images),
        drain=max(image.ended for image in images),
        ideal=ideal_drain(scenario, durations),
        wait_median=statistics.median(waits),
        wait_max=max(waits),
        resumed=statistics.fmean(image.resumptions for image in images),
    )


# ------------------------------------------------------------------------------------------------------------- command

COLUMNS = {
    "burst and quotas": lambda r: r.scenario,
    "FAILED": lambda r: f"{r.failed:,}",
    "without labels": lambda r: f"{r.without_labels:,}",
    "refused attempts an image: median / p95 / max": lambda r: (
        f"{r.refused_median:.0f} / {r.refused_p95:.0f} / {r.refused_max}"
    ),
    "transitions an image": lambda r: f"{r.transitions:.1f}",
    "USD per 1,000 images": lambda r: f"{r.transitions_cost:.2f}",
    "refused runs, USD per 1,000": lambda r: f"{r.refused_runs_cost:.2f}",
    "answers an image": lambda r: f"{r.answers:.1f}",
    "drained after": lambda r: _clock(r.drain),
    "quota allows": lambda r: _clock(r.ideal),
    "ratio": lambda r: f"{r.ratio:.2f}",
    "wait: median / longest": lambda r: f"{_clock(r.wait_median)} / {_clock(r.wait_max)}",
}
OF_EXPRESS = {"executions an image": lambda r: f"{1 + r.resumed:.2f}"}


def _clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def table(results: list[Result]) -> str:
    """The results as a Markdown table."""
    columns = COLUMNS | (OF_EXPRESS if any(result.resumed for result in results) else {})
    return markdown.table([list(columns), *([cell(result) for cell in columns.values()] for result in results)])


def _report_progress(scenario: Scenario) -> Callable[[float, int], None]:
    """Prints at most one line in five seconds on stderr."""
    last = time.monotonic()

    def report(now: float, events: int) -> None:
        nonlocal last
        if time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{scenario.name}: minute {_clock(now)} after {events:,} events", file=sys.stderr)

    return report


def main() -> int:
    """Play every scenario; the exit status is 1 if a required one misses its requirements."""
    parser = argparse.ArgumentParser(
        prog="bench.quotas", description="Bursts of uploads against an account's quotas, with the real retry rules."
    )
    parser.add_argument("scenarios", nargs="*", help="which ones, by a part of their name; all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--workflow", choices=("STANDARD", "EXPRESS"), default="STANDARD", help="WorkflowType")
    parser.add_argument("--definition", type=Path, default=DEFINITION, help="another state machine definition")
    parser.add_argument("--calls-per-run", type=int, default=3, help="times that botocore calls Rekognition in a run")
    parser.add_argument("--questions", type=int, default=1, choices=(1, 2, 3), help="labels, faces, moderation")
    parser.add_argument("--forget", action="store_true", help="ask all of them again after one was refused")
    parser.add_argument("--bucket", type=float, help="calls that Rekognition's bucket holds (default: a second's)")
    parser.add_argument(
        "--seconds", action="append", default=[], metavar="STEP=SECONDS", help="another mean duration of a step"
    )
    options = parser.parse_args()

    read = Machine.express_from_asl if options.workflow == "EXPRESS" else Machine.from_asl
    machine = read(read_definition(options.definition))
    durations = Durations(
        calls_per_run=options.calls_per_run, questions=options.questions, keeps_answers=not options.forget
    )
    for setting in options.seconds:
        step, _, seconds = setting.partition("=")
        if step not in durations.steps:
            parser.error(f"--seconds: {step!r} is none of {', '.join(durations.steps)}")
        durations.steps[step] = float(seconds)

    chosen = [
        replace(scenario, account=replace(scenario.account, bucket=options.bucket))
        for scenario in SCENARIOS
        if not options.scenarios or any(part in scenario.name for part in options.scenarios)
    ]
    if not chosen:
        parser.error(f"no scenario has any of {', '.join(options.scenarios)} in its name")
    results = [simulate(machine, s, durations, options.seed, _report_progress(s)) for s in chosen]
    if options.json:
        print(json.dumps([asdict(result) | {"ratio": result.ratio} for result in results], indent=2))
    else:
        print(table(results))
    if machine.express:
        return 0  # the requirements are those of a Standard workflow
    missed = [r.scenario for r, s in zip(results, chosen, strict=True) if s.required and not r.meets_requirements]
    for name in missed:
        print(f"requirements missed: {name}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
