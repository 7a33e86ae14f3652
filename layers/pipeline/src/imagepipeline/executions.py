"""The executions of ImagePipeline that ended early, above all those of an Express workflow. Standard library only.

Step Functions sends no event when an Express execution ends, and cannot be asked about one. ImagePipeline therefore
registers each execution in a table before it does anything else, and removes it when it has succeeded. What is still
registered after the time that Step Functions gives an Express execution ended early.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from imagepipeline.models import JsonObject

# Longer than the retries of a notification and the recovery of an execution take. What is not done by then is stuck.
PATIENCE = timedelta(minutes=10)

LIMIT = timedelta(minutes=5)  # after which Step Functions ends an Express execution
# Clocks differ, and a moment passes between the start of an execution and its first state.
OVERDUE_AFTER = LIMIT + timedelta(minutes=1)
# An image that quotas keep from being processed within five minutes is tried again ever less often. The waits before
# the 30 resumptions that ImagePipeline processes sum up to more than a day. With longer ones, a burst that exceeds the
# quotas takes much longer to drain (docs/quotas.md).
LONGEST_WAIT = timedelta(hours=1)
# An image that was begun so often is stuck, whether because of a quota or of a bug.
STUCK_AFTER = 3  # resumptions


@dataclass(frozen=True, slots=True)
class RegisteredExecution:
    """An execution that has not succeeded yet, as it registered itself."""

    arn: str
    registered_at: str  # ISO 8601; with the ARN the key, because Step Functions may run an Express execution twice
    resumptions: int  # how many executions in a row were started in place of another, this one included

    @classmethod
    def from_item(cls, item: JsonObject) -> Self:
        """The execution in an item of the table."""
        return cls(item["ExecutionArn"]["S"], item["RegisteredAt"]["S"], int(item["Resumptions"]["N"]))

    @property
    def key(self) -> JsonObject:
        """Its key in the table."""
        return {"ExecutionArn": {"S": self.arn}, "RegisteredAt": {"S": self.registered_at}}

    @property
    def since(self) -> datetime:
        """When it registered itself."""
        return datetime.fromisoformat(self.registered_at)

    def due(self, overdue_after: timedelta = OVERDUE_AFTER) -> datetime:
        """When it is handed to Housekeeping, unless it succeeds before."""
        # The exponent is bounded because timedelta overflows, and no wait is that long.
        return self.since + min(overdue_after * 2.0 ** min(self.resumptions, 10), LONGEST_WAIT)

    def is_stuck(self, now: datetime, overdue_after: timedelta = OVERDUE_AFTER) -> bool:
        """Whether a quota or a bug keeps its image from being processed, or it from being handed to Housekeeping."""
        return self.resumptions >= STUCK_AFTER or now - self.due(overdue_after) > PATIENCE


def ended_early(arn: str, execution_input: str) -> JsonObject:
    """The event that Step Functions would send if the execution were one of a Standard workflow.

    Housekeeping treats both alike. Whether an Express execution failed or timed out is not known; TIMED_OUT has an
    unfinished image processed again, and a recorded outcome announced that was not.
    """
    return {
        "source": "imagepipeline",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": arn, "status": "TIMED_OUT", "input": execution_input},
    }
