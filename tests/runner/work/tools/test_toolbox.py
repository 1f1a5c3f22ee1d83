"""What a model asks for is data: a good call does what it says, a bad one is answered in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.work.context import GateRefused
from runner.work.tools import MAX_RESULT_CHARS, MOST_LISTED, Toolbox, ToolError
from runner.work.tools.fetch import NotFetched, Page
from runner.work.tools.files import OutputFolder

ALL = ("read_file", "fetch_url", "write_output", "draft")


class Pages:
    """Stands where the fetcher does, whose own tests are beside this one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fetch(self, url: str) -> Page:
        self.asked.append(url)
        if "closed" in url:
            raise NotFetched("closed to programs")
        return Page(url=url, text="p" * (MAX_RESULT_CHARS + 5), cut=True)


class Drafts:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str, object, str]] = []
        self.refusal: GateRefused | None = None

    def draft_as(self, name: str, task: str, payload: object, summary: str) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        self.kept.append((name, task, payload, summary))
        return {"draft": len(self.kept)}


def toolbox(root: Path, *names: str, **fields: Any) -> Toolbox:
    for folder in ("inputs", "outputs"):
        (root / folder).mkdir(exist_ok=True)
    (root / "inputs" / "a.md").write_text("Alpha\n")
    made: Mapping[str, Any] = {"fetcher": Pages(), "drafts": Drafts(), "performers": ("post",), **fields}
    outputs = OutputFolder(root / "outputs", "job")
    return Toolbox(home=root, outputs=outputs, names=names or ALL, inputs="inputs/*", **made)


def test_only_tools_that_are_named_are_offered_and_run(tmp_path: Path) -> None:
    box = toolbox(tmp_path, "read_file")

    assert [schema["name"] for schema in box.schemas()] == ["read_file"]
    with pytest.raises(ToolError, match="there is no tool 'write_output' here; there are: read_file"):
        box.run("write_output", {"name": "x.md", "content": "x"}, call="c")
    assert not list((tmp_path / "outputs").iterdir())


def test_a_long_file_comes_in_parts_that_make_the_whole(tmp_path: Path) -> None:
    box = toolbox(tmp_path)
    whole = "".join(f"{number:06}\u00e9" for number in range(20_000))
    (tmp_path / "inputs" / "long.md").write_text(whole)
    got, offset = "", 0
    while True:
        part = box.run("read_file", {"path": "inputs/long.md", "offset": offset}, call="c")
        text, mark, rest = part.partition("\n[characters ")
        got += text
        if not mark:
            break
        offset = int(rest.rpartition("offset ")[2].rstrip("]"))

    assert got == whole
    assert "ends before" in box.run("read_file", {"path": "inputs/long.md", "offset": len(whole)}, call="c")


def test_a_file_that_comes_later_can_be_read(tmp_path: Path) -> None:
    box = toolbox(tmp_path)
    (tmp_path / "inputs" / "new.md").write_text("")

    assert box.run("read_file", {"path": "./inputs//new.md"}, call="c") == "[the file is empty]"


def test_very_many_files_are_read_without_being_listed_in_the_schema(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    for number in range(MOST_LISTED + 1):
        (tmp_path / "inputs" / f"{number}.md").write_text("x")
    (schema,) = toolbox(tmp_path, "read_file").schemas()

    assert "enum" not in schema["input_schema"]["properties"]["path"]


def test_a_long_page_goes_on_where_it_ended_without_being_asked_for_again(tmp_path: Path) -> None:
    """A newer page in between would put two halves together that never were one."""
    pages = Pages()
    box = toolbox(tmp_path, fetcher=pages)
    first = box.run("fetch_url", {"url": "http://a.example/"}, call="c")
    second = box.run("fetch_url", {"url": "http://a.example/", "offset": MAX_RESULT_CHARS}, call="c")

    assert first.endswith(f"go on with offset {MAX_RESULT_CHARS}]")
    assert second == "http://a.example/\n\nppppp\n[the page is longer than what is fetched of one]"
    assert pages.asked == ["http://a.example/"]
    with pytest.raises(ToolError, match="closed to programs"):
        box.run("fetch_url", {"url": "http://closed.example/"}, call="c")


def test_a_draft_is_named_by_its_call_and_names_a_task_that_may_be_drafted(tmp_path: Path) -> None:
    drafts = Drafts()
    box = toolbox(tmp_path, drafts=drafts)
    wish = {"task": "post", "payload": {"a": 1}, "summary": "Post it."}

    assert "waits for a person" in box.run("draft", wish, call="turn 3 tool 1")
    assert drafts.kept == [("turn 3 tool 1", "post", {"a": 1}, "Post it.")]
    with pytest.raises(ToolError, match="'digest' cannot be drafted; these can: post"):
        box.run("draft", {**wish, "task": "digest"}, call="c")


@pytest.mark.parametrize(("status", "raised"), [(400, ToolError), (409, GateRefused), (503, GateRefused)])
def test_the_model_is_told_what_it_can_mend_and_the_job_what_it_cannot(
    tmp_path: Path, status: int, raised: type[Exception]
) -> None:
    """A lost lease or a locked database is no fault of the words."""
    drafts = Drafts()
    drafts.refusal = GateRefused("no", status=status)
    with pytest.raises(raised):
        toolbox(tmp_path, drafts=drafts).run("draft", {"task": "post", "payload": {}, "summary": "s"}, call="c")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["path", "offset", "name", "content", "url", "task", "payload", "summary", "x"])


@given(name=st.sampled_from([*ALL, "shell"]) | VALUES, asked=st.dictionaries(KEYS, VALUES, max_size=4) | VALUES)
def test_no_call_breaks_a_tool(tmp_path_factory: pytest.TempPathFactory, name: object, asked: object) -> None:
    """Whatever a model sends, the answer is a text or a sentence, and nothing leaves the output folder."""
    root = tmp_path_factory.mktemp("home")
    box = toolbox(root)
    try:
        told = box.run(name, asked, call="c")
    except ToolError as error:
        told = str(error)
    assert told
    assert {path.name for path in root.iterdir()} == {"inputs", "outputs"}
