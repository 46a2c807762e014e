"""What differs between two settings, and which of it a running gateway cannot take on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.settings.root import Settings
from gateway.settings.values import Component

# Keys that take effect on SIGHUP; a whole component where no key is named.
RELOADABLE = frozenset({"log", "callers", "apps", "limits", "server.drain_s"})
# Sized or bound once at start, inside components that otherwise reload.
RESTART = frozenset({"limits.capacity"})


@dataclass(frozen=True, slots=True)
class Changes:
    """components: top-level names that differ. keys: dotted paths. restart: those of them that need a new process.

    apps_added, apps_removed, apps_changed: ids; an app counts as changed when a credential file's content did.
    """

    components: frozenset[str]
    keys: tuple[str, ...]
    restart: tuple[str, ...]
    apps_added: frozenset[str]
    apps_removed: frozenset[str]
    apps_changed: frozenset[str]

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return bool(self.keys)


def changes(old: Settings, new: Settings) -> Changes:
    """Compare what runs with what was read again."""
    keys = tuple(_differing("", old, new))
    before = {app.id: app for app in old.apps}
    after = {app.id: app for app in new.apps}
    return Changes(
        components=frozenset(key.partition(".")[0].partition("[")[0] for key in keys),
        keys=keys,
        restart=tuple(key for key in keys if _needs_restart(key)),
        apps_added=frozenset(after.keys() - before.keys()),
        apps_removed=frozenset(before.keys() - after.keys()),
        apps_changed=frozenset(app for app in before.keys() & after.keys() if before[app] != after[app]),
    )


def in_force(old: Settings, new: Settings) -> Settings:
    """Return the new settings with the old value of each key that needs a restart.

    Compare with this at the next reload, so that such a key is reported until the process was restarted.
    """
    for key in changes(old, new).restart:
        name, _, inner = key.partition(".")
        was, now = getattr(old, name), getattr(new, name)
        value = now.model_copy(update={inner: getattr(was, inner)}) if inner else was
        new = new.model_copy(update={name: value})
    return new


def _needs_restart(key: str) -> bool:
    top = key.partition(".")[0].partition("[")[0]
    return key in RESTART or (top not in RELOADABLE and key not in RELOADABLE)


def _differing(path: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    old_parts, new_parts = _parts(old), _parts(new)
    if old_parts is None or new_parts is None:
        yield path
        return
    for name in dict.fromkeys((*old_parts, *new_parts)):
        inner = name if not path else f"{path}{name}" if name.startswith("[") else f"{path}.{name}"
        yield from _differing(inner, old_parts.get(name), new_parts.get(name))


def _parts(value: object) -> Mapping[str, object] | None:
    """Split a value into what can differ by itself: fields, map entries, list entries by their id or name."""
    if isinstance(value, Component):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {f"[{name}]": inner for name, inner in value.items()}
    if isinstance(value, tuple) and all(isinstance(part, Component) for part in value):
        return {f"[{getattr(part, 'id', None) or part.name}]": part for part in value}
    return None
