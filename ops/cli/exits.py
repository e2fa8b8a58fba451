"""How a command ends: the exit statuses, and the one error that every foreseen failure becomes. Contract, section 5."""

from __future__ import annotations

import errno
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
    """A command cannot do what it was asked; each of `sentences` says what is wrong and how to fix it."""

    def __init__(self, *sentences: str, status: Status = Status.FAILED) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences
        self.status = status


def usage(*sentences: str) -> CommandError:
    """Make the error for wrong usage, input or settings."""
    return CommandError(*sentences, status=Status.USAGE)


#: What the user of a command can do about an error of the system.
_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "allow this user to use it, or name another place",
    errno.EPERM: "allow this user to use it, or name another place",
    errno.EMFILE: "allow more open files (`ulimit -n`)",
    errno.ENFILE: "allow more open files on this machine",
    errno.EAGAIN: "allow more processes and threads (`ulimit -u`)",
    errno.ENOMEM: "give the machine more memory",
    errno.ENAMETOOLONG: "name a shorter path",
}


def of_the_system(error: OSError) -> str:
    """Tell an error of the system: it is about the surroundings, and no defect of this program."""
    what = str(error.strerror or type(error).__name__)
    if "temporary directory" in what:
        return "No folder for temporary files can be written: name one in TMPDIR. Then run the command again."
    where = f" ({error.filename!s})" if isinstance(error.filename, str) else ""
    remedy = _REMEDIES.get(error.errno or 0, "look after it")
    return f"The system refuses what the command needs: {what}{where}. To go on, {remedy}, and run the command again."
