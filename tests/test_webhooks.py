"""Signed webhooks: published vectors, malformed deliveries, changed secrets, the window, and how signatures compare."""

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings, strategies as st

from videogen_core import webhooks
from videogen_core.errors import ConfigurationError, WebhookError
from videogen_core.provider import Context, Notice, Provider, Session
from videogen_core.secret import Secret
from videogen_core.webhooks import StandardWebhooks

# Secret, id, time, body and signature, as the authors of the scheme publish them.
VECTORS = [
    (
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
]
SECRET, ID, NOW, BODY, SIGNATURE = VECTORS[0]
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


def signed(body: bytes = BODY, *, key: bytes = KEY, sent: object = NOW, delivery: str = ID) -> str:
    """A signature as the specification words it, made without the library."""
    made = hmac.new(key, f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(made).decode()}"


def headers(signature: str = SIGNATURE, *, sent: object = NOW, delivery: str = ID, prefix: str = "webhook-") -> Any:
    return {f"{prefix}id": delivery, f"{prefix}timestamp": str(sent), f"{prefix}signature": signature}


def at(moment: float = NOW, secrets: Any = SECRET, **options: Any) -> StandardWebhooks:
    return StandardWebhooks(secrets, clock=lambda: moment, **options)


@pytest.mark.promise("T15", "W1")
@pytest.mark.parametrize(("secret", "delivery", "sent", "body", "signature"), VECTORS)
@pytest.mark.parametrize("prefix", ["webhook-", "svix-"])
def test_published_vectors(secret: str, delivery: str, sent: int, body: bytes, signature: str, prefix: Any) -> None:
    genuine = headers(signature, sent=sent, delivery=delivery, prefix=prefix)
    assert at(sent, secret, prefix=prefix).verify(genuine, body) == delivery
    loud = {name.upper(): value for name, value in genuine.items()}
    assert at(sent, secret, prefix=prefix).verify(loud, body) == delivery
    with pytest.raises(WebhookError):
        at(sent, secret, prefix="svix-" if prefix == "webhook-" else "webhook-").verify(genuine, body)


MALFORMED: dict[str, Any] = {
    "no headers": {},
    "no id": {k: v for k, v in headers().items() if k != "webhook-id"},
    "no time": {k: v for k, v in headers().items() if k != "webhook-timestamp"},
    "no signature": {k: v for k, v in headers().items() if k != "webhook-signature"},
    "only a version": headers("v1"),
    "too many parts": headers("v1,a,b"),
    "empty signature": headers("v1,"),
    "bad base64": headers("v1,%%%"),
    "short base64": headers("v1,AAA"),
    "another version": headers(SIGNATURE.replace("v1", "v2")),
    "signature of a part": headers(SIGNATURE[:-4]),
    "letters beyond ASCII": headers("v1,é☃"),
    "half a character": headers("v1,\ud800"),
    "line break": headers(f"{SIGNATURE}\n"),
    "fraction of a second": headers(sent=f"{NOW}.7"),
    "time with a sign": headers(sent=f"+{NOW}"),
    "time with digits of elsewhere": headers(sent="\uff11731705121"),
    "time as a word": headers(sent="nan"),
    "time without end": headers(sent="9" * 400),
    "id with a dot": headers(signed(delivery="a.b"), delivery="a.b"),
    "id with a space": headers(signed(delivery="a b"), delivery="a b"),
    "endless id": headers(signed(delivery="a" * 10_000), delivery="a" * 10_000),
    "bytes": {"webhook-id": b"a", "webhook-timestamp": b"1", "webhook-signature": b"v1,a"},
    "numbers": {"webhook-id": 1, "webhook-timestamp": NOW, "webhook-signature": None},
    "no text for names": {1: "a"},
    "no mapping": None,
}


@pytest.mark.promise("T15", "W1")
@pytest.mark.parametrize("claimed", MALFORMED.values(), ids=MALFORMED)
def test_malformed_deliveries_are_refused_with_our_error(claimed: Any) -> None:
    with pytest.raises(WebhookError) as caught:
        at().verify(claimed, BODY)
    assert caught.value.status_code == 400
    assert caught.value.__cause__ is None
    assert SECRET[6:] not in str(caught.value)


@pytest.mark.promise("T15", "W1")
@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[:-1], b"\xff\xfe", b"null", None, "text", 7])
def test_another_body_is_refused(body: Any) -> None:
    with pytest.raises(WebhookError) as caught:
        at().verify(headers(), body)
    assert caught.value.status_code == 400


@pytest.mark.promise("T15", "W1")
def test_bytes_that_are_no_text_are_refused_even_when_signed() -> None:
    with pytest.raises(WebhookError):
        at().verify(headers(signed(b"\xff")), b"\xff")


@pytest.mark.promise("T15", "W1")
@pytest.mark.parametrize(
    ("skew", "fine"),
    [(0, True), (299, True), (-299, True), (300, True), (-300, True), (301, False), (-301, False), (10**9, False)],
)
def test_the_window_is_five_minutes_either_way(skew: int, fine: bool) -> None:
    if fine:
        assert at(NOW + skew).verify(headers(), BODY) == ID
    else:
        with pytest.raises(WebhookError, match="s old by this machine's clock") as caught:
            at(NOW + skew).verify(headers(), BODY)
        assert caught.value.hint == "Is the clock right?"


@pytest.mark.promise("T15", "W1")
def test_a_clock_that_gives_no_number_lets_nothing_through() -> None:
    with pytest.raises(WebhookError):
        at(float("nan")).verify(headers(), BODY)
    assert StandardWebhooks(SECRET, clock=lambda: NOW + 20, tolerance=20).verify(headers(), BODY) == ID
    with pytest.raises(WebhookError):
        StandardWebhooks(SECRET).verify(headers(), BODY)  # by the machine's own clock it is years old


@pytest.mark.promise("T15", "W1")
def test_secrets_can_be_changed_without_a_gap() -> None:
    old, new, wrong = b"o" * 24, b"n" * 24, b"w" * 24
    both = at(secrets=[new, old])
    for key in (old, new):
        assert both.verify(headers(signed(key=key)), BODY) == ID
        assert both.verify(headers(f"{signed(key=wrong)} v1a,abc {signed(key=key)}"), BODY) == ID
        assert both.verify(headers(f"v1 v1,a,b v1,%% {signed(key=key)}"), BODY) == ID
    with pytest.raises(WebhookError):
        both.verify(headers(signed(key=wrong)), BODY)
    with pytest.raises(WebhookError):
        at(secrets=[new]).verify(headers(signed(key=old)), BODY)
    crowd = " ".join(["v1,AAAA"] * 1000)
    with pytest.raises(WebhookError):
        both.verify(headers(f"{crowd} {signed(key=new)}"), BODY)


@pytest.mark.promise("T15", "W1")
def test_every_pair_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac_compare(a, b)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(webhooks.hmac, "compare_digest", compare)
    both = at(secrets=[SECRET, b"x" * 24])
    both.verify(headers(f"{SIGNATURE} v1,AAAA"), BODY)
    assert len(compared) == 4  # the right one comes first, and the others are looked at all the same
    assert all(isinstance(a, bytes) and isinstance(b, bytes) for a, b in compared)


@pytest.mark.promise("W3")
def test_large_bodies_are_refused_unread() -> None:
    body = b"x" * 1024**2
    assert at().verify(headers(signed(body)), body) == ID
    for claimed in (headers(signed(body + b"x")), None):
        with pytest.raises(WebhookError) as caught:
            at().verify(claimed, body + b"x")  # type: ignore[arg-type]
        assert caught.value.status_code == 413
    with pytest.raises(WebhookError):
        at(max_bytes=10).verify(headers(), BODY)


@pytest.mark.promise("W2", "W6", "T15")
def test_a_replay_has_the_same_id_so_that_it_can_be_refused() -> None:
    hooks = at()
    assert {hooks.verify(headers(), BODY) for _ in range(3)} == {ID}
    # the id is signed: a replay cannot take another one
    with pytest.raises(WebhookError):
        hooks.verify(headers(delivery=f"{ID}x"), BODY)
    # nor can it, its time or a piece of the body move to the other side of a dot
    with pytest.raises(WebhookError):
        hooks.verify(headers(signed(b"5.x", sent=NOW, delivery="a"), delivery=f"a.{NOW}", sent=5), b"x")


@pytest.mark.promise("W1", "T15")
@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "x"]), st.text(max_size=40)
    ),
    st.binary(max_size=60),
)
def test_whatever_comes_only_our_error_is_raised(changed: Mapping[str, str], body: bytes) -> None:
    with pytest.raises(WebhookError):
        at().verify({**headers(), **changed}, body)


@pytest.mark.promise("R1", "R2")
@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "hunter2 hunter2", "é☃", b""])
def test_malformed_secrets_are_refused_and_not_quoted(secret: Any) -> None:
    for secrets in (secret, [secret], [SECRET, secret]):
        with pytest.raises(ConfigurationError) as caught:
            StandardWebhooks(secrets)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="without a secret"):
        StandardWebhooks([])


@pytest.mark.promise("R1", "R2")
def test_a_verifier_does_not_show_its_secret() -> None:
    hooks = at(secrets=[SECRET, Secret(SECRET), KEY])
    assert hooks.verify(headers(), BODY) == ID
    assert SECRET[6:] not in repr(hooks) + repr(vars(hooks))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(StandardWebhooks(SECRET))


def test_without_the_library_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['standardwebhooks'] = None\n"
        "import videogen_core.webhooks as w\n"
        "try: w.StandardWebhooks('whsec_AAAAAAAA')\n"
        "except w.ConfigurationError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert "pip install 'videogen-core[webhooks]'" in said


# --- in a plugin


class Acme(Provider):
    """Takes webhooks as the documentation shows."""

    name: ClassVar[str] = "acme"

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Notice:
        delivery = at(secrets=[environment["ACME_WEBHOOK_SECRET"]]).verify(headers, body)
        return Notice(provider_job_id="job-1", delivery_id=delivery)

    def connect(self, context: Context) -> Session:
        raise NotImplementedError


@pytest.mark.promise("W4", "W5")
def test_a_plugin_looks_at_nothing_before_the_sender_is_known() -> None:
    environment = {"ACME_WEBHOOK_SECRET": SECRET}
    assert Acme().notice(headers(), BODY, environment, {}) == Notice(provider_job_id="job-1", delivery_id=ID)
    with pytest.raises(WebhookError) as forged:
        Acme().notice(headers("v1,AAAA"), BODY, environment, {})
    assert forged.value.status_code == 400
    with pytest.raises(WebhookError) as deaf:
        Provider.notice(Acme(), headers(), BODY, environment, {})
    assert deaf.value.status_code == 404
