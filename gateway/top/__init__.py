"""The live view of a running gateway, made of its /metrics."""
