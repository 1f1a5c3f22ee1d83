"""The one screen, and the dialogs above it."""
