"""How a command ends: the exit statuses, and the one error that every foreseen failure becomes. Contract, section 5."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """The exit statuses of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2  # wrong usage or settings
    NOT_AUTHORISED = 4
    PARTLY = 5  # finished, but not all succeeded
    PENDING = 8  # still pending when the wait ended
    INTERRUPTED = 130  # by Ctrl-C; the shell's number for SIGINT
    TERMINATED = 143  # the shell's number for SIGTERM


class CommandError(Exception):
    """A command cannot do what it was asked; each of `sentences` says what is wrong and how to mend it."""

    def __init__(self, *sentences: str, status: Status = Status.FAILED) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences
        self.status = status


def usage(*sentences: str) -> CommandError:
    """Make the error for wrong usage, input or settings."""
    return CommandError(*sentences, status=Status.USAGE)
