"""The terminal console: it reads through `runner.snapshot`, acts through `runner.commands`, and draws frozen values.

clean, line, look, format ← views (values to lines) ← widgets (lines to the screen) ← screens ← tui ← app.
"""
