"""The simulation of bursts against an account's quotas, and the retry rules that it guards."""

import math
import random
from collections import Counter
from dataclasses import replace

import pytest

from bench import quotas
from bench.quotas import (
    LAMBDA_THROTTLED,
    REKOGNITION_THROTTLED,
    SCENARIOS,
    Account,
    Durations,
    Machine,
    RetryRule,
    Scenario,
    Simulation,
    Step,
    TokenBucket,
    simulate,
)
from imagepipeline import aws

REAL = Machine.from_asl(quotas.read_definition())
EXPRESS = Machine.express_from_asl(quotas.read_definition())
STEPS = ("ValidateImage", "CreateThumbnails", "ExtractMetadata", "StoreResult")
ONE_SECOND_EACH = Durations(dict.fromkeys(STEPS, 1.0), spread=0, between_steps=0, refused_call=0, calls_per_run=1)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


def at_once(images: int, executions: int, calls: float = math.inf) -> Scenario:
    return Scenario("a test's", images, math.inf, Account(executions, calls, bucket=1))


def task(*retry: dict, successor: str) -> dict:
    resource = "arn:${Partition}:states:::lambda:invoke"
    return {"Type": "Task", "Resource": resource, "Retry": list(retry), "Next": successor}


def definition(*retry: dict, **fields: object) -> dict:
    """A state machine of the four steps with the same Retry list."""
    return {
        "StartAt": "ValidateImage",
        "States": {
            "ValidateImage": task(*retry, successor="CreateThumbnails"),
            "CreateThumbnails": task(*retry, successor="ExtractMetadata"),
            "ExtractMetadata": task(*retry, successor="StoreResult"),
            "StoreResult": task(*retry, successor="Completed"),
            "Completed": {"Type": "Succeed"},
        },
        **fields,
    }


def retry(*errors: str, **fields: object) -> dict:
    return {"ErrorEquals": list(errors), **fields}


# ------------------------------------------------------------------------------------------------------- retry rules


def test_a_rule_has_the_defaults_of_the_states_language(rng: random.Random):
    rule = RetryRule.from_asl(retry("Busy"))

    delays = [rule.delay(retries, rng) for retries in range(5)]

    assert rule.max_attempts == 3
    assert delays == [1, 2, 4, 8, 16]


def test_a_delay_grows_up_to_its_limit(rng: random.Random):
    rule = RetryRule.from_asl(retry("Busy", IntervalSeconds=5, BackoffRate=3.0, MaxDelaySeconds=60))

    assert [rule.delay(retries, rng) for retries in (0, 1, 2, 3, 5000)] == [5, 15, 45, 60, 60]


def test_full_jitter_takes_any_part_of_the_delay(rng: random.Random):
    rule = RetryRule.from_asl(retry("Busy", IntervalSeconds=100, JitterStrategy="FULL"))

    delays = [rule.delay(0, rng) for _ in range(1000)]

    assert 0 <= min(delays) < 5
    assert 95 < max(delays) <= 100
    assert sum(delays) / 1000 == pytest.approx(50, abs=5)


def test_the_first_rule_that_matches_decides():
    step = Step("ValidateImage", (RetryRule(frozenset({"EmptyFile"})), RetryRule(frozenset({"States.ALL"}))))

    assert step.first_match("EmptyFile") == 0
    assert step.first_match(LAMBDA_THROTTLED) == 1
    assert Step("ValidateImage", step.rules[:1]).first_match(LAMBDA_THROTTLED) is None


def test_a_later_rule_does_not_add_attempts_to_the_first():
    rules = (retry(LAMBDA_THROTTLED, MaxAttempts=0), retry("States.ALL", MaxAttempts=50))

    result = simulate(Machine.from_asl(definition(*rules)), at_once(2, 1), ONE_SECOND_EACH)

    assert result.failed == 1
    assert result.refused_max == 1


def test_each_rule_counts_its_own_attempts():
    rules = [retry(error, MaxAttempts=2) for error in (LAMBDA_THROTTLED, REKOGNITION_THROTTLED)]
    played = Simulation(Machine.from_asl(definition(*rules)), at_once(1, 1, calls=0.001), ONE_SECOND_EACH, seed=1)
    [image] = played.images
    image.enter(played.machine.steps[2])

    for error in (LAMBDA_THROTTLED, REKOGNITION_THROTTLED) * 2:
        played._refuse(0, image, error)

    assert image.retries == [2, 2]
    assert image.has_labels


# ----------------------------------------------------------------------------------------------------- state machine


def test_the_real_machine_has_the_four_steps():
    assert tuple(step.name for step in REAL.steps) == STEPS


def test_transitions_are_counted_along_the_successful_path():
    assert Machine.from_asl(definition()).transitions == 5  # four steps and Completed


def test_the_simulation_calls_rekognition_as_often_as_the_function(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    config = aws.client.__wrapped__("rekognition").meta.config

    assert Durations().calls_per_run == config.retries["total_max_attempts"]


# -------------------------------------------------------------------------------------------------------- simulation


def test_two_images_share_one_execution():
    machine = Machine.from_asl(definition(retry(LAMBDA_THROTTLED, IntervalSeconds=6)))

    result = simulate(machine, at_once(2, 1), ONE_SECOND_EACH)

    # The first runs from second 0 to 4; the second is refused once and runs from 6 to 10.
    assert (result.drain, result.ideal) == (10, 8)
    assert result.wait_median == 7
    assert result.refused_max == 1
    assert result.transitions == 5.5
    assert result.transitions_cost == pytest.approx(1000 * 5.5 * 25 / 1e6)


def test_two_images_share_one_rekognition_call():
    rule = retry(REKOGNITION_THROTTLED, IntervalSeconds=20)
    durations = Durations(dict.fromkeys(STEPS, 1.0), spread=0, between_steps=0, refused_call=0.5, calls_per_run=1)

    result = simulate(Machine.from_asl(definition(rule)), at_once(2, 10, calls=0.1), durations)

    # Both ask at second 2. The one that is refused hears so at 2.5, asks again at 22.5 and is stored by 24.5.
    assert result.drain == 24.5
    assert result.without_labels == 0
    # 0.5 s of 0.5 GB and one request, over two images.
    assert result.refused_runs_cost == pytest.approx(1000 * (0.25 * 13.3334e-6 + 0.2e-6) / 2)


@pytest.mark.parametrize(("keeps_answers", "billed"), [(True, 3), (False, 5)])
def test_an_answer_is_billed_once_unless_it_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, keeps_answers: bool, billed: int
):
    durations = replace(ONE_SECOND_EACH, questions=3, keeps_answers=keeps_answers)
    machine = Machine.from_asl(definition(retry(REKOGNITION_THROTTLED, IntervalSeconds=10)))
    played = Simulation(machine, at_once(1, 1), durations, seed=1)
    refused_once = iter([False])
    monkeypatch.setattr(played.rekognition[1], "take", lambda now: next(refused_once, True))

    played.run()

    assert (played.answers, played.refused_runs) == (billed, 1)


def test_an_image_goes_on_without_labels_when_rekognition_stays_busy():
    rules = (retry(REKOGNITION_THROTTLED, MaxAttempts=1), retry(LAMBDA_THROTTLED))

    result = simulate(Machine.from_asl(definition(*rules)), at_once(5, 10, calls=0.001), ONE_SECOND_EACH)

    assert (result.failed, result.without_labels) == (0, 4)


def test_an_image_times_out_with_its_execution():
    machine = Machine.from_asl(definition(retry(LAMBDA_THROTTLED, IntervalSeconds=6), TimeoutSeconds=5))

    played = Simulation(machine, at_once(2, 1), ONE_SECOND_EACH, seed=1).run()

    assert [image.status for image in played.images] == ["COMPLETED", "TIMED_OUT"]


def test_a_bucket_grants_a_burst_and_then_its_rate():
    bucket = TokenBucket(2, capacity=3)

    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]


def test_every_image_ends_once_and_gives_its_execution_back():
    rules = [
        retry(error, MaxAttempts=4, JitterStrategy="FULL", IntervalSeconds=2)
        for error in (LAMBDA_THROTTLED, REKOGNITION_THROTTLED)
    ]
    machine = Machine.from_asl(definition(*rules, TimeoutSeconds=25))

    played = Simulation(machine, Scenario("mixed", 500, 20, Account(12, 2)), Durations(), seed=1).run()

    ends = Counter(image.status for image in played.images)
    assert ends.total() == 500
    assert set(ends) == {"COMPLETED", "FAILED", "TIMED_OUT"}
    assert not all(image.has_labels for image in played.images if image.status == "COMPLETED")
    assert played.free == 12


def test_the_same_seed_gives_the_same_result():
    scenario = SCENARIOS[-1]

    assert simulate(REAL, scenario, seed=7) == simulate(REAL, scenario, seed=7)
    assert simulate(REAL, scenario, seed=7) != simulate(REAL, scenario, seed=8)


# ---------------------------------------------------------------------------------------------- the real retry rules


REQUIRED = [scenario for scenario in SCENARIOS if scenario.required]


# A tenth of the largest burst in an account with a tenth of its quotas takes a tenth of the time to simulate.
@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario", [s.scaled(0.1) if s.images == 100_000 else s for s in REQUIRED], ids=lambda s: s.name
)
def test_the_retry_rules_outlast_a_burst(scenario: Scenario):
    result = simulate(REAL, scenario)

    assert result.failed == 0
    assert result.without_labels == 0
    assert result.refused_median <= 12
    assert result.ratio <= 1.3


def test_a_short_throttle_passes_in_minutes():
    result = simulate(REAL, Scenario("a few photos in a new account", 100, math.inf, Account(10, 5)))

    assert result.failed == result.without_labels == 0
    assert result.drain <= 180


def test_the_command_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.argv", ["quotas", "100 at once"])

    status = quotas.main()

    assert status == 0
    assert "| 100 at once; 10 executions, 5 calls/s | 0 | 0 |" in capsys.readouterr().out


def test_an_express_workflow_resumes_what_five_minutes_are_not_enough_for():
    scenario = Scenario("more than a new account takes", 1000, math.inf, Account(2))

    result = simulate(EXPRESS, scenario)

    assert result.failed == result.without_labels == 0
    assert result.resumed > 0.5
    assert result.drain > 6 * 60


def test_an_express_workflow_resumes_nothing_where_quotas_suffice():
    result = simulate(EXPRESS, Scenario("few", 100, 10, Account(100)))

    assert (result.resumed, result.failed, result.transitions) == (0, 0, 0)


def test_an_image_that_never_succeeds_fails_in_the_end():
    scenario = Scenario("nothing runs", 1, math.inf, Account(0))

    (image,) = quotas.Simulation(EXPRESS, scenario, quotas.Durations(), seed=1).run().images

    assert (image.status, image.resumptions) == ("FAILED", quotas.RESUMPTIONS)
