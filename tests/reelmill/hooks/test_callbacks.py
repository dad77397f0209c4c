"""Callbacks are signed, go where they may go and nowhere else, and count only when they are answered."""

from __future__ import annotations

import socket

import pytest

from reelmill.errors import CallbackFailed, CallbackNotAllowed
from reelmill.hooks.callbacks import check_callback, message, send
from reelmill.settings import settings
from tests.callback_receiver import allow, receiver

TOLD = message("completed", job_key="k", about="attempt", source="clip.mp4")


def test_a_message_is_signed_and_says_when_it_was_sent(monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch)
    with receiver() as received:
        send(received.url, TOLD)
    [request] = received.requests
    assert request["verified"]
    assert request["body"].pop("sent").endswith("+00:00")
    assert request["body"] == TOLD
    assert request["host"] == received.url.split("/")[2]


def test_another_secret_does_not_verify(monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch, callback_secret="another")
    with receiver() as received:
        send(received.url, TOLD)
    assert not received.requests[0]["verified"]


def test_the_same_event_has_the_same_id():
    again = message("completed", job_key="k", about="attempt", source="clip.mp4")
    other = message("completed", job_key="k", about="another attempt", source="clip.mp4")
    assert again["id"] == TOLD["id"] != other["id"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_not_taken_has_failed(status: int, monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch)
    with receiver() as received:
        received.answers = [status]
        with pytest.raises(CallbackFailed, match=str(status)):
            send(received.url, TOLD)


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch)
    with receiver() as received, receiver() as other:
        received.answers, received.location = [307], other.url
        with pytest.raises(CallbackFailed):
            send(received.url, TOLD)
        assert other.requests == []


def test_nobody_listening_has_failed(monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(CallbackFailed, match="ConnectError"):
            send(f"http://127.0.0.1:{deaf.getsockname()[1]}/told", TOLD)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/told", "ftp://example.org", "file:///etc/passwd", "https://", "https://user:word@example.org",
        "nonsense", "https://[::1", "https://example.org:99999/",
    ],
)  # fmt: skip
def test_an_address_of_the_wrong_kind_is_refused_before_anything_is_done(url: str, monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch)
    with pytest.raises(CallbackNotAllowed):
        check_callback(url)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "localhost", "127.0.0.1", "10.1.2.3", "192.168.0.1", "[::1]", "[fe80::1]", "0.0.0.0",
        "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "2852039166", "0x7f.1", "100.64.0.1",
    ],
)  # fmt: skip
def test_an_address_inside_a_network_is_refused(host: str, monkeypatch: pytest.MonkeyPatch):
    """Also in the disguises that a resolver sees through."""
    allow(monkeypatch, callback_hosts="internal.example")
    with pytest.raises(CallbackNotAllowed, match="not a public address"):
        send(f"https://{host}/told", TOLD)


def test_a_listed_port_lists_no_other(monkeypatch: pytest.MonkeyPatch):
    with receiver() as received, receiver() as other:
        allow(monkeypatch, callback_hosts=received.url.split("/")[2])
        send(received.url, TOLD)
        with pytest.raises(CallbackNotAllowed):
            send(other.url, TOLD)
        assert other.requests == []


def test_without_a_secret_nothing_is_sent(monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch)
    monkeypatch.delenv("REELMILL_CALLBACK_SECRET")
    settings.cache_clear()
    with pytest.raises(CallbackNotAllowed, match="REELMILL_CALLBACK_SECRET"):
        check_callback("https://example.org/told")
