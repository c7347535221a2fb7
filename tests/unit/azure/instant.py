"""An event loop for tests of waiting: its clock jumps to the next timer as soon as nothing else is to be done."""

import asyncio
import selectors


class _Selector(selectors.DefaultSelector):
    now = 1000.0

    def select(self, timeout=None):
        if timeout:
            self.now += timeout
        return super().select(0)


class InstantLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self):
        return self._clock.now


def run(coroutine):
    """Run a coroutine in hours of its own that pass at once."""
    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        return runner.run(coroutine)
