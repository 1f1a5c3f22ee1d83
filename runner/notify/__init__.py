"""Delivery of alerts: whoever is to be told is told, and nothing in the runner waits for it.

`addresses` names where they go, `owed` finds what an address does not know yet, `messages` puts it into words,
`courier` hands it to a child process of its own (`send`), and `deliverer` does all that whenever there is something.
`trial` tries the addresses by hand.
"""
