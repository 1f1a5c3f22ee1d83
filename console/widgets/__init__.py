"""Boxes that draw the lines they are given, and redraw only those that changed."""
