"""A test's own server on an asyncio loop, in a thread."""
import asyncio
import threading

import harness


class LoopThread:
    """The loop runs from the start; `end` cancels what is still going on in it, stalled handlers among them."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, coroutine, deadline_s=harness.DEADLINE_S):
        """Runs it in the loop; its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(deadline_s)

    def end(self, close=None):
        """`close`, a coroutine, closes the server once its handlers are cancelled."""
        self.call(self._cancel_all())
        if close is not None:
            self.call(close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    @staticmethod
    async def _cancel_all():
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        # One that waits for the rest of a body that nobody sends does not mind: it ends with its connection.
        if tasks:
            await asyncio.wait(tasks, timeout=1)
