"""The report: what ran, what it cost and earned, what was skipped and why, and what waits for a person.

`gather` reads it from one look at the database; `lines`, `markdown` and `document` each write the same value down.
"""
