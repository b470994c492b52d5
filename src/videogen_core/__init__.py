"""One Python interface to every video generation model.

The public names. Each is imported when it is first used, so that ``import videogen`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .arguments import (
        ChoiceArgs as ChoiceArgs,
        ClipArgs as ClipArgs,
        DeliveryArgs as DeliveryArgs,
        FilterArgs as FilterArgs,
        GenerateArgs as GenerateArgs,
        RouteArgs as RouteArgs,
    )
    from .async_client import AsyncClient as AsyncClient, AsyncJob as AsyncJob
    from .budget import (
        Budget as Budget,
        BudgetState as BudgetState,
        Period as Period,
    )
    from .capabilities import Change as Change, frame_size as frame_size
    from .cost import (
        CostLine as CostLine,
    )
    from .default import (
        aacknowledge_budget as aacknowledge_budget,
        abudgets as abudgets,
        acheck as acheck,
        acknowledge_budget as acknowledge_budget,
        acosts as acosts,
        aestimate as aestimate,
        aevents as aevents,
        agenerate as agenerate,
        ajob as ajob,
        ajobs as ajobs,
        amax_duration as amax_duration,
        amodels as amodels,
        aping as aping,
        aremove_budget as aremove_budget,
        aresume as aresume,
        aroute as aroute,
        aset_budget as aset_budget,
        asubmit as asubmit,
        awebhook as awebhook,
        budgets as budgets,
        check as check,
        configure as configure,
        costs as costs,
        default_client as default_client,
        estimate as estimate,
        events as events,
        generate as generate,
        job as job,
        jobs as jobs,
        max_duration as max_duration,
        models as models,
        ping as ping,
        remove_budget as remove_budget,
        resume as resume,
        route as route,
        set_budget as set_budget,
        submit as submit,
        webhook as webhook,
    )
    from .errors import (
        AuthenticationError as AuthenticationError,
        BudgetExceededError as BudgetExceededError,
        ConfigurationError as ConfigurationError,
        ContentPolicyError as ContentPolicyError,
        DownloadError as DownloadError,
        GenerationFailedError as GenerationFailedError,
        InsufficientCreditsError as InsufficientCreditsError,
        IntegrityError as IntegrityError,
        InvalidMediaError as InvalidMediaError,
        JobCancelledError as JobCancelledError,
        JobTimeoutError as JobTimeoutError,
        LedgerError as LedgerError,
        MissingCredentialsError as MissingCredentialsError,
        ModelNotFoundError as ModelNotFoundError,
        ModelRetiredError as ModelRetiredError,
        NoRouteError as NoRouteError,
        PermissionDeniedError as PermissionDeniedError,
        PluginError as PluginError,
        ProviderError as ProviderError,
        ProviderProtocolError as ProviderProtocolError,
        ProviderUnavailableError as ProviderUnavailableError,
        RateLimitError as RateLimitError,
        RejectedRequestError as RejectedRequestError,
        RequestError as RequestError,
        ResultExpiredError as ResultExpiredError,
        SubmissionUnknownError as SubmissionUnknownError,
        UnsupportedRequestError as UnsupportedRequestError,
        VideogenError as VideogenError,
        WebhookError as WebhookError,
    )
    from .hookspecs import hookimpl as hookimpl
    from .images import prepare_image as prepare_image
    from .ledger import (
        Ledger as Ledger,
    )
    from .limits import Violation as Violation
    from .planning import price_per_second as price_per_second
    from .pricing import Quote as Quote, QuoteLine as QuoteLine
    from .provider import (
        PLUGIN_API as PLUGIN_API,
        Cancellation as Cancellation,
        Context as Context,
        Found as Found,
        Notice as Notice,
        Output as Output,
        Provider as Provider,
        ProviderJob as ProviderJob,
        Recovery as Recovery,
        Session as Session,
        Snapshot as Snapshot,
        Submission as Submission,
        SubmitCall as SubmitCall,
    )
    from .request import Media as Media, Task as Task, VideoRequest as VideoRequest
    from .routing import Candidate as Candidate, Policy as Policy, Rejection as Rejection, Route as Route
    from .settings import Settings as Settings, load_settings as load_settings
    from .spec import (
        CAMERA_MOVES as CAMERA_MOVES,
        Camera as Camera,
        Defaults as Defaults,
        Latency as Latency,
        License as License,
        Lifecycle as Lifecycle,
        MediaLimits as MediaLimits,
        Mode as Mode,
        ModelSpec as ModelSpec,
        OptionSpec as OptionSpec,
        Price as Price,
        PromptLimits as PromptLimits,
        Span as Span,
        Stage as Stage,
        Tier as Tier,
        resolution_height as resolution_height,
    )
    from .states import (
        Artifact as Artifact,
        Attempt as Attempt,
        Event as Event,
        JobStatus as JobStatus,
        Money as Money,
        Result as Result,
        Video as Video,
    )
    from .sync_client import Client as Client, Job as Job

    __version__: str

_HOME = {
    "ChoiceArgs": "arguments",
    "ClipArgs": "arguments",
    "DeliveryArgs": "arguments",
    "FilterArgs": "arguments",
    "GenerateArgs": "arguments",
    "RouteArgs": "arguments",
    "AsyncClient": "async_client",
    "AsyncJob": "async_client",
    "Budget": "budget",
    "BudgetState": "budget",
    "Period": "budget",
    "Change": "capabilities",
    "frame_size": "capabilities",
    "CostLine": "cost",
    "aacknowledge_budget": "default",
    "abudgets": "default",
    "acheck": "default",
    "acknowledge_budget": "default",
    "acosts": "default",
    "aestimate": "default",
    "aevents": "default",
    "agenerate": "default",
    "ajob": "default",
    "ajobs": "default",
    "amax_duration": "default",
    "amodels": "default",
    "aping": "default",
    "aremove_budget": "default",
    "aresume": "default",
    "aroute": "default",
    "aset_budget": "default",
    "asubmit": "default",
    "awebhook": "default",
    "budgets": "default",
    "check": "default",
    "configure": "default",
    "costs": "default",
    "default_client": "default",
    "estimate": "default",
    "events": "default",
    "generate": "default",
    "job": "default",
    "jobs": "default",
    "max_duration": "default",
    "models": "default",
    "ping": "default",
    "remove_budget": "default",
    "resume": "default",
    "route": "default",
    "set_budget": "default",
    "submit": "default",
    "webhook": "default",
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
    "ModelRetiredError": "errors",
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
    "WebhookError": "errors",
    "hookimpl": "hookspecs",
    "prepare_image": "images",
    "Ledger": "ledger",
    "Violation": "limits",
    "price_per_second": "planning",
    "Quote": "pricing",
    "QuoteLine": "pricing",
    "Cancellation": "provider",
    "Context": "provider",
    "Found": "provider",
    "Notice": "provider",
    "Output": "provider",
    "PLUGIN_API": "provider",
    "Provider": "provider",
    "ProviderJob": "provider",
    "Recovery": "provider",
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
    "load_settings": "settings",
    "Settings": "settings",
    "Camera": "spec",
    "CAMERA_MOVES": "spec",
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
    "resolution_height": "spec",
    "Span": "spec",
    "Stage": "spec",
    "Tier": "spec",
    "Artifact": "states",
    "Attempt": "states",
    "Event": "states",
    "JobStatus": "states",
    "Money": "states",
    "Result": "states",
    "Video": "states",
    "Client": "sync_client",
    "Job": "sync_client",
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and reports a name that is not there
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
