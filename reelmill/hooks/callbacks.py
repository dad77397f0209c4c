"""Signed messages by HTTP about a job: progress, its end, its failure."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
import time
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import httpx

from reelmill.errors import CallbackFailed, CallbackNotAllowed
from reelmill.settings import settings
from reelmill.storage.digests import content_key

Event = Literal["progress", "completed", "failed"]
_TIMEOUT_S = 10.0


def check_callback(url: str) -> None:
    """Raise CallbackNotAllowed for an address that nothing is ever sent to. Names are looked up when it is used."""
    parts = _split(url)
    if settings().callback_secret is None:
        raise CallbackNotAllowed("callback_url: nothing can be signed: REELMILL_CALLBACK_SECRET is not set")
    if _is_listed(parts):
        return
    if parts.scheme != "https":
        raise CallbackNotAllowed(f"callback_url: {parts.hostname} must be reached by https, or be listed")


def message(event: Event, *, job_key: str, about: str, **content: Any) -> dict[str, Any]:
    """Return a message. Its `id` is that of the event: equal when the same thing is told again.

    `about` names what of the job is told: the attempt, or the frames that are done.
    """
    return {"id": content_key(event, job_key, about), "event": event, "job_key": job_key, **content}


def send(url: str, told: dict[str, Any]) -> None:
    """POST a signed message. CallbackFailed unless the answer is 2xx, CallbackNotAllowed for a forbidden address.

    It goes to the very address that was looked up and found allowed, and no redirect is followed.
    """
    check_callback(url)
    parts = _split(url)
    address = _address_of(parts)
    body = json.dumps(told | {"sent": datetime.now(UTC).isoformat(timespec="seconds")}).encode()
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json", "Host": parts.netloc, "Reelmill-Timestamp": stamp,
        "Reelmill-Signature": f"sha256={signature(stamp, body)}",
    }  # fmt: skip
    target = httpx.URL(url).copy_with(host=address)
    try:
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            named = {"sni_hostname": parts.hostname}
            answer = client.post(target, content=body, headers=headers, extensions=named)
    except httpx.HTTPError as error:
        raise CallbackFailed(f"callback to {parts.hostname}: {type(error).__name__}: {error}") from error
    if not answer.is_success:
        raise CallbackFailed(f"callback to {parts.hostname}: it answered {answer.status_code}")


def signature(stamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of the time stamp, a dot and the body, in hex."""
    secret = settings().callback_secret
    assert secret is not None
    return hmac.new(secret.get_secret_value().encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable, parts = False, None
    if not usable or parts is None:
        raise CallbackNotAllowed("callback_url: is not an https:// address")
    if parts.username is not None or parts.password is not None:
        raise CallbackNotAllowed("callback_url: has a user name or a password in it, which would be stored in clear")
    return parts


def _is_listed(parts: SplitResult) -> bool:
    return parts.hostname in settings().callback_hosts or parts.netloc in settings().callback_hosts


def _address_of(parts: SplitResult) -> str:
    """Look the host up, and return an address of it. None of a host that is not listed may be inside a network."""
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = [str(each[4][0]) for each in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise CallbackFailed(f"callback to {parts.hostname}: {error}") from error
    inside = [each for each in found if not _is_public(each)]
    if inside and not _is_listed(parts):
        raise CallbackNotAllowed(f"callback_url: {parts.hostname} is {inside[0]}, which is not a public address")
    return found[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = mapped or parsed
    return parsed.is_global and not parsed.is_multicast
