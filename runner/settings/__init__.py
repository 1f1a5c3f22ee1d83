"""Reading `afk.toml` into `runner.config.Config`, checked whole."""

from runner.settings.document import load
from runner.settings.table import Problem, SettingsError, nearest

__all__ = ["Problem", "SettingsError", "load", "nearest"]
