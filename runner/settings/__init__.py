"""Reading `afk.toml` into `runner.config.Config`, checked whole."""

from runner.settings.document import load, task_lines
from runner.settings.notes import Problem, SettingsError
from runner.settings.table import nearest
from runner.settings.tasks import read_python_task

__all__ = ["Problem", "SettingsError", "load", "nearest", "read_python_task", "task_lines"]
