"""Texts in headers that are not ASCII, of which S3 and the servers that speak it have two ways.

S3 itself takes and gives metadata as RFC 2047 says, `=?UTF-8?B?...?=`, which is ASCII and goes through as it is. Others
(Ceph, MinIO) keep the bytes they were sent, which are UTF-8 with most clients.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlsplit

_DECODES = (".amazonaws.com", ".amazonaws.com.cn")


def as_meant(text: str) -> str:
    """Return the text of a header: http.client takes each of its bytes for a character of Latin-1."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def as_sent(text: str, endpoint_url: str) -> str:
    """Return how metadata is sent to a server, which keeps this text then. The client sends it in UTF-8."""
    host = urlsplit(endpoint_url).hostname or ""
    if text.isascii() or not host.endswith(_DECODES):
        return text
    return f"=?UTF-8?B?{b64encode(text.encode()).decode()}?="
