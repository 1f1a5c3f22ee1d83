"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("afk", deadline=None)  # a busy machine makes no claim false
settings.load_profile("afk")
