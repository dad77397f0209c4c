"""Texts beyond ASCII in headers."""

from __future__ import annotations

from email.header import decode_header, make_header

import pytest

from reelmill.storage.s3_headers import as_meant, as_sent


@pytest.mark.parametrize("text", ["plain", "Müller", "日本 語", ""])
def test_text_that_was_sent_in_utf8_is_read_as_it_was_meant(text: str):
    assert as_meant(text.encode().decode("latin-1")) == text


def test_text_that_was_sent_in_latin1_is_left():
    assert as_meant("Müller") == "Müller"


@pytest.mark.parametrize("text", ["Müller", "日本 " * 40])
def test_aws_is_sent_what_mail_has(text: str):
    sent = as_sent(text, "https://s3.eu-central-1.amazonaws.com")
    assert sent.isascii()
    assert str(make_header(decode_header(sent))) == text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "https://amazonaws.com.example.org"])
def test_others_are_sent_the_text(url: str):
    assert as_sent("Müller", url) == "Müller"
    assert as_sent("plain", "https://s3.amazonaws.com") == "plain"
