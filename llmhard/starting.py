"""Ctrl-C while the program loads and while it ends: one line and exit code 130, no traceback.

Python raises KeyboardInterrupt wherever it happens to be, and while modules load that may be where
nobody can catch it, or where it is printed and forgotten. So as long as there is nothing to clean
up, the signal's handler leaves by itself. The command line puts handlers that raise in its place
while a command runs. Whoever imports the package as a library keeps their own.

This is imported before everything else and imports nothing that has to be loaded itself: hence
`_signal`, what `signal` is made of.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import sys
import time


def is_program() -> bool:
    """Return whether the package is imported as the program: python -m llmhard, or llmhard."""
    name, *arguments = sys.argv or [""]
    if name != "-m":  # which it is as long as Python looks for the module that it is to run
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
    """Leave with a line when a signal came just before or just after there was who awaits it."""
    if isinstance(error, KeyboardInterrupt):
        _leave(getattr(error, "code", 130), str(error) or "interrupted")
    sys.__excepthook__(kind, error, traceback)


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send a signal again whose exception Python could not raise, as in a __del__."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        number = getattr(unraisable.exc_value, "number", _signal.SIGINT)
        _thread.start_new_thread(_send, (number,))
    else:
        sys.__unraisablehook__(unraisable)


def _send(number: int) -> None:
    time.sleep(0.01)  # until the main thread is elsewhere
    os.kill(os.getpid(), number)


# Ignored, as for `llmhard train &` in a script, it stays ignored.
if is_program() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, lambda *_: _leave())
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
