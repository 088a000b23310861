"""Background work: every worker of the terminal is started here, so that each failure reaches one handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.dom import DOMNode
from textual.message import Message
from textual.worker import Worker


class WorkFailed(Message):
    """Background work raised an exception that it does not handle. Posted to the app.

    Args:
        group: the group of the worker.
    """

    def __init__(self, error: Exception, group: str) -> None:
        super().__init__()
        self.error = error
        self.group = group


def start_worker(
    node: DOMNode, work: Callable[[], Awaitable[object]], *, group: str, exclusive: bool = False
) -> Worker[None]:
    """Run ``work`` in a worker of ``node``, which ends with it.

    Textual sends the state of a worker only to its own node, and not at all if that has been removed; the app is
    therefore notified from within the worker.

    Args:
        exclusive: whether to cancel the other workers of the node in this group.
    """
    app = node.app

    async def guarded() -> None:
        try:
            await work()
        except Exception as error:
            app.post_message(WorkFailed(error, group))
            raise

    return node.run_worker(guarded, name=group, group=group, exclusive=exclusive, exit_on_error=False)
