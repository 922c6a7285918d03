"""What a run has measured so far. The loop fills it as it goes, so a failure loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Measurement:
    """Times of training steps, in seconds.

    Attributes:
        first_step_seconds: The first step, with tracing, compilation and allocation.
        warmup_steps: Steps between the first and the timed ones.
        warmup_stable: Whether step times had come to rest when timing began.
        window_steps: Steps between two readings of the loss. A window of several steps keeps the
            wait for the device small beside the work.
        steps: Seconds per step, one mean for each timed window.
        timed_steps: Steps in all timed windows.
        timed_seconds: What they took.
        waited_seconds: What of it went by until the next batch was there.
        stopped_by: `precision`, `time-limit`, `steps`, `interrupt` or `error`.
        loss_first: Loss of the first step.
        loss_last: Last loss that was read; `None` where it was NaN or infinite.
    """

    first_step_seconds: float | None = None
    warmup_steps: int = 0
    warmup_stable: bool = False
    window_steps: int = 1
    steps: list[float] = field(default_factory=list)
    timed_steps: int = 0
    timed_seconds: float = 0.0
    waited_seconds: float = 0.0
    stopped_by: str = "error"
    loss_first: float | None = None
    loss_last: float | None = None

    @property
    def waited_share(self) -> float:
        """Return the share of the timed steps that went by waiting for images, 0 to 1."""
        if not self.timed_seconds:
            return 0.0
        # A window that failed was waited in, but is not timed.
        return min(1.0, self.waited_seconds / self.timed_seconds)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images: the last loss, test accuracy 0 to 1, training seconds."""

    loss: float | None
    accuracy: float
    seconds: float


@dataclass(slots=True)
class Learning:
    """Epochs of real data, and the time to the target accuracy, where there is one and it is met.

    `time_to_accuracy_seconds` is training time: compilation and the tests of accuracy are not in
    it.
    """

    epochs: list[Epoch] = field(default_factory=list)
    time_to_accuracy_seconds: float | None = None
