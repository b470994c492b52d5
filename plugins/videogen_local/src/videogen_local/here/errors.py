"""What goes wrong while a job runs, and how diffusers' own errors are told to people."""

from __future__ import annotations

import errno

from .spool import Failure

__all__ = ["JobError", "Stopped", "failure_of", "is_out_of_memory"]


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class JobError(Exception):
    """A job cannot be done, for a reason that people can understand.

    Attributes:
        failure: The words.
    """

    def __init__(self, message: str, hint: str | None = None, code: str = "failed") -> None:
        super().__init__(message)
        self.failure = Failure(message=message, hint=hint, code=code)


class Stopped(BaseException):
    """Raised inside a running pipeline at the next step after somebody has asked to stop."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had too little memory."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "not enough memory" in text)


def failure_of(error: BaseException, doing: str) -> Failure:
    """An error of a library in words; its own are kept, since they are all that tells what was wrong.

    Args:
        error: What was raised.
        doing: What was being done: ``loading`` or ``running``.
    """
    if isinstance(error, JobError):
        return error.failure
    if isinstance(error, OSError) and error.errno in _DISK:
        return Failure(
            message=f"The clip could not be written to this machine's disk: {error.strerror or error}.",
            hint="Free some space in your videogen home, or set VIDEOGEN_HOME to a disk that has some; then try again.",
            code="disk",
        )
    said = " ".join(str(error).split())[:500] or type(error).__name__
    if doing == "loading":
        return Failure(
            message=f"The pipeline could not be loaded: {type(error).__name__}: {said}",
            hint="Its files are damaged, or were made for another version of diffusers. Pull or copy it again.",
            code="corrupt",
        )
    if isinstance(error, NameError):  # diffusers leaves out what it cannot import, and stumbles over it later
        return Failure(
            message=f"The pipeline failed: {said}. diffusers takes it from a package that is not installed.",
            hint="'ftfy' is a package of that name; 'transforms' is of torchvision. Install it and ask again.",
            code="no_package",
        )
    return Failure(message=f"The pipeline failed: {type(error).__name__}: {said}", code="failed")
