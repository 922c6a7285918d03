"""Threads that carry out one job at a time and hand back what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

J = TypeVar("J")
A = TypeVar("A")


class Workers(Generic[J, A]):
    """A pool of threads that end with the process.

    The standard pool waits for its threads when the interpreter exits; a user who asked twice
    to stop must not wait for a task that may take half an hour.
    """

    def __init__(
        self, number: int, work: Callable[[J], A], answer: Callable[[J, A | BaseException], None]
    ) -> None:
        self._jobs: SimpleQueue[J | None] = SimpleQueue()
        self._work, self._answer = work, answer
        self._number = number
        for index in range(number):
            threading.Thread(target=self._serve, name=f"apply-{index}", daemon=True).start()

    def submit(self, job: J) -> None:
        """Hand a job to the next free thread."""
        self._jobs.put(job)

    def close(self) -> None:
        """Let the threads end once they are free."""
        for _ in range(self._number):
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                answer: A | BaseException = self._work(job)
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                answer = error
            self._answer(job, answer)
