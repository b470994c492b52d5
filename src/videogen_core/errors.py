"""Every error that leaves this library.

    VideogenError
    ├── ConfigurationError
    │   ├── MissingCredentialsError
    │   └── PluginError
    ├── RequestError
    │   ├── ModelNotFoundError
    │   ├── UnsupportedRequestError    .violations
    │   ├── InvalidMediaError
    │   ├── InvalidRowsError           .faults
    │   └── NoRouteError               .rejected
    ├── BudgetExceededError
    ├── ProviderError                  .provider .model .code .status_code .request_id
    │   │                              .retryable .charged .retry_after .accepted
    │   ├── AuthenticationError
    │   ├── PermissionDeniedError
    │   ├── InsufficientCreditsError
    │   ├── RateLimitError
    │   ├── ContentPolicyError
    │   ├── RejectedRequestError
    │   │   └── ModelRetiredError
    │   ├── GenerationFailedError
    │   ├── ProviderUnavailableError
    │   └── ProviderProtocolError
    ├── JobTimeoutError                .job_id
    ├── JobCancelledError              .job_id
    ├── SubmissionUnknownError         .job_id
    ├── DownloadError                  .job_id
    │   ├── IntegrityError
    │   └── ResultExpiredError
    ├── LedgerError
    └── WebhookError                   .status_code

No class has a foreign base, all can be pickled, and ``to_dict`` is the shape that ``--json`` prints. Whatever words one
is given, by a plugin or a vendor, known keys are masked in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .secret import masked

__all__ = [
    "AuthenticationError",
    "BudgetExceededError",
    "ConfigurationError",
    "ContentPolicyError",
    "DownloadError",
    "GenerationFailedError",
    "InsufficientCreditsError",
    "IntegrityError",
    "InvalidMediaError",
    "InvalidRowsError",
    "JobCancelledError",
    "JobTimeoutError",
    "LedgerError",
    "MissingCredentialsError",
    "ModelNotFoundError",
    "ModelRetiredError",
    "NoRouteError",
    "PermissionDeniedError",
    "PluginError",
    "ProviderError",
    "ProviderProtocolError",
    "ProviderUnavailableError",
    "RateLimitError",
    "RejectedRequestError",
    "RequestError",
    "ResultExpiredError",
    "SubmissionUnknownError",
    "UnsupportedRequestError",
    "VideogenError",
    "WebhookError",
]


def _rebuild(cls: type[VideogenError], args: tuple[Any, ...], state: dict[str, Any]) -> VideogenError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class VideogenError(Exception):
    """Base of every error raised by videogen.

    Args:
        message: What happened and whose fault it was, in one sentence.
        hint: What to do next.
        job_id: The job that this happened to, where there is one.
    """

    # Names of the attributes that ``to_dict`` adds for this class.
    _fields: ClassVar[tuple[str, ...]] = ("job_id",)

    def __init__(self, message: str, *, hint: str | None = None, job_id: str | None = None) -> None:
        super().__init__(masked(message))
        self.hint = None if hint is None else masked(hint)
        self.job_id = job_id

    @property
    def message(self) -> str:
        """The sentence without the hint."""
        return str(self.args[0]) if self.args else type(self).__name__

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., VideogenError], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def to_dict(self) -> dict[str, Any]:
        """The error as plain JSON data: type, message, hint and whatever else is known."""
        data: dict[str, Any] = {"type": type(self).__name__, "message": self.message, "hint": self.hint}
        for name in self._fields:
            value = getattr(self, name)
            if value is not None:
                data[name] = value
        return data


class ConfigurationError(VideogenError):
    """The installation or its settings are wrong; nothing was sent."""


class MissingCredentialsError(ConfigurationError):
    """A provider has no usable key; the message names the variable to set."""


class PluginError(ConfigurationError):
    """A plugin cannot be loaded, or broke the provider interface."""


class RequestError(VideogenError):
    """The request is wrong; it was refused before anything was sent or spent."""


class ModelNotFoundError(RequestError):
    """No installed plugin offers a model of that name."""


class UnsupportedRequestError(RequestError):
    """The model cannot do what the request asks.

    Attributes:
        violations: Every broken rule (`Violation`), each with field, value, allowed values and nearest value.
    """

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Any] = (),
        hint: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, job_id=job_id)
        self.violations = tuple(violations)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "violations": [v.to_dict() for v in self.violations]}


class InvalidMediaError(RequestError):
    """An input image or video is missing, unreadable, too large, or not what its name says."""


class InvalidRowsError(RequestError):
    """Rows of a batch are wrong; no row was sent.

    Attributes:
        faults: For each of them, the first hundred, its number as ``row`` and what `to_dict` gives of its own error.
    """

    def __init__(
        self,
        message: str,
        *,
        faults: Sequence[dict[str, Any]] = (),
        hint: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, job_id=job_id)
        self.faults = tuple(faults)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "faults": list(self.faults)}


class NoRouteError(RequestError):
    """Every offer was refused.

    Attributes:
        rejected: One `Rejection` per offer, with its reason.
    """

    def __init__(
        self,
        message: str,
        *,
        rejected: Sequence[Any] = (),
        hint: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, job_id=job_id)
        self.rejected = tuple(rejected)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "rejected": [r.to_dict() for r in self.rejected]}


class BudgetExceededError(VideogenError):
    """The estimate's high end is above ``max_cost`` or what a budget has left; nothing was sent."""


class ProviderError(VideogenError):
    """The provider refused or failed.

    Attributes:
        provider: Adapter id, such as ``veo``.
        model: Offer id, such as ``veo/veo-3.1-fast``.
        code: The vendor's own error code.
        status_code: HTTP status, where there was one.
        request_id: The vendor's id of the request, for its support.
        retryable: Whether the same request may succeed later.
        charged: True, False, or None when nobody knows.
        retry_after: Seconds that the provider asks to wait.
        accepted: On a submit: False when the provider is known not to have accepted the job, so that it may be
            repeated; None when nobody can know, so that it never is.
    """

    _fields = (
        "job_id",
        "provider",
        "model",
        "code",
        "status_code",
        "request_id",
        "retryable",
        "charged",
        "retry_after",
    )
    # What is true of the class unless the plugin knows better.
    default_retryable: ClassVar[bool] = False
    default_charged: ClassVar[bool | None] = None
    # Whether another provider could cure it, so that the router may fall back.
    curable_elsewhere: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        code: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
        charged: bool | None = None,
        retry_after: float | None = None,
        accepted: bool | None = None,
        hint: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, job_id=job_id)
        self.provider = provider
        self.model = model
        self.code = None if code is None else masked(str(code))
        self.status_code = status_code
        self.request_id = None if request_id is None else masked(str(request_id))
        self.retryable = self.default_retryable if retryable is None else retryable
        self.charged = self.default_charged if charged is None else charged
        self.retry_after = retry_after
        self.accepted = accepted


class AuthenticationError(ProviderError):
    """The key was refused (wrong, expired, or for another region)."""

    default_charged = False


class PermissionDeniedError(ProviderError):
    """The key is valid but may not use this model or resource."""

    default_charged = False


class InsufficientCreditsError(ProviderError):
    """The provider account has too little balance."""

    default_charged = False
    curable_elsewhere = True


class RateLimitError(ProviderError):
    """Too many requests or jobs; ``retry_after`` says how long to wait where the provider does."""

    default_retryable = True
    default_charged = False
    curable_elsewhere = True


class ContentPolicyError(ProviderError):
    """The provider's content filter blocked the prompt, an input or the result."""


class RejectedRequestError(ProviderError):
    """The provider called the request invalid although our catalogue allowed it."""

    default_charged = False


class ModelRetiredError(RejectedRequestError):
    """The provider no longer has the model, although our catalogue says that it is alive."""

    curable_elsewhere = True


class GenerationFailedError(ProviderError):
    """The provider accepted the job and then failed to make the video."""


class ProviderUnavailableError(ProviderError):
    """The provider cannot be reached or is failing on its side."""

    default_retryable = True
    curable_elsewhere = True


class ProviderProtocolError(ProviderError):
    """The provider answered something that its documentation does not allow."""


class JobTimeoutError(VideogenError):
    """The wait ended before the job did. The job goes on and can be resumed."""


class JobCancelledError(VideogenError):
    """The job was cancelled."""


class SubmissionUnknownError(VideogenError):
    """The connection broke while the provider was being asked: it may have accepted the job, and may charge for it."""


class DownloadError(VideogenError):
    """The video exists at the provider but could not be stored here; the job can be resumed to fetch it again."""


class IntegrityError(DownloadError):
    """What arrived is not a whole, decodable video."""


class ResultExpiredError(DownloadError):
    """The provider no longer has the result."""


class LedgerError(VideogenError):
    """The job record cannot be read or written."""


class WebhookError(VideogenError):
    """A webhook delivery was refused; nothing was changed.

    Attributes:
        status_code: HTTP status to answer with: 400 (not genuine, or unreadable), 404 (about no job of ours), 409
            (taken in before), 413 (too large). Answer with the status alone, so that nobody learns why.
    """

    _fields = ("job_id", "status_code")

    def __init__(
        self, message: str, *, status_code: int = 400, hint: str | None = None, job_id: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, job_id=job_id)
        self.status_code = status_code
