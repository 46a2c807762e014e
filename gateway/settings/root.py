"""The whole of the settings, and the rules that hold between its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateway.settings.apps import AppSettings
from gateway.settings.components import (
    CallerSettings,
    DedupSettings,
    DispatchSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    MassDeathSettings,
    ServerSettings,
    WebSettings,
)
from gateway.settings.privacy import PrivacySettings
from gateway.settings.retention import RetentionSettings
from gateway.settings.tracing import TracingSettings
from gateway.settings.values import Component, Directory, is_loopback


class Settings(Component):
    """Everything an operator can set."""

    data_dir: Directory = Path("var")
    """Journals, registry and metrics. Relative paths start at this file."""
    server: ServerSettings = ServerSettings()
    """The gRPC server."""
    web: WebSettings = WebSettings()
    """The HTTP server for metrics and health."""
    log: LogSettings = LogSettings()
    """Logging."""
    callers: tuple[CallerSettings, ...] = ()
    """Who may call; none means anyone, on loopback only."""
    apps: tuple[AppSettings, ...] = ()
    """The apps whose users are notified."""
    limits: LimitSettings = LimitSettings()
    """Rate limits."""
    dedup: DedupSettings = DedupSettings()
    """Duplicate suppression."""
    journal: JournalSettings = JournalSettings()
    """The journal."""
    dispatch: DispatchSettings = DispatchSettings()
    """Delivery."""
    mass_death: MassDeathSettings = MassDeathSettings()
    """The mass-death guard."""
    privacy: PrivacySettings = PrivacySettings()
    """Personal data."""
    retention: RetentionSettings = RetentionSettings()
    """How long what is no longer needed is kept."""
    tracing: TracingSettings = TracingSettings()
    """OpenTelemetry traces."""


def broken_rules(settings: Settings, insecure: bool, unknown: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, reason) for each rule between components that does not hold.

    unknown: components that could not be read; the rules that need them are left out.
    """
    for needs, rule in _RULES:
        if unknown.isdisjoint(needs):
            yield from rule(settings)
    if not insecure and unknown.isdisjoint({"server", "web", "callers"}):
        yield from _exposure(settings)


def _exposure(settings: Settings) -> Iterator[tuple[str, str]]:
    guarded = bool(settings.callers)
    for path, part in (("server.listen", settings.server), ("web.listen", settings.web)):
        if is_loopback(part.listen) or (part.tls_cert_file is not None and guarded):
            continue
        section = path.partition(".")[0]
        wants = [] if part.tls_cert_file else [f"{section}.tls_cert_file and {section}.tls_key_file"]
        wants += [] if guarded else ["at least one caller with a key"]
        yield path, f"{part.listen} can be reached from other hosts: set {' and '.join(wants)}, or pass --insecure"


def _unique_names(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _repeated("apps", (app.id for app in settings.apps))


def _unique_callers(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _repeated("callers", (caller.name for caller in settings.callers))
    keys = Counter(key for caller in settings.callers for key in set(caller.key_hashes()))
    if any(count > 1 for count in keys.values()):
        yield "callers", "two callers have the same key"


def _known_apps(settings: Settings) -> Iterator[tuple[str, str]]:
    known = {app.id for app in settings.apps}
    for index, caller in enumerate(settings.callers):
        for app in caller.apps:
            if app != "*" and app not in known:
                yield f"callers[{index}].apps", f"no app has the id {app}"


def _client_names(settings: Settings) -> Iterator[tuple[str, str]]:
    for index, caller in enumerate(settings.callers):
        if caller.client_name is not None and settings.server.client_ca_file is None:
            yield f"callers[{index}].client_name", "needs server.client_ca_file"


def _repeated(path: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name, count in Counter(names).items():
        if count > 1:
            yield path, f"{name} is named {count} times"


Rule = Callable[[Settings], Iterator[tuple[str, str]]]
_RULES: tuple[tuple[frozenset[str], Rule], ...] = (
    (frozenset({"apps"}), _unique_names),
    (frozenset({"callers"}), _unique_callers),
    (frozenset({"callers", "apps"}), _known_apps),
    (frozenset({"callers", "server"}), _client_names),
)
