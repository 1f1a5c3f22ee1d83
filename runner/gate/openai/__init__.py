"""The OpenAI wire: what its requests can cost, what its answers say they used."""
