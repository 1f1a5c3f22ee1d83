"""The bodies of the screen, one module a tab: what it needs read, how it is drawn, which keys it adds."""
