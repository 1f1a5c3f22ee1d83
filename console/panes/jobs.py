"""All jobs: filtered, sorted, marked; over pages found by id, so that a million of them cost what fifty do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from console.completing import complete
from console.format import count
from console.look import Look
from console.messages import Do, Flash, LookNow, PageWanted, Plan, Said
from console.paging import FIRST, Window
from console.panes.listed import ListPane
from console.panes.pane import Key
from console.replays import Letters, told
from console.screens.cancel import CancelQuestion, can_be_cancelled
from console.searching import AGES_MS, MOST, JobsPage, Order, Search, all_of, look
from console.seen import Ask, Seen, View
from console.views.jobs import all_jobs, jobs_title
from console.widgets.lines import Lines
from console.widgets.prompt import Prompt
from console.widgets.table import Table
from runner.errors import RunnerError
from runner.snapshot import EVERYTHING, Field, Filter, Job, JobStatus, Reader, parse
from runner.units import UnixMs

if TYPE_CHECKING:
    from runner.commands import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsAsk(Ask):
    """A page of the jobs a filter means."""

    wanted: Filter = EVERYTHING
    order: Order = Order.NEWEST
    window: Window = FIRST
    turn: int = 0
    """Of a search that takes several looks: the next one goes on."""
    names: bool = False
    """The names of tasks too."""
    search: Search = field(default_factory=Search, compare=False, repr=False)

    def read(self, reader: Reader, *, now: UnixMs) -> JobsPage:
        page = look(reader, self.search, self.wanted, self.order, self.window, now=now)
        return replace(page, tasks=reader.tasks()) if self.names else page


@dataclass
class _Acted(Message):
    """These need no mark any more."""

    ids: tuple[int, ...]


class JobsPane(ListPane):
    """The list with its sliding window, and the line its filter is typed on."""

    view: ClassVar = View.JOBS
    keys: ClassVar = (
        Key("/", "Filter", "types a filter: Tab completes, Enter applies, Esc leaves; an empty one lists all"),
        Key("", "", "state:dead,halted task:digest* key:text err:text waiting:cap"),
        Key("", "", "age>2h cost>0.10, and words of the key or the error; - before one turns it round"),
        Key("s", "Sort", "newest, oldest or dearest first; the dearest of the newest 1,000 that match", rank=5),
        Key("Space", "Mark", "marks; Shift-arrows a range, * all that match, c clears", rank=4, writes=True),
        Key("x", "Cancel", "cancels the marked jobs or the one under the cursor; asks first", rank=2, writes=True),
        Key("r", "", "replays those of them that are dead", writes=True),
        Key("Enter", "Detail", "opens the job under the cursor; q or Esc leads back"),
        Key("Home", "", "goes to the first page, End to the last"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("x", "cancel", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self.table = Table(look, id=f"{id}-list", can_mark=True, paged=True, turns=True, drawn=self._draw_title)
        self._title = Lines(look, id=f"{id}-title")
        self._prompt = Prompt(look, id=f"{id}-prompt")
        self._ask = JobsAsk()
        self._page = JobsPage(jobs=(), more=False)
        self._seen: Seen | None = None

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.table
        yield self._prompt

    def open(self) -> None:
        super().open()
        self._close_prompt()

    @property
    def ask(self) -> Ask:
        return self._ask

    # --- drawing --------------------------------------------------------------------------------------------------

    def draw_page(self, seen: Seen) -> None:
        if not isinstance(seen.page, JobsPage):
            return
        page, window = seen.page, self._ask.window
        kept = window.keeping(self.table.cursor, page.jobs, self._page.jobs, more=page.more)
        if kept is not None and self._ask.order is Order.NEWEST:
            self._turn_to(kept)
            return
        known = self._page.tasks
        self._page, self._seen = page, seen
        if self.typing and page.tasks != known:
            self._complete()  # the names came after the letters
        paged = self._ask.order is not Order.DEAREST
        self.table.show(
            all_jobs(
                page.jobs,
                seen.at,
                empty=self._empty(),
                more_above=paged and window.above(more=page.more),
                more_below=paged and window.below(more=page.more),
            )
        )
        self._draw_title()
        by_age = any(term.field is Field.AGE for term in self._ask.wanted.terms)
        if page.searching or (by_age and abs(seen.at - page.read_at) >= AGES_MS):
            self._change(turn=self._ask.turn + 1)

    def forget(self) -> None:
        super().forget()
        self._ask = replace(self._ask, window=Window(), search=Search())
        self._page, self._seen = JobsPage(jobs=(), more=False), None

    def on_resize(self) -> None:
        self._draw_title()

    def _draw_title(self) -> None:
        self._title.show_lines(
            (
                jobs_title(
                    self._page,
                    self._ask.window,
                    wanted=str(self._ask.wanted),
                    order=self._ask.order,
                    marks=len(self.table.marks),
                    pushed=self.table.pushed,
                    view=self.table.in_view(),
                    now=self._seen.at if self._seen is not None else None,
                    width=self.size.width,
                    look=self.look,
                ),
            )
        )

    def _empty(self) -> str:
        if self._page.searching:
            return "nothing yet"
        if self._ask.wanted:
            return "no job matches: / changes the filter"
        return "no job was ever queued: afk-runner enqueue TASK"

    # --- which rows -----------------------------------------------------------------------------------------------

    def open_again(self) -> None:
        self._go("newest")

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        self._go(message.to)

    def action_sort(self) -> None:
        orders = list(Order)
        order = orders[(orders.index(self._ask.order) + 1) % len(orders)]
        self.table.turn_over()
        self._change(order=order, window=Window(oldest_first=order is Order.OLDEST), search=Search())

    def action_filter(self) -> None:
        self._prompt.display = True
        self._prompt.begin(f"{self._ask.wanted} " if self._ask.wanted else "")
        self._complete()
        self._change(names=True)

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        message.stop()
        self._complete()

    def on_prompt_typed(self, message: Prompt.Typed) -> None:
        message.stop()
        try:
            wanted = parse(message.text)
        except RunnerError as refusal:
            self.post_message(Flash(f"{refusal}", bad=True))  # what was typed stays, and so does the old filter
            return
        self._close_prompt()
        if wanted == self._ask.wanted:
            return
        if self.table.marks:
            self.post_message(Flash("the marks are cleared: they were of another list"))
        self.table.forget()
        window = Window(oldest_first=self._ask.order is Order.OLDEST)
        self._change(wanted=wanted, window=window, search=Search())

    def on_prompt_left(self, message: Prompt.Left) -> None:
        message.stop()
        self._close_prompt()

    def _complete(self) -> None:
        completion = complete(self._prompt.text, self._page.tasks)
        self._prompt.hint(completion.rest, told=completion.told)

    def _close_prompt(self) -> None:
        self._prompt.display = False
        self._change(names=False)
        self.table.take_keys()

    def _go(self, to: str) -> None:
        if self._ask.order is Order.DEAREST and to != "newest":
            return
        window = self._ask.window.moved(to, self._page.jobs)
        if to in ("newest", "oldest"):
            self.table.turn_over(at_end=to == "oldest")
        if window != self._ask.window:
            self._turn_to(window)
        elif to in ("newest", "oldest"):
            self.post_message(LookNow())

    def _turn_to(self, window: Window) -> None:
        self._change(window=window, search=Search())

    def _change(self, **fields: Any) -> None:
        self._ask = replace(self._ask, **fields)
        self.post_message(LookNow())

    @property
    def typing(self) -> bool:
        return bool(self._prompt.display)

    # --- acts -----------------------------------------------------------------------------------------------------

    def targets(self) -> tuple[Job, ...]:
        chosen = set(self.table.chosen())
        return tuple(job for job in self._page.jobs if job.id in chosen)

    def letters(self) -> Letters | None:
        if self.table.marks and self.table.was_shown:
            return Letters(ids=self._chosen())
        dead = tuple(job.id for job in self.targets() if job.status is JobStatus.DEAD)
        return Letters(ids=dead) if dead else None

    def on_table_all_wanted(self, message: Table.AllWanted) -> None:
        """Mark all that match at this moment: a set of ids, which nothing that comes later joins."""
        message.stop()
        wanted, seen = self._ask.wanted, self._seen
        if seen is None:
            return

        def then(found: tuple[Job, ...]) -> Flash:
            if wanted != self._ask.wanted:
                return Flash("nothing was marked: the filter is another one by now")
            self.table.mark(job.id for job in found[:MOST])
            beyond = f"; only the newest {count(MOST)}, for that many are acted on at once" if len(found) > MOST else ""
            return Flash(f"{count(min(len(found), MOST))} marked, frozen: what comes later is not among them{beyond}")

        self.post_message(Plan("*", lambda reader: all_of(reader, wanted, now=seen.at), then))

    def action_cancel(self) -> None:
        ids, seen = self._chosen(), self._seen
        if not ids or seen is None:
            self.say_unmeant("x cancels jobs: arrows choose one, Space marks")
            return

        def then(found: tuple[Job, ...]) -> Do | Flash:
            if not any(can_be_cancelled(job) for job in found):
                what = f"{found[0].key} is {found[0].status}" if len(found) == 1 else "none of them is"
                rest = " already: it cannot be cancelled" if len(found) == 1 else " pending or running any more"
                return Flash(f"{what}{rest}" if found else "not cancelled: it was removed", bad=True)
            keys = {str(job.id): job.key for job in found}
            question = CancelQuestion(found, len(ids), seen, self.look, self.monotonic)

            def act(door: Door) -> Said:
                bulk = door.cancel_ids(ids)
                refused = tuple((keys.get(name, name), why) for name, why in bulk.refused)
                self.post_message(_Acted(bulk.ids))
                running = any(job.status is JobStatus.RUNNING and job.id in bulk.ids for job in found)
                return told(
                    replace(bulk, refused=refused), "cancelled", after="; what runs is being ended" if running else ""
                )

            return Do("x", act, question, left="left as it was")

        self.post_message(Plan("x", lambda reader: reader.listed(ids, now=seen.at), then))

    def on__acted(self, message: _Acted) -> None:
        message.stop()
        self.table.mark(self.table.marks - set(message.ids))  # what was refused stays marked

    def _chosen(self) -> tuple[int, ...]:
        return tuple(id for id in self.table.chosen() if isinstance(id, int))
