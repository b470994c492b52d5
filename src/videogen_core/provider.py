"""What a provider plugin implements, and the small records it exchanges with the engine.

A `Provider` is pure: it lists offers and says whether it is ready, with no network and no vendor SDK. `connect` opens
a `Session`, which does the talking; vendor SDKs are imported there. The engine owns everything else: the ledger, the
waiting, retries, downloads and money.

The rule that matters most: `Session.submit` sends **one** request that can create a job. No retries, no redirects,
the vendor SDK's own retries off. When the answer is lost it raises anything but a `ProviderError` with
``accepted=False``, and the job becomes ``unknown`` instead of being paid for twice.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .catalog import parse_catalog
from .errors import ConfigurationError, ProviderError, WebhookError
from .limits import advice
from .request import Media, VideoRequest
from .spec import ModelSpec
from .states import JobStatus

if TYPE_CHECKING:
    import httpx

__all__ = [
    "OLDEST_PLUGIN_API",
    "PLUGIN_API",
    "Cancellation",
    "Context",
    "Found",
    "Notice",
    "Output",
    "Provider",
    "ProviderJob",
    "Recovery",
    "Session",
    "Snapshot",
    "Submission",
    "SubmitCall",
]

PLUGIN_API = 2
"""Version of this interface. A plugin states the one it was written for; the core serves this and the one before."""
OLDEST_PLUGIN_API = 1
"""The oldest version that is still served."""


@dataclass(frozen=True, kw_only=True)
class SubmitCall:
    """One job to create.

    Attributes:
        spec: The offer.
        request: The request with every default written out; send each value explicitly.
        client_ref: Our id of this attempt, to send along where the vendor takes one.
        timeout: Seconds that the create may take.
        read: Gives the bytes of an input, fetching a URL through the address guard if need be.
        prepared: What `Session.prepare` returned.
        webhook_url: Where the vendor is to tell news of this attempt, where it takes an address per job; None = the
            user has not set one up. It holds ``client_ref``, so nobody else can guess it.
    """

    spec: ModelSpec
    request: VideoRequest
    client_ref: str
    timeout: float
    read: Callable[[Media], Awaitable[bytes]]
    prepared: dict[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """This provider's options, defaults filled in where the catalogue has one."""
        defaults = {name: option.default for name, option in self.spec.options.items() if option.default is not None}
        return {**defaults, **self.request.options.get(self.spec.provider, {})}


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The provider accepted: its id of the job, and what is needed to ask for it from another process.

    Attributes:
        provider_job_id: The vendor's id, 1 to 512 visible ASCII characters.
        handle: Plain JSON that `Session.poll` gets back, in this process or another, today or tomorrow.
        request_id: The vendor's id of the HTTP request.
        poll_after: Seconds until the first poll, where the provider knows better than the past does.
        reply: The vendor's answer as text, for support; it is redacted and cut to 64 KiB before it is stored.
    """

    provider_job_id: str
    handle: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    poll_after: float | None = None
    reply: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A job at the provider that may be the one whose create got no answer.

    Attributes:
        submission: As if its create had been answered now.
        ours: True when it carries our ``client_ref``, or echoes exactly our inputs; False when only the model and the
            time speak for it. Such a one is shown to a person and never taken by itself.
        age: Seconds since it was created, by the vendor's own clock (its ``Date`` header); None = it does not say.
    """

    submission: Submission
    ours: bool
    age: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What can be done about a create whose answer was lost; see the attributes of `Provider` of the same names."""

    idempotency: float = 0.0
    reconcile: Literal["by_ref", "by_list", "by_time", "none"] = "none"
    list_lag: float = 0.0
    reconcile_window: float | None = None
    console: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a webhook delivery says, once its sender is known. It is a hint: the job is asked for all the same.

    Attributes:
        provider_job_id: The vendor's id of the job; None when the delivery does not say.
        handle: What `Session.poll` needs, in case the create of this very job got no answer.
        delivery_id: The vendor's id of the delivery; a second one with the same id is refused. None = it has none.
    """

    provider_job_id: str | None
    handle: dict[str, Any] = field(default_factory=dict)
    delivery_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProviderJob:
    """A job that the provider has, as the ledger remembers it."""

    spec: ModelSpec
    request: VideoRequest
    client_ref: str
    provider_job_id: str
    handle: dict[str, Any]
    submitted_at: datetime


@dataclass(frozen=True, kw_only=True)
class Output:
    """One file that the provider made; exactly one of ``url`` and ``data`` is set.

    Attributes:
        url: Where to fetch it. May be secret (signed): it is never logged and never stored.
        data: The bytes, for providers that answer inline.
        headers: What to send to that address, to its own origin only.
        mime_type: As the provider says. ``application/zip`` (an archive of frames) and ``audio/wav`` are stored as they
            are, when the archive or the header says that they are whole; anything else has to be a clip.
        sha256: Hex digest, where the provider gives one.
        size: Bytes, where the provider says.
        kept_at: Where it stays, in a place of the user's own, such as ``gs://bucket/clip.mp4``; recorded as the clip's
            ``url``.
        trusted: Whether ``url`` is at a server that the user has named in the settings. That one may have a private
            address, any port, and http; whatever it redirects to may not.
        keep_url: What plugins of API 1 said instead of ``kept_at``: ``url`` is such a place. Deprecated.
    """

    url: str | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    mime_type: str = "video/mp4"
    sha256: str | None = None
    size: int | None = None
    kept_at: str | None = None
    trusted: bool = False
    keep_url: InitVar[bool] = False

    def __post_init__(self, keep_url: bool) -> None:
        if keep_url is True:
            said = "Output(keep_url=True) is of plugin API 1: write kept_at=url. It goes when API 1 is served no more."
            warnings.warn(said, DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "kept_at", self.url)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a poll found.

    Attributes:
        status: ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``. A word that the plugin does not
            know is ``running`` with a ``message``, never failed.
        progress: 0 to 1, where the provider says.
        message: A sentence worth showing, or a warning.
        outputs: The files, once succeeded. Fewer than asked is a partial success.
        expired: It succeeded, and the provider no longer has the files; it is paid for all the same.
        cost: USD charged, where the provider says.
        error: Why it failed; required when ``status`` is failed. ``error.charged`` says whether it was paid for.
        poll_after: Seconds until the next poll, where the provider knows better than the past does.
        remaining: Seconds until it is done, as the provider expects.
    """

    status: JobStatus
    progress: float | None = None
    message: str = ""
    outputs: tuple[Output, ...] = ()
    expired: bool = False
    cost: Decimal | None = None
    error: ProviderError | None = None
    poll_after: float | None = None
    remaining: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """What became of a cancel.

    Attributes:
        accepted: Whether the provider stopped the job, or will. The engine polls on to see how it ends.
        gone: True when the provider forgets a cancelled job, so that there is nothing left to poll.
        cost: USD charged, where the provider says.
        message: A sentence worth showing.
    """

    accepted: bool
    gone: bool = False
    cost: Decimal | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a session may use.

    Attributes:
        settings: This provider's table of the configuration, ``[providers.NAME]``.
        environment: Environment variables, with ``.env`` beneath them.
        http: Makes an HTTP client with the core's timeouts, user agent, redaction and no redirects. It accepts the
            arguments of ``httpx.AsyncClient``.
        folder: A folder of this provider's own under the user's videogen home, for what it keeps from one process to
            the next. It need not exist yet; whoever writes there makes it.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    http: Callable[..., httpx.AsyncClient]
    folder: Path


class Session(ABC):
    """Talks to one vendor, inside one event loop. Every method may be called for several jobs at once."""

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Do what can be repeated and costs nothing, such as uploading inputs; the result comes back in the call.

        Raises:
            ProviderError: Treated as "not accepted".
        """
        return {}

    @abstractmethod
    async def submit(self, call: SubmitCall) -> Submission:
        """Create the job with exactly one request.

        Raises:
            ProviderError: With ``accepted=False`` when the provider is known not to have accepted it.
            ConfigurationError, RequestError: Nothing was sent. Any other exception means that nobody knows.
        """

    @abstractmethod
    async def poll(self, job: ProviderJob) -> Snapshot:
        """Ask once how the job is doing; also gives fresh addresses for a finished one.

        Raises:
            ProviderError: With ``retryable`` true when asking again may help.
        """

    async def cancel(self, job: ProviderJob) -> Cancellation:
        """Ask the provider to stop the job. The default: this provider cannot."""
        return Cancellation(accepted=False, message="this provider cannot cancel")

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        """Look for a job whose create got no answer, by ``call.client_ref`` or by listing.

        Only called when `Provider.reconcile` is not ``none``. Return every job that it may be; the engine takes one
        only when it is `Found.ours`, is the only such one, and belongs to no other job of the ledger. An empty answer
        authorises nothing, except where the vendor can be asked for our own id (``by_ref``), and then only when it is
        repeated after `Provider.list_lag`.

        Args:
            call: The create as it was sent; ``prepared`` is empty.
            started_at: When it was about to be sent, aware UTC, on our clock.
        """
        return ()

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        """Remove what `prepare` left at the vendor, such as uploads, once it is of no more use. The default: nothing.

        Called when a job is over and its clips are stored, or its create was refused; not while a create has no answer.
        It has ten seconds, and what it raises is not passed on: the vendor lets temporary files expire.

        Args:
            leftovers: The handle of a job that was accepted, else what `prepare` returned.
        """
        return

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        """What `poll` needs for a job whose id a person has looked up at the vendor. The default: the id alone.

        Raises:
            ProviderError: There is no such job.
        """
        return Submission(provider_job_id=provider_job_id)

    async def concurrency(self, spec: ModelSpec) -> int | None:
        """How many jobs of one model this account may have at once; None = not known, `Provider.concurrency` holds.

        For a vendor that tells its limits. Asked once, when a second job of the model is to run beside a first; what it
        raises is not passed on.
        """
        return None

    async def ping(self) -> str:
        """Check key and reachability at no cost, for ``videogen doctor --online``; returns one line to show."""
        return "no free check is known for this provider"

    async def close(self) -> None:
        """Release connections."""
        return


class Provider(ABC):
    """One vendor, as a plugin describes it. Importing and constructing it must be light.

    Attributes:
        name: Adapter id: the plugin's entry-point name and the first part of its offers' ids.
        title: For people.
        plugin_api: The `PLUGIN_API` it was written for, as a plain number. One that does not say is served as of
            version 1, which had no such rule.
        setup: One sentence: what a user must do to make it ready.
        idempotency: Seconds for which a create that is sent again with the same ``client_ref`` is documented to be the
            same job; 0 = the vendor knows no such key. A lost create is then sent again by itself, with that key.
        reconcile: How a lost create can be found again: ``by_ref`` (our id can be asked for), ``by_list`` (a list
            whose entries tell their inputs), ``by_time`` (a list that tells only model and time), ``none``.
        list_lag: Seconds until a new job shows where `Session.find` looks.
        reconcile_window: Seconds after which `Session.find` no longer finds a job; None = no limit.
        signed_webhooks: Whether the vendor signs its webhooks, so that `notice` can tell who sent one. False: only a
            delivery at the address of one attempt is taken in, and a job that it names is looked up with
            `Session.adopt` before it is believed.
        console: Where a person can look for a job, for when nothing else can: an address or a sentence.
        concurrency: Jobs at once, unless the user says otherwise or `Session.concurrency` knows better.
        poll_every: Least seconds between two looks at a job that the vendor asks for. When to look is otherwise chosen
            by how long the model's clips take, where `Snapshot.poll_after` does not say.
        catalog: Catalogue file inside the plugin's package.
        emulator: ``module:name`` of the `videogen_core.testing.Emulator` of the vendor's API that the plugin ships, for
            ``videogen emulate``; empty = none.
        commands: ``module:name`` of a `typer.Typer` with commands of the plugin's own, which ``videogen NAME …`` runs
            and only then imports; empty = none. Its help is the app's, and a name that the core has is the core's.
        rests: Whether failures in a row mean that it is down, so that none of its models is asked for a while. Not so
            where a failure says nothing of the next model: on this machine.
        discovery_seconds: For how long what `discover` said is good; 0 = it is asked each time, and nothing is kept,
            because asking costs next to nothing and the answer may change at any moment (a folder on this machine).
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    plugin_api: ClassVar[int] = 1
    setup: ClassVar[str] = ""
    idempotency: ClassVar[float] = 0.0
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "none"
    list_lag: ClassVar[float] = 0.0
    reconcile_window: ClassVar[float | None] = None
    signed_webhooks: ClassVar[bool] = True
    console: ClassVar[str] = ""
    concurrency: ClassVar[int] = 8
    poll_every: ClassVar[float] = 1.0
    catalog: ClassVar[str] = "catalog.toml"
    emulator: ClassVar[str] = ""
    commands: ClassVar[str] = ""
    rests: ClassVar[bool] = True
    discovery_seconds: ClassVar[float] = 86_400.0

    def models(self) -> tuple[ModelSpec, ...]:
        """The offers, from the package's catalogue file. No network, no key.

        A subclass of another provider's class that has no such file in its own package has the other's offers.

        Raises:
            ConfigurationError: There is no such file, or it is wrong.
        """
        modules = (
            kind.__module__ for kind in type(self).__mro__ if kind is not Provider and issubclass(kind, Provider)
        )
        packages = tuple(module.rpartition(".")[0] or module for module in modules)
        return _shipped(packages, self.catalog)

    def offers(
        self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
    ) -> tuple[ModelSpec, ...]:
        """The offers as this user's settings make them; the default: `models`, whatever they say.

        For a provider whose models or prices are the user's own: what lies on this machine, or a price per hour. Asked
        once per client, so it must be as quick as `models`. No network, and no vendor SDK is imported.

        Args:
            environment: Environment variables, with ``.env`` beneath them.
            settings: This provider's table of the configuration.
            folder: As in `Context`.

        Raises:
            ConfigurationError: The settings are wrong; the provider cannot be used then.
        """
        return self.models()

    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        """A model of the vendor that the catalogue does not describe, as the vendor itself describes it.

        Only for a vendor that does describe them. It is asked for a name that pins this provider and that no catalogue
        lists, and for a row that is an outline, once a day at most; the answer is kept. What is not known stays open: a
        price is left out.

        Args:
            name: What comes after ``provider/``, in lower case.
            context: As for `connect`; close what is opened with it. There is half a minute.

        Returns:
            An offer with the id ``provider/name``; None = the vendor has no such model.

        Raises:
            ProviderError: The vendor cannot be asked now.
            ModelNotFoundError: It has one of that name that cannot be used, because it makes no videos, say.
        """
        return None

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        """Return when the provider can be used; looks at settings only, never at the network.

        Raises:
            MissingCredentialsError: Naming the variable to set, never its value.
        """
        return

    def check_offer(self, spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        """Return when one offer of a provider that is ready can be used. The default: all of them can.

        For a vendor whose models need different keys. Looks at settings only, and never imports the vendor's SDK.

        Raises:
            MissingCredentialsError: Naming the variable to set for this model, and what works without it.
        """
        return

    def recovery(self, spec: ModelSpec) -> Recovery:
        """What can be done about a lost create of one offer. The default: what the provider's attributes say.

        For a provider whose offers are on machines that differ in this. Pure.
        """
        return Recovery(
            idempotency=self.idempotency,
            reconcile=self.reconcile,
            list_lag=self.list_lag,
            reconcile_window=self.reconcile_window,
            console=self.console,
        )

    def advice(self, spec: ModelSpec, request: VideoRequest) -> tuple[str, ...]:
        """What a request asks that is allowed and yet unwise, as sentences; told before it is sent.

        The default: more camera moves at once than `Camera.advised`. Pure, and never a reason to refuse.

        Args:
            spec: The offer.
            request: The request with every default written out.
        """
        return advice(spec, request)

    def remark(
        self,
        spec: ModelSpec,
        request: VideoRequest,
        environment: Mapping[str, str],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> str:
        """How the provider would go about a request, as a phrase for `Route.explain`. The default: nothing to say.

        Looks at settings and files only, never at the network, and never imports a vendor's SDK.

        Args:
            spec: The offer.
            request: The request with every default written out.
            environment: Environment variables, with ``.env`` beneath them.
            settings: This provider's table of the configuration.
            folder: The provider's own; see `Context.folder`.
        """
        return ""

    def tailored(
        self,
        spec: ModelSpec,
        request: VideoRequest,
        environment: Mapping[str, str],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> ModelSpec:
        """The offer with the prices and the latency that it has for one request. The default: as it is.

        For a provider whose options decide how much work a clip is, in a way that no rule of a price list tells: steps
        of a model on the user's own machine, say. Nothing but ``prices`` and ``latency`` may differ. Asked for each
        offer that takes the request, so it must be quick; asked again with its own answer, it gives the same. Looks at
        settings and files only, never at the network, and never imports a vendor's SDK.

        Args:
            spec: The offer.
            request: The request with every default written out.
            environment: Environment variables, with ``.env`` beneath them.
            settings: This provider's table of the configuration.
            folder: The provider's own; see `Context.folder`.
        """
        return spec

    def notes(self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        """What somebody who examines the installation wants to know, in sentences, for ``videogen doctor``.

        The default: nothing. For what is known here without asking anybody: the devices of this machine, say, as they
        were last seen. It must be quick; neither the network nor a vendor's SDK is used.

        Args:
            environment: Environment variables, with ``.env`` beneath them.
            settings: This provider's table of the configuration.
            folder: The provider's own; see `Context.folder`.
        """
        return ()

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        """What tells this user's account at the vendor from another one: a project, an organisation, or the key.

        Only a hash of it is ever stored. Job ids are taken to be unique within an account, and a cached clip is
        served to the account that made it. The default: all is one account.
        """
        return ""

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Notice:
        """Verify a webhook delivery of this vendor and say which job it is about.

        The body must be verified as it came, before it is parsed; `videogen_core.webhooks` has the usual scheme. Where
        the vendor signs nothing, set ``signed_webhooks = False``, and read what it says.

        Args:
            headers: Of the delivery, names in lower case.
            body: As it came.
            environment: Environment variables, with ``.env`` beneath them.
            settings: This provider's table of the configuration.

        Raises:
            WebhookError: It is not genuine, or cannot be read.
        """
        raise WebhookError(f"The provider {self.name!r} takes no webhooks.", status_code=404)

    @abstractmethod
    def connect(self, context: Context) -> Session:
        """Open a session. Vendor SDKs are imported here, not before."""


@cache
def _shipped(packages: tuple[str, ...], name: str) -> tuple[ModelSpec, ...]:
    """The offers of the first package's catalogue file, read once: it cannot change, and a long one takes 50 ms."""
    for package in packages:
        try:
            text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
        except (OSError, TypeError, ImportError):  # no such file, no package, or not one that is imported by its name
            continue
        return parse_catalog(text, origin=f"{package}/{name}").models
    raise ConfigurationError(
        f"There is no catalogue file {name} in the package {packages[0]}.",
        hint="Put it beside the provider's module, say Provider.catalog, or override models().",
    )
