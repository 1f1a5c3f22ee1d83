"""What an agent may do beside answering. Every tool is off unless its task names it.

They run in the worker. Whatever a model sends as input is data: a bad one is an answer to it in a plain sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runner.work.tools.files import MAX_WRITTEN_BYTES, NotReadable, OutputFolder, names_matching, read_text

if TYPE_CHECKING:
    from runner.work.tools.fetch import Fetcher, Page

MAX_RESULT_CHARS = 60_000
"""Of what one call gives; the rest can be asked for where the tool has an offset."""
MOST_LISTED = 200
"""Files named to the model; it may read the others as well."""


class ToolError(Exception):
    """The call did not do what was asked; its message goes to the model as the result."""


class Drafts(Protocol):
    """The part of a context that writes an action down for a person."""

    def draft_as(self, name: str, task: str, payload: object, summary: str) -> dict[str, Any]:
        """Raises ToolError's cause, GateRefused, when it cannot be a draft."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One thing a model may ask for."""

    name: str
    description: str
    properties: Mapping[str, Mapping[str, Any]]
    needed: tuple[str, ...]
    run: Callable[[Mapping[str, Any], str], str]
    """Input and the name of the call, unique in the job, to text. Raises ToolError."""

    def schema(self) -> dict[str, Any]:
        """As the Messages API wants it."""
        shape = {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.needed),
            "additionalProperties": False,
        }
        return {"name": self.name, "description": self.description, "input_schema": shape}


@dataclass(slots=True, kw_only=True)
class Toolbox:
    """The tools of one attempt."""

    home: Path
    outputs: OutputFolder
    names: Sequence[str]
    """Of the tools that are on."""
    inputs: str | None = None
    """The pattern that `read_file` may read."""
    fetcher: Fetcher | None = None
    drafts: Drafts | None = None
    performers: Sequence[str] = ()
    """Tasks that do what cannot be undone: what may be drafted."""
    _tools: dict[str, Tool] = field(default_factory=dict)
    _pages: dict[str, Page] = field(default_factory=dict)
    """The last page that was fetched."""

    def __post_init__(self) -> None:
        made = {"read_file": self._read, "write_output": self._write, "fetch_url": self._fetch, "draft": self._draft}
        self._tools = {name: made[name]() for name in made if name in self.names}

    def schemas(self) -> list[dict[str, Any]]:
        """What a model is offered."""
        return [tool.schema() for tool in self._tools.values()]

    def listing(self) -> list[str]:
        """Files that may be read now."""
        return names_matching(self.home, self.inputs) if self.inputs else []

    def run(self, name: object, given: object, *, call: str) -> str:
        """Do what a model asked for. Raises ToolError."""
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise ToolError(f"there is no tool {str(name)[:60]!r} here; there are: {known}")
        if not isinstance(given, dict):
            raise ToolError(f"the input of {tool.name} is an object, not {type(given).__name__}")
        if strange := [str(key)[:60] for key in given if key not in tool.properties]:
            raise ToolError(f"{tool.name} takes {', '.join(tool.properties)}, not {strange[0]!r}")
        if missing := [key for key in tool.needed if key not in given]:
            raise ToolError(f"the input of {tool.name} lacks {missing[0]!r}")
        for key, value in given.items():
            _check(tool, key, value)
        return tool.run(given, call)

    def _read(self) -> Tool:
        listed = self.listing()
        path: dict[str, Any] = {"type": "string", "description": "The name of a file, as it was listed."}
        if listed and len(listed) <= MOST_LISTED:
            path["enum"] = listed
        return Tool(
            name="read_file",
            description=(
                "Read one of the task's input files as text. A long one comes in parts: go on with offset, counted in "
                "characters."
            ),
            properties={"path": path, "offset": {"type": "integer", "minimum": 0}},
            needed=("path",),
            run=self._run_read,
        )

    def _run_read(self, given: Mapping[str, Any], _: str) -> str:
        path, offset = given["path"], given.get("offset", 0)
        name = str(Path(path)) if path and "\0" not in path and len(path) <= 1_000 else ""
        if name not in self.listing():
            raise ToolError(f"{path[:200]!r} is not one of the task's input files")
        try:
            text = read_text(self.home, name)
        except NotReadable as error:
            raise ToolError(str(error)) from None
        part = text[offset : offset + MAX_RESULT_CHARS]
        end = offset + len(part)
        if end < len(text):
            part += f"\n[characters {offset:,} to {end:,} of {len(text):,}; go on with offset {end}]"
        return part or "[the file ends before that offset]" if text else "[the file is empty]"

    def _write(self) -> Tool:
        return Tool(
            name="write_output",
            description=(
                "Write a text file into this job's own output folder, whole; one of that name is replaced. "
                f"At most {MAX_WRITTEN_BYTES:,} bytes."
            ),
            properties={
                "name": {"type": "string", "description": "Such as report.md; no folders."},
                "content": {"type": "string"},
            },
            needed=("name", "content"),
            run=self._run_write,
        )

    def _run_write(self, given: Mapping[str, Any], _: str) -> str:
        try:
            self.outputs.write(given["name"], given["content"])
        except NotReadable as error:
            raise ToolError(str(error)) from None
        return f"written to outputs/{self.outputs.name}/{given['name']}"

    def _fetch(self) -> Tool:
        return Tool(
            name="fetch_url",
            description="Fetch a page over http or https and read it as text. Only hosts the task names may be asked.",
            properties={
                "url": {"type": "string"},
                "offset": {"type": "integer", "minimum": 0, "description": "Go on with a long page from here."},
            },
            needed=("url",),
            run=self._run_fetch,
        )

    def _run_fetch(self, given: Mapping[str, Any], _: str) -> str:
        from runner.work.tools.fetch import NotFetched  # noqa: PLC0415 - httpx, for those who fetch

        assert self.fetcher is not None
        url, offset = given["url"], given.get("offset", 0)
        page = self._pages.get(url) if offset else None  # the next part of the page that was seen, not of a newer one
        if page is None:
            try:
                page = self.fetcher.fetch(url)
            except NotFetched as error:
                raise ToolError(str(error)) from None
            self._pages = {url: page}
        part = page.text[offset : offset + MAX_RESULT_CHARS]
        end = offset + len(part)
        rest = f"\n[characters {offset:,} to {end:,} of {len(page.text):,}; go on with offset {end}]"
        ends = "\n[the page is longer than what is fetched of one]" if page.cut else ""
        return f"{page.url}\n\n{part}{rest if end < len(page.text) else ends}"

    def _draft(self) -> Tool:
        return Tool(
            name="draft",
            description=(
                "Write an action that cannot be undone down for a person, who approves or rejects it later. It is not "
                "done now, and this conversation does not learn what was decided."
            ),
            properties={
                "task": {"type": "string", "enum": list(self.performers)},
                "payload": {"type": "object", "description": "What the task is given when it is approved."},
                "summary": {"type": "string", "description": "One or two sentences by which the person decides."},
            },
            needed=("task", "payload", "summary"),
            run=self._run_draft,
        )

    def _run_draft(self, given: Mapping[str, Any], call: str) -> str:
        from runner.work.context import GateRefused  # noqa: PLC0415 - it imports nothing that this module is not given

        assert self.drafts is not None
        if given["task"] not in self.performers:
            raise ToolError(f"{given['task'][:60]!r} cannot be drafted; these can: {', '.join(self.performers)}")
        try:
            kept = self.drafts.draft_as(call, given["task"], given["payload"], given["summary"])
        except GateRefused as error:
            if error.status == 400:  # the words of the model, not the state of the job
                raise ToolError(str(error)) from None
            raise
        return f"draft {kept.get('draft')} waits for a person; go on without it"


_TYPES: Mapping[str, tuple[type, str]] = {
    "string": (str, "a text"),
    "integer": (int, "a whole number"),
    "object": (dict, "an object"),
}


def _check(tool: Tool, key: str, value: object) -> None:
    kind, words = _TYPES[tool.properties[key]["type"]]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ToolError(f"{key!r} of {tool.name} is {words}, not {type(value).__name__}")
    if isinstance(value, int) and value < 0:
        raise ToolError(f"{key!r} of {tool.name} is not below 0")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ToolError(f"{key!r} of {tool.name} holds half a surrogate pair, which is not text") from None
