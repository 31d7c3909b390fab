"""Requests of a sink, to origins that the deployment grants."""

from types import SimpleNamespace

from componentize_py_types import Err
from wit_world.imports import http as _http

from .grants import must


def _said(call, *given):
    must("http", "a request")
    try:
        return call(*given)
    except Err as refused:
        raise RuntimeError(refused.value) from None


def granted(url):
    """Raises where a request to this URL would not be allowed; for `describe`."""
    _said(_http.granted, url)


def send(method, url, headers=None, body=b""):
    """Sends a request, and waits for the answer: its `status`, `headers`, `body` and `text`."""
    data = body.encode() if isinstance(body, str) else body
    answer = _said(_http.send, _http.Request(method, url, list((headers or {}).items()), data))
    return SimpleNamespace(
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        text=answer.body.decode("utf-8", "replace"),
    )


def post(url, body, headers=None):
    return send("POST", url, headers, body)
