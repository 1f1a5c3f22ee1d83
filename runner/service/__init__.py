"""Keeping the runner going with what the machine has: launchd, systemd, cron, a container.

Every file is rendered from one plan with one time budget. What runs is told by our own lock and heartbeat first, and by
the supervisor second: its words are never the source of truth.
"""
