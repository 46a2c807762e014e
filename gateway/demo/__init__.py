"""The demonstration: simulated providers, a gateway, a day of a wallet in half a minute, and an account of it."""
