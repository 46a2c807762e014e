"""Traces of notifications, from the caller's context to the provider's answer; costs nothing where it is off."""
