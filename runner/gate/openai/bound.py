"""The most a request of the OpenAI wire can cost, found before it is sent, or the sentence why nobody can say.

The output is clamped, or a limit is written in: most clients of this wire name none.
Source: spend.md § 3 and § 7; keys and types as the openai SDK 3.51 has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from runner.config import UpstreamConfig
from runner.gate.estimate import MOST_OUTPUT, Bound, Unbounded, length
from runner.gate.fields import NoBound, named
from runner.gate.openai import prompt
from runner.gate.prompt import Prompt
from runner.gate.rates import Price, micro

MOST_CHOICES = 128
_NEWER, _OLDER = "max_completion_tokens", "max_tokens"

_EITHER = frozenset(
    {
        *("model", "stream", "stream_options", "store", "metadata", "user", "safety_identifier", "service_tier"),
        *("temperature", "top_p", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }
)
_CHAT_KEYS = _EITHER | {
    *("messages", "max_tokens", "max_completion_tokens", "n", "stop", "seed", "logit_bias", "logprobs"),
    *("frequency_penalty", "presence_penalty", "response_format", "reasoning_effort", "verbosity", "functions"),
    *("function_call", "modalities", "top_k", "min_p"),
}
_RESPONSE_KEYS = _EITHER | {
    *("input", "instructions", "max_output_tokens", "max_tool_calls", "include", "reasoning", "text", "truncation"),
    "client_metadata",
}
_LATER = "an answer made later would be spent when no money is held for it; wait for it"
_KEPT = "the vendor would add what it keeps, which cannot be seen here; send all of it in the request"
_REFUSED = {
    "background": _LATER,
    "background_options": _LATER,
    "previous_response_id": _KEPT,
    "conversation": _KEPT,
    "prompt": _KEPT,
    "context_management": "nobody knows how long the vendor's summary gets; ask for one in a request of its own",
    "web_search_options": "nobody limits how often the vendor searches; give the model a tool that runs on this side",
    "prediction": "the tokens of a prediction that fails are paid beyond the limit of the answer; leave it out",
    "audio": "sound has prices that are not counted here; leave it out",
    "moderation": "a second model would look at the request; ask that model in a request of its own",
    "models": "a fallback to other models has no price of its own here; name one model",
    "plugins": "nobody limits what they do on the vendor's side; leave it out",
}
_OWN_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch"})
"""Tools that run on this side; `shell` and `namespace` are looked into."""
_NOT_TEXT = re.compile(r"(?:^|[-/:.])(?:search|deep-research|audio|realtime|transcribe|tts|image)(?:[-/:.]|$)")
_SHORT_LIVED = frozenset({None, "5m", "30m"})


def chat(body: object, *, price: Price, upstream: UpstreamConfig, max_output_tokens: int | None) -> Bound | Unbounded:
    """The upper bound of a chat completion's cost at `price`, its output clamped to `max_output_tokens`.

    `body` may be of any shape that JSON has; it is not changed. Never raises. The request to send asks a stream to tell
    its usage and, where the vendor would choose a tier by its own settings, names the one the price is for.
    """
    try:
        asked = _checked(body, _CHAT_KEYS, price)
        names = (_NEWER, _OLDER) if _is_openai(upstream) else (_OLDER, _NEWER)
        sent, output = _output(asked, names, price, upstream, max_output_tokens)
        if sent.keys() == {_NEWER} and not _is_openai(upstream):  # many servers pass over it: no limit would be left
            sent = {_OLDER: output}
            asked = {key: value for key, value in asked.items() if key != _NEWER}
        if asked.get("stream") is True:
            options = asked.get("stream_options")
            sent["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        measured = prompt.of_chat(asked, free=price.free)
        return _bound(asked, sent, measured, price, upstream, output=_choices(asked) * output)
    except NoBound as refusal:
        return Unbounded(str(refusal))
    except (ValueError, OverflowError, RecursionError):
        return Unbounded("the request holds a number or a text that cannot be written as JSON")


def responses(
    body: object, *, price: Price, upstream: UpstreamConfig, max_output_tokens: int | None
) -> Bound | Unbounded:
    """The same for a request of the responses endpoint."""
    try:
        asked = _checked(body, _RESPONSE_KEYS, price)
        sent, output = _output(asked, ("max_output_tokens",), price, upstream, max_output_tokens)
        return _bound(asked, sent, prompt.of_response(asked, free=price.free), price, upstream, output=output)
    except NoBound as refusal:
        return Unbounded(str(refusal))
    except (ValueError, OverflowError, RecursionError):
        return Unbounded("the request holds a number or a text that cannot be written as JSON")


def is_regional(upstream: UpstreamConfig) -> bool:
    """Whether its calls stay in one region, which costs a tenth more: `eu.api.openai.com` and its like."""
    return (urlsplit(upstream.url).hostname or "").endswith(".api.openai.com")


def _bound(
    body: Mapping[str, Any],
    sent: dict[str, Any],
    measured: Prompt,
    price: Price,
    upstream: UpstreamConfig,
    *,
    output: int,
) -> Bound:
    """`sent`: what the request to send has in other words than `body`."""
    if _is_openai(upstream) and not price.free:
        sent["service_tier"] = "default"  # else the project's own setting decides, which may be a dearer one
    tokens = length(measured, price)
    rates = [price.input.at(tokens), price.cache_read.at(tokens), price.cache_write_5m.at(tokens)]
    if any(_lasting(node) for node in prompt.nodes(body)):
        rates.append(price.cache_write_1h.at(tokens))
    region = is_regional(upstream)
    return Bound(
        input_tokens=tokens,
        output_tokens=output,
        hold=micro(tokens * max(rates) + output * price.output.at(tokens), region=region),
        body={**body, **sent},
        region=region,
    )


def _checked(body: object, keys: frozenset[str], price: Price) -> Mapping[str, Any]:
    """The body, if everything in it that could cost something is known. What is free may ask for anything."""
    if not isinstance(body, dict):
        raise NoBound("the request is not a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise NoBound('the request names no "model"')
    if not isinstance(body.get("stream", False), bool | None):
        raise NoBound('"stream" is neither true nor false')
    for _ in prompt.nodes(body):  # before anything else goes down into it
        pass
    if price.free:
        return body
    for key, value in body.items():
        if key in _REFUSED:
            if value not in (None, False, []):
                raise NoBound(f'"{key}" is refused: {_REFUSED[key]}')
        elif key not in keys:
            raise NoBound(f"the request has {named(key)}, of which nobody here knows what it costs; leave it out")
    if _NOT_TEXT.search(model):
        raise NoBound(f"the model {named(model)} is paid for more than the tokens of its text; name another one")
    if body.get("service_tier") not in (None, "auto", "default"):
        raise NoBound(
            f'"service_tier" {named(body["service_tier"])} is refused: only the standard tier has a price here; '
            'leave it out, or write "default"'
        )
    if body.get("modalities") not in (None, ["text"]):
        raise NoBound('"modalities" other than text are refused: sound has prices that are not counted here')
    _check_tools(body.get("tools"))
    return body


def _check_tools(tools: object) -> None:
    if tools is not None and not isinstance(tools, list):
        raise NoBound('"tools" is not a list')
    for tool in tools or []:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind == "namespace":
            _check_tools(tool.get("tools"))
        elif kind == "shell":
            environment = tool.get("environment")
            if not isinstance(environment, dict) or environment.get("type") != "local":
                raise NoBound('the tool type "shell" is refused unless its environment is "local"')
        elif not isinstance(kind, str) or kind not in _OWN_TOOLS:
            raise NoBound(
                f"the tool type {named(kind)} is refused: nobody limits what it does on the vendor's side; "
                "turn it off in the client, or give the model a tool that runs on this side"
            )


def _choices(body: Mapping[str, Any]) -> int:
    choices = 1 if body.get("n") is None else body["n"]
    if type(choices) is not int or not 1 <= choices <= MOST_CHOICES:
        raise NoBound(f'"n" {named(choices)} is not a sensible number of answers')
    return choices


def _output(
    body: Mapping[str, Any], names: tuple[str, ...], price: Price, upstream: UpstreamConfig, limit: int | None
) -> tuple[dict[str, Any], int]:
    """The limits to send, and the most tokens of one answer: 0 only for a free model that was given no limit.

    `names`: of the fields that may hold one; a request with none gets it under the first.
    """
    sent: dict[str, Any] = {}
    for name in names:
        asked = body.get(name)
        if asked is None:
            continue
        if type(asked) is not int or not 0 <= asked <= MOST_OUTPUT:
            raise NoBound(f'"{name}" {named(asked)} is not a sensible number of tokens')
        sent[name] = asked if limit is None else min(asked, limit)
    if not sent:
        usual = limit if limit is not None or price.free else upstream.default_output_tokens
        if usual is None:
            return {}, 0
        sent[names[0]] = usual
    return sent, max(sent.values())


def _lasting(node: Mapping[str, Any]) -> bool:
    """Whether it asks for a cache entry that outlives the usual one. A tool's own argument only raises the hold."""
    ttl = node.get("ttl")
    return not (isinstance(ttl, str | None) and ttl in _SHORT_LIVED)


def _is_openai(upstream: UpstreamConfig) -> bool:
    return (urlsplit(upstream.url).hostname or "").endswith((".openai.com", ".openai.azure.com"))
