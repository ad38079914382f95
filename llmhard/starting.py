"""Ctrl-C while the program loads and while it ends: one line and exit code 130, no traceback.

Python raises KeyboardInterrupt wherever it happens to be. While modules load, that may be where
nothing can catch it, or where it is printed and forgotten. So as long as there is nothing to clean
up, the signal's handler exits by itself. While a command runs, the command line replaces it with
handlers that raise. Whoever imports the package as a library keeps their own.

This module is imported before everything else and imports nothing that would have to be loaded:
hence `_signal`, which `signal` is built on.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import sys
import time


def is_program() -> bool:
    """Return whether the package runs as a program: python -m llmhard, or llmhard."""
    name, *arguments = sys.argv or [""]
    if name != "-m":  # as it is while Python is looking for the module to run
        return os.path.basename(name) in ("llmhard", "llmhard.exe")  # noqa: PTH119
    before = sys.orig_argv[: len(sys.orig_argv) - len(arguments)]
    module = before[-1] if before else ""
    return module == "llmhard" or (module.startswith("-") and module.endswith("mllmhard"))


def _leave(code: int = 130, said: str = "interrupted") -> None:
    try:
        os.write(2, f"llmhard: {said}\n".encode())
    finally:
        os._exit(code)


def _uncaught(kind, error, traceback):  # type: ignore[no-untyped-def]
    """Exit with one line if a signal came just before or after anything was ready to catch it."""
    if isinstance(error, KeyboardInterrupt):
        _leave(getattr(error, "code", 130), str(error) or "interrupted")
    sys.__excepthook__(kind, error, traceback)


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send a signal again if Python could not raise its exception, as in a __del__."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        number = getattr(unraisable.exc_value, "number", _signal.SIGINT)
        _thread.start_new_thread(_send, (number,))
    else:
        sys.__unraisablehook__(unraisable)


def _send(number: int) -> None:
    time.sleep(0.01)  # until the main thread is elsewhere
    os.kill(os.getpid(), number)


# If it is ignored, as for `llmhard train &` in a script, it stays ignored.
if is_program() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, lambda *_: _leave())
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
