"""An interrupt ends a run in some seconds, whatever torch is at.

Python tells the program of Ctrl-C between two steps of its own; one product of large matrices on a busy machine is one
step, and may take half a minute. So a thread hears of the signal too, and ends the process where the program has not
ended by then. So it does where Python drops the interrupt, as it does in a callback that an import makes, and where
what torch began, half loaded, does not come to an end. The table of what was measured is written whole after each case,
so that nothing is lost.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 8.0
INTERRUPTED = 130  # exit code of a program that was interrupted


@contextmanager
def end_in_time(grace_s: float = GRACE_S) -> Iterator[None]:
    """An interrupt in this block ends the process after so many seconds at the latest, unless the block ends before.

    Who leaves it by the interrupt is about to end the process, and has the rest of the seconds for that.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    ending = threading.Event()

    def watch() -> None:
        while number := os.read(heard, 1):
            if number[0] == signal.SIGINT and not ending.wait(grace_s):
                os.write(2, b"roofcast: interrupted\n")
                os._exit(INTERRUPTED)
        os.close(heard)

    threading.Thread(target=watch, daemon=True).start()
    before = signal.set_wakeup_fd(told)
    interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if not interrupted:
            ending.set()
        signal.set_wakeup_fd(before)
        os.close(told)
