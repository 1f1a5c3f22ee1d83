"""Upstreams: whether each answers and takes its key. Only lists are asked for, which cost nothing anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from runner.config import UpstreamConfig
from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.text import one_line
from runner.units import MINUTE_MS, duration

if TYPE_CHECKING:
    import httpx

ASK_S = 6.0
MOST_BYTES = 4_000_000
SKEW_MS = 2 * MINUTE_MS
"""Beyond it certificates, leases of vendors and the hours of a rate limit begin to disagree with us."""

_REFUSED = (401, 403)
_UNLISTED = (400, 404, 405, 501)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def models(self) -> set[str]:
        """Ids of a model list of either wire; empty when it is none."""
        try:
            listed = json.loads(self.body)["data"]
            return {str(model["id"]) for model in listed}
        except (ValueError, KeyError, TypeError, RecursionError):
            return set()


def reached(look: Look, upstream: UpstreamConfig) -> Iterator[Finding]:
    """One line of one upstream, and one for each model of a task that it does not have."""
    if look.offline:
        yield ok("upstream", f"{upstream.name}: not asked (--offline)")
        return
    import httpx  # noqa: PLC0415 - 0.1 s that `--offline` need not pay

    # As the gate has it: no proxy and no netrc of whoever asks, and no redirect that carries a key elsewhere.
    with httpx.Client(trust_env=False, follow_redirects=False, timeout=ASK_S) as client:
        try:
            answer = _list(client, upstream, key=upstream.key)
        except (httpx.HTTPError, OSError) as error:
            yield _silent(upstream, error)
            return
        yield _said(look, client, upstream, answer)
        yield from _skew(look, upstream, answer)
        if answer.status == 200:
            yield from _models(look, client, upstream, answer.models)


def _list(client: httpx.Client, upstream: UpstreamConfig, *, key: str | None, model: str | None = None) -> _Answer:
    """Ask for all models, or for one of them. Raises httpx.HTTPError."""
    import httpx  # noqa: PLC0415

    from runner.gate.upstreams import base_url  # noqa: PLC0415

    headers = {"anthropic-version": "2023-06-01"} if upstream.wire == "anthropic" else {}
    if key is not None:
        headers |= {"x-api-key": key} if upstream.wire == "anthropic" else {"authorization": f"Bearer {key}"}
    wanted = f"/models/{model}" if model else "/models"
    params = {"limit": "1000"} if upstream.wire == "anthropic" and model is None else {}
    until = time.monotonic() + ASK_S
    body = bytearray()
    with client.stream("GET", base_url(upstream) + wanted, headers=headers, params=params) as response:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > MOST_BYTES:
                break
            if time.monotonic() > until:
                raise httpx.ReadTimeout("it answers too slowly", request=response.request)
        return _Answer(status=response.status_code, headers=response.headers, body=bytes(body))


def _silent(upstream: UpstreamConfig, error: Exception) -> Finding:
    why = "it does not answer in time" if "Timeout" in type(error).__name__ else str(error) or type(error).__name__
    text = f"{upstream.name}: {upstream.url} cannot be reached ({one_line(why, 120)}); its jobs wait, unburnt"
    mend = "start it there, such as `ollama serve`" if upstream.local else f"curl -sS {upstream.url}, then the network"
    return warn("upstream", text, mend)


def _said(look: Look, client: httpx.Client, upstream: UpstreamConfig, answer: _Answer) -> Finding:
    name, status = upstream.name, answer.status
    at = f"{name}: {upstream.url}"
    if status in _REFUSED:
        reset = look.command(f"breaker reset '{name}/*' --reason 'new key'")
        what = "its key is refused" if upstream.key else "it wants a key, and afk.toml names none"
        return fail(
            "upstream", f"{at} answers, and {what} ({status})", f"write a good key, restart the runner, {reset}"
        )
    if status == 200:
        return ok("upstream", f"{at} answers, {_key(client, upstream)}")
    if status in _UNLISTED:
        return ok("upstream", f"{at} answers; it lists no models, so only a call tells whether its key is good")
    if status == 429:
        return ok("upstream", f"{at} answers, and asks to come again later (429)")
    if 300 <= status < 400:
        return warn("upstream", f"{at} sends callers elsewhere ({status}), which is not followed", "mend its url")
    return warn("upstream", f"{at} answers {status}; its jobs wait, unburnt", "look at the vendor's status page")


def _key(client: httpx.Client, upstream: UpstreamConfig) -> str:
    import httpx  # noqa: PLC0415

    if upstream.key is None:
        return "and wants no key"
    try:
        open_to_all = _list(client, upstream, key=None).status == 200
    except httpx.HTTPError:
        return "and takes the key"
    return "to anybody: only a call tells whether its key is good" if open_to_all else "and takes the key"


def _models(look: Look, client: httpx.Client, upstream: UpstreamConfig, listed: set[str]) -> Iterator[Finding]:
    """Models that tasks name and the upstream does not have."""
    import httpx  # noqa: PLC0415

    for model, task in sorted(_wanted(look, upstream).items()):
        if {model, f"{model}:latest"} & listed:
            continue
        try:
            status = 404 if upstream.local else _list(client, upstream, key=upstream.key, model=model).status
        except httpx.HTTPError:
            continue
        if status != 404:
            continue
        text = f"{upstream.name} has no model {model}, which task {task} names"
        if upstream.local:
            mend = f"ollama pull {model}" if ":11434" in upstream.url else f"load {model} there"
            yield fail("upstream", text, mend)
        else:
            yield warn("upstream", text, f"look for the id on the vendor's page, and mend [tasks.{task}]")


def _wanted(look: Look, upstream: UpstreamConfig) -> dict[str, str]:
    """Models that are led to this upstream, each with a task that names it."""
    from runner.gate.upstreams import Upstreams  # noqa: PLC0415

    if look.config is None:
        return {}
    routes = Upstreams(look.config.upstreams, look.config.models)
    named: dict[str, Any] = {task.model: task.name for task in look.tasks.values() if task.model}
    return {model: task for model, task in named.items() if routes.serving(model) == upstream}


def _skew(look: Look, upstream: UpstreamConfig, answer: _Answer) -> Iterator[Finding]:
    """What its clock says against ours; nothing when it tells no time."""
    if upstream.local:
        return
    try:
        theirs = int(parsedate_to_datetime(answer.headers["date"]).timestamp() * 1000)
    except (KeyError, ValueError, TypeError):
        return
    apart = theirs - look.now
    if abs(apart) > SKEW_MS:
        word = "behind" if apart > 0 else "ahead of"
        text = f"our clock is {duration(abs(apart))} {word} that of {upstream.name}"
        yield warn("clock", text, "set the clock, such as `sudo timedatectl set-ntp true`")
