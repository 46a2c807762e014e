"""Settings read again while the gateway runs: what may change is taken on, what may not is named and kept."""

from __future__ import annotations

from collections.abc import Callable

from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.settings.changes import Changes, changes
from gateway.settings.loading import SettingsError
from gateway.settings.root import Settings


class Reloader:
    """Holds the settings in force; `read` is `load` with its arguments bound."""

    def __init__(self, current: Settings, read: Callable[[], Settings], metrics: Metrics) -> None:
        self.current = current
        self._read = read
        self._metrics = metrics
        self._logger = get_logger("reload")

    def read_again(self) -> Changes | None:
        """Make what was read the current settings and return what changed; None, and all as it was, if it is unusable.

        Keys that need a restart keep their old value in `current`, and are reported until the process is restarted.
        Reads files: call it in a thread.
        """
        try:
            read = self._read()
        except SettingsError as error:
            self._logger.warning("reload_refused", problems=[str(problem) for problem in error.problems])
            self._metrics.reload("failed")
            return None
        found = changes(self.current, read)
        self._logger.info("reloaded", changed=found.keys, needs_restart=found.restart)
        self.current = _kept(self.current, read, found.restart)
        self._metrics.reload("ok")
        return found


def _kept(old: Settings, new: Settings, restart: tuple[str, ...]) -> Settings:
    for key in restart:
        name, _, inner = key.partition(".")
        was, now = getattr(old, name), getattr(new, name)
        value = now.model_copy(update={inner: getattr(was, inner)}) if inner else was
        new = new.model_copy(update={name: value})
    return new
