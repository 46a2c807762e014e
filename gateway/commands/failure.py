"""Failures that a person can do something about: a sentence, a hint and an exit code instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BAD_RESULT = 1
BAD_USAGE = 2
BAD_SETTINGS = 3
UNREACHABLE = 4
REFUSED = 5
INTERRUPTED = 130


class CommandFailed(Exception):
    """The command cannot go on; the text is for the person who typed it."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def settings_failures(path: Path) -> Iterator[None]:
    """Tell wrong settings, and a start that they make impossible, as failures."""
    from core.errors import PushError
    from gateway.settings.loading import SettingsError

    try:
        yield
    except SettingsError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise CommandFailed(f"{path} cannot be used:\n{lines}", BAD_SETTINGS) from error
    except PushError as error:
        raise CommandFailed(str(error), BAD_SETTINGS) from error
    except OSError as error:
        raise CommandFailed(f"cannot start: {error.strerror or error}", BAD_SETTINGS) from error


@contextmanager
def gateway_failures(address: str) -> Iterator[None]:
    """Tell what the client raises as failures."""
    from gateway.client.errors import Denied, InvalidArgument, Refused, Transient, WalletpushError

    try:
        yield
    except InvalidArgument as error:
        lines = "".join(f"\n  {field}: {why}" for field, why in error.violations)
        raise CommandFailed(f"refused:{lines or f' {error}'}", REFUSED) from error
    except Denied as error:
        raise CommandFailed(f"refused: {error}. Name your key's file with --key-file.", REFUSED) from error
    except Refused as error:
        raise CommandFailed(f"refused: {error}", REFUSED) from error
    except Transient as error:
        raise CommandFailed(f"{_way(str(error), address)}", UNREACHABLE) from error
    except WalletpushError as error:
        raise CommandFailed(str(error), UNREACHABLE) from error


def _way(text: str, address: str) -> str:
    if "refused" in text or "No such file" in text:
        return f"nobody answers at {address}. Is the gateway running (walletpush serve), and is --address right?"
    # The words of gRPC for a server of HTTP/1.1, such as that of pages and metrics.
    if "Expected SETTINGS frame" in text:
        return f"{address} answers in HTTP, not gRPC: --address wants server.listen of the settings, not web.listen"
    if "SSL" in text or "handshake" in text.lower() or "certificate" in text.lower():
        return f"no secure connection to {address}: give --ca-file for its certificate, or see its log. ({text})"
    return f"{address}: {text}"
