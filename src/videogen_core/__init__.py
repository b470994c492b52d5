"""One Python interface to every video generation model.

The public names. Each is imported when it is first used, so that ``import videogen`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .arguments import (
        ChoiceArgs as ChoiceArgs,
    )
    from .arguments import (
        ClipArgs as ClipArgs,
    )
    from .arguments import (
        DeliveryArgs as DeliveryArgs,
    )
    from .arguments import (
        GenerateArgs as GenerateArgs,
    )
    from .arguments import (
        RouteArgs as RouteArgs,
    )
    from .capabilities import Change as Change
    from .capabilities import Violation as Violation,frame_size as frame_size
    from .client import AsyncClient as AsyncClient
    from .client import AsyncJob as AsyncJob
    from .client import Client as Client
    from .client import Job as Job
    from .default import (
        acheck as acheck,
    )
    from .default import (
        aestimate as aestimate,
    )
    from .default import (
        aevents as aevents,
    )
    from .default import (
        agenerate as agenerate,
    )
    from .default import (
        ajob as ajob,
    )
    from .default import (
        ajobs as ajobs,
    )
    from .default import (
        amax_duration as amax_duration,
    )
    from .default import (
        amodels as amodels,
    )
    from .default import (
        aresume as aresume,
    )
    from .default import (
        aroute as aroute,
    )
    from .default import (
        asubmit as asubmit,
    )
    from .default import (
        check as check,
    )
    from .default import (
        configure as configure,
    )
    from .default import (
        default_client as default_client,
    )
    from .default import (
        estimate as estimate,
    )
    from .default import (
        events as events,
    )
    from .default import (
        generate as generate,
    )
    from .default import (
        job as job,
    )
    from .default import (
        jobs as jobs,
    )
    from .default import (
        max_duration as max_duration,
    )
    from .default import (
        models as models,
    )
    from .default import (
        resume as resume,
    )
    from .default import (
        route as route,
    )
    from .default import (
        submit as submit,
    )
    from .errors import (
        AuthenticationError as AuthenticationError,
    )
    from .errors import (
        BudgetExceededError as BudgetExceededError,
    )
    from .errors import (
        ConfigurationError as ConfigurationError,
    )
    from .errors import (
        ContentPolicyError as ContentPolicyError,
    )
    from .errors import (
        DownloadError as DownloadError,
    )
    from .errors import (
        GenerationFailedError as GenerationFailedError,
    )
    from .errors import (
        InsufficientCreditsError as InsufficientCreditsError,
    )
    from .errors import (
        IntegrityError as IntegrityError,
    )
    from .errors import (
        InvalidMediaError as InvalidMediaError,
    )
    from .errors import (
        JobCancelledError as JobCancelledError,
    )
    from .errors import (
        JobTimeoutError as JobTimeoutError,
    )
    from .errors import (
        LedgerError as LedgerError,
    )
    from .errors import (
        MissingCredentialsError as MissingCredentialsError,
    )
    from .errors import (
        ModelNotFoundError as ModelNotFoundError,
    )
    from .errors import (
        NoRouteError as NoRouteError,
    )
    from .errors import (
        PermissionDeniedError as PermissionDeniedError,
    )
    from .errors import (
        PluginError as PluginError,
    )
    from .errors import (
        ProviderError as ProviderError,
    )
    from .errors import (
        ProviderProtocolError as ProviderProtocolError,
    )
    from .errors import (
        ProviderUnavailableError as ProviderUnavailableError,
    )
    from .errors import (
        RateLimitError as RateLimitError,
    )
    from .errors import (
        RejectedRequestError as RejectedRequestError,
    )
    from .errors import (
        RequestError as RequestError,
    )
    from .errors import (
        ResultExpiredError as ResultExpiredError,
    )
    from .errors import (
        SubmissionUnknownError as SubmissionUnknownError,
    )
    from .errors import (
        UnsupportedRequestError as UnsupportedRequestError,
    )
    from .errors import (
        VideogenError as VideogenError,
    )
    from .hookspecs import hookimpl as hookimpl
    from .media import prepare_image as prepare_image
    from .pricing import Quote as Quote
    from .pricing import QuoteLine as QuoteLine
    from .provider import (
        PLUGIN_API as PLUGIN_API,
    )
    from .provider import (
        Cancellation as Cancellation,
    )
    from .provider import (
        Context as Context,
    )
    from .provider import (
        Output as Output,
    )
    from .provider import (
        Provider as Provider,
    )
    from .provider import (
        ProviderJob as ProviderJob,
    )
    from .provider import (
        Session as Session,
    )
    from .provider import (
        Snapshot as Snapshot,
    )
    from .provider import (
        Submission as Submission,
    )
    from .provider import (
        SubmitCall as SubmitCall,
    )
    from .request import Media as Media
    from .request import Task as Task
    from .request import VideoRequest as VideoRequest
    from .routing import Candidate as Candidate
    from .routing import Policy as Policy
    from .routing import Rejection as Rejection
    from .routing import Route as Route
    from .settings import Settings as Settings
    from .settings import load_settings as load_settings
    from .spec import (
        CAMERA_MOVES as CAMERA_MOVES,
    )
    from .spec import (
        Camera as Camera,
    )
    from .spec import (
        Defaults as Defaults,
    )
    from .spec import (
        Latency as Latency,
    )
    from .spec import (
        License as License,
    )
    from .spec import (
        Lifecycle as Lifecycle,
    )
    from .spec import (
        MediaLimits as MediaLimits,
    )
    from .spec import (
        Mode as Mode,
    )
    from .spec import (
        ModelSpec as ModelSpec,
    )
    from .spec import (
        OptionSpec as OptionSpec,
    )
    from .spec import (
        Price as Price,
    )
    from .spec import (
        PromptLimits as PromptLimits,
    )
    from .spec import (
        Span as Span,
    )
    from .spec import (
        Stage as Stage,
    )
    from .spec import (
        Tier as Tier,
    )
    from .states import (
        Artifact as Artifact,
    )
    from .states import (
        Attempt as Attempt,
    )
    from .states import (
        Event as Event,
    )
    from .states import (
        JobStatus as JobStatus,
    )
    from .states import (
        Money as Money,
    )
    from .states import (
        Result as Result,
    )
    from .states import (
        Video as Video,
    )

_HOME = {
    "ChoiceArgs": "arguments",
    "ClipArgs": "arguments",
    "DeliveryArgs": "arguments",
    "GenerateArgs": "arguments",
    "RouteArgs": "arguments",
    "Change": "capabilities",
    "Violation": "capabilities",
    "frame_size": "capabilities",
    "AsyncClient": "client",
    "AsyncJob": "client",
    "Client": "client",
    "Job": "client",
    "acheck": "default",
    "aestimate": "default",
    "aevents": "default",
    "agenerate": "default",
    "ajob": "default",
    "ajobs": "default",
    "amax_duration": "default",
    "amodels": "default",
    "aresume": "default",
    "aroute": "default",
    "asubmit": "default",
    "check": "default",
    "configure": "default",
    "default_client": "default",
    "estimate": "default",
    "events": "default",
    "generate": "default",
    "job": "default",
    "jobs": "default",
    "max_duration": "default",
    "models": "default",
    "resume": "default",
    "route": "default",
    "submit": "default",
    "AuthenticationError": "errors",
    "BudgetExceededError": "errors",
    "ConfigurationError": "errors",
    "ContentPolicyError": "errors",
    "DownloadError": "errors",
    "GenerationFailedError": "errors",
    "InsufficientCreditsError": "errors",
    "IntegrityError": "errors",
    "InvalidMediaError": "errors",
    "JobCancelledError": "errors",
    "JobTimeoutError": "errors",
    "LedgerError": "errors",
    "MissingCredentialsError": "errors",
    "ModelNotFoundError": "errors",
    "NoRouteError": "errors",
    "PermissionDeniedError": "errors",
    "PluginError": "errors",
    "ProviderError": "errors",
    "ProviderProtocolError": "errors",
    "ProviderUnavailableError": "errors",
    "RateLimitError": "errors",
    "RejectedRequestError": "errors",
    "RequestError": "errors",
    "ResultExpiredError": "errors",
    "SubmissionUnknownError": "errors",
    "UnsupportedRequestError": "errors",
    "VideogenError": "errors",
    "hookimpl": "hookspecs",
    "Artifact": "states",
    "Attempt": "states",
    "Event": "states",
    "JobStatus": "states",
    "Money": "states",
    "Result": "states",
    "Video": "states",
    "prepare_image": "media",
    "Quote": "pricing",
    "QuoteLine": "pricing",
    "Cancellation": "provider",
    "Context": "provider",
    "Output": "provider",
    "PLUGIN_API": "provider",
    "Provider": "provider",
    "ProviderJob": "provider",
    "Session": "provider",
    "Snapshot": "provider",
    "Submission": "provider",
    "SubmitCall": "provider",
    "Media": "request",
    "Task": "request",
    "VideoRequest": "request",
    "Candidate": "routing",
    "Policy": "routing",
    "Rejection": "routing",
    "Route": "routing",
    "Settings": "settings",
    "load_settings": "settings",
    "CAMERA_MOVES": "spec",
    "Camera": "spec",
    "Defaults": "spec",
    "Latency": "spec",
    "License": "spec",
    "Lifecycle": "spec",
    "MediaLimits": "spec",
    "Mode": "spec",
    "ModelSpec": "spec",
    "OptionSpec": "spec",
    "Price": "spec",
    "PromptLimits": "spec",
    "Span": "spec",
    "Stage": "spec",
    "Tier": "spec",
    "resolution_height": "spec",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("videogen-core")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
