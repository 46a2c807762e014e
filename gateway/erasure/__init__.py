"""Erasing one user from everything that all workers hold, with a proof."""
