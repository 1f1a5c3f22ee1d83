"""What a value looks like as lines; no terminal library in here, so `--once` shows what the screen shows."""
