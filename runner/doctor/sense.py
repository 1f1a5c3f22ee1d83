"""What is allowed in a configuration and cannot do what its writer meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from runner.config import Config, TaskConfig, TaskKind
from runner.doctor.finding import Finding, Level
from runner.snapshot import ScheduleView
from runner.units import UnixMs, usd


def sense(config: Config, tasks: Mapping[str, TaskConfig]) -> Iterator[Finding]:
    """Tasks whose every job would die, and caps that hold nothing back."""
    for task in tasks.values():
        yield from _wire(config, task)
        if "draft" in task.tools and not any(other.irreversible for other in tasks.values()):
            text = f'task {task.name} has the tool "draft", and no task says irreversible = true: its jobs die at once'
            mend = "write irreversible = true into the task that a draft may start"
            yield Finding(level=Level.WARN, name="tasks", text=text, mend=mend)
        if task.cwd is not None and not task.cwd.is_dir():
            text = f"task {task.name}: its cwd {task.cwd} is no folder here"
            yield Finding(level=Level.WARN, name="tasks", text=text, mend=f"mkdir -p {task.cwd}, or mend cwd")
    yield from _caps(config)


def _wire(config: Config, task: TaskConfig) -> Iterator[Finding]:
    if task.kind is not TaskKind.PROMPT or task.model is None:
        return
    from runner.gate.upstreams import Upstreams  # noqa: PLC0415 - brings httpx along

    upstream = Upstreams(config.upstreams, config.models).serving(task.model)
    if upstream is None or upstream.name not in config.upstreams:
        return
    if config.upstreams[upstream.name].wire == "openai":
        text = (
            f"task {task.name}: {task.model} is at {upstream.name}, which has the openai wire; a prompt task speaks "
            "only the anthropic wire, so every job of it dies"
        )
        mend = f"name another model in [tasks.{task.name}], or call this one from a command task"
        yield Finding(level=Level.FAIL, name="tasks", text=text, mend=mend)


def _caps(config: Config) -> Iterator[Finding]:
    budget = config.budget
    for name, cap in (("hourly_usd", budget.hourly_usd), ("per_job_usd", budget.per_job_usd)):
        if cap is not None and cap > budget.daily_usd:
            text = f"{name} of {usd(cap)} is more than daily_usd of {usd(budget.daily_usd)}, so it never holds"
            yield Finding(level=Level.WARN, name="config", text=text, mend=f"lower {name} in [budget]")


def past(tasks: Mapping[str, TaskConfig], views: Iterable[ScheduleView], *, now: UnixMs) -> Iterator[Finding]:
    """Tasks whose one time was over before a runner knew of it; `views`: schedules as the last runner left them."""
    known = {view.schedule.name: view.schedule for view in views}
    for task in tasks.values():
        if task.schedule is None or task.schedule.at is None or task.schedule.at >= now:
            continue
        left = known.get(task.name)
        owed = left is not None and left.spec == task.schedule.spec and left.since <= task.schedule.at
        if not owed and (left is None or left.last_slot != task.schedule.at):
            text = f"task {task.name}: its at is past and it never fired, so it never will"
            mend = f"mend at, or `afk-runner enqueue {task.name}`"
            yield Finding(level=Level.WARN, name="tasks", text=text, mend=mend)
