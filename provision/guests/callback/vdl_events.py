"""Ansible callback plugin: one JSON object a line about each step of each host.

It runs inside ansible-playbook and writes to the file descriptor that `VDL_EVENTS_FD` names.
`provision.guests.events` reads the lines. Ansible has hidden what a task with `no_log`
returns before a callback sees it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: vdl_events
    type: notification
    short_description: JSON lines for vdl
    description: Writes a JSON object a line to the file descriptor named by VDL_EVENTS_FD.
    requirements: [enabled by vdl itself]
"""

LONGEST_MESSAGE = 4000
_SSH_CHATTER = re.compile(r"\n?Shared connection to \S+ closed\.")


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible has no types
    """Writes events. Each line is flushed, so that progress is shown as it happens."""

    CALLBACK_VERSION: ClassVar[float] = 2.0
    CALLBACK_TYPE: ClassVar[str] = "notification"
    CALLBACK_NAME: ClassVar[str] = "vdl_events"
    CALLBACK_NEEDS_ENABLED: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        descriptor = int(os.environ["VDL_EVENTS_FD"])
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - it has no name for this argument
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8")

    def _write(self, kind: str, **fields: object) -> None:
        fields = {key: value for key, value in fields.items() if value not in (None, "")}
        self._stream.write(json.dumps({"kind": kind, **fields}, default=str) + "\n")
        self._stream.flush()

    def _write_task(self, kind: str, task: Any, **fields: object) -> None:
        role = task._role  # noqa: SLF001 - Ansible offers no public way to a task's role
        fields |= {"role": role.get_name()} if role else {}
        self._write(kind, task=task.get_name().rpartition(" : ")[2], **fields)

    def _write_result(self, kind: str, result: Any, **fields: object) -> None:
        self._write_task(kind, result.task, host=result.host.get_name(), **fields)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Tell the name of a play."""
        self._write("play", task=play.get_name())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: object) -> None:
        """Tell the name of a task before any host runs it."""
        del is_conditional
        self._write_task("task", task)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Tell that a host begins with a task."""
        self._write_task("start", task, host=host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        """Tell that a task is done, and whether it changed anything."""
        self._write_result("changed" if result.result.get("changed") else "ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: FBT001, FBT002 - Ansible's own signature
        """Tell that a task failed, and why."""
        text = message(result.result)
        self._write_result("failed", result, message=text, ignored=ignore_errors or None)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Tell that a host can't be reached, and why."""
        self._write_result("unreachable", result, message=message(result.result))

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Tell that a task was not needed."""
        self._write_result("skipped", result)

    def v2_runner_retry(self, result: Any) -> None:
        """Tell that a task is tried again."""
        self._write_result("retry", result, message=message(result.result))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Tell that one round of a loop is done."""
        self._write_result("item_ok", result, item=label(result.result))

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Tell that one round of a loop failed, and why."""
        fields = {"item": label(result.result), "message": message(result.result)}
        self._write_result("item_failed", result, **fields)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Tell the totals, and what roles said with `set_stats`."""
        totals = {host: stats.summarize(host) for host in stats.processed}
        self._write("stats", totals=totals, custom=stats.custom)


def message(result: Mapping[str, Any]) -> str:
    """Return a result's own words: the message, and the end of what a failed command said."""
    for item in result.get("results") or ():
        if item.get("failed"):
            return message(item)
    said = result.get("censored") or result.get("msg") or ""
    parts = [said if isinstance(said, str) else json.dumps(said, default=str)]
    if "rc" in result:
        # `raw` has a terminal, so that a command's own error is among its output.
        parts += [str(result.get("stdout") or ""), str(result.get("stderr") or "")]
    text = "\n".join(part.strip() for part in parts if part.strip())
    return _SSH_CHATTER.sub("", text)[-LONGEST_MESSAGE:]


def label(result: Mapping[str, Any]) -> str:
    """Return the name of a loop's round, as `loop_control.label` gives it."""
    return str(result.get("_ansible_item_label", ""))
