"""What can go wrong, in the form a person needs: what, to which object, why, what to do next.

The library raises these and never prints or exits; `provision.cli.errors` turns each class
into a message and an exit code.
"""

from __future__ import annotations


class VdlError(Exception):
    """A failure that a user can act on.

    Args:
        what: What happened, as one sentence without a full stop.
        subject: The object it happened to (a VM, a host, a file), where there is one.
        why: The cause, as far as it is known.
        fix: What to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        subject: str | None = None,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.subject = subject
        self.why = why
        self.fix = fix
        super().__init__(self.text())

    def text(self) -> str:
        """Return the message on as many lines as it has parts."""
        head = f"{self.subject}: {self.what}" if self.subject else self.what
        lines = [head]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class UsageError(VdlError):
    """An option, an argument or a file that was named is wrong."""


class SpecError(VdlError):
    """The lab file, the world file or another file that a person writes is wrong."""


class NoConnection(VdlError):
    """vCenter can't be reached, its certificate is refused, or it refused the login."""


class PlanBlocked(VdlError):
    """The plan has findings of severity `error`; nothing was changed."""


class StalePlan(VdlError):
    """The world is no longer the one that the plan was computed from; nothing was changed."""


class PartlyDone(VdlError):
    """Some machines were done and some failed."""


class Interrupted(VdlError):
    """The user asked to stop; what was running has been recorded."""
