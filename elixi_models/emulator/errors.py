"""How a request is refused."""

from __future__ import annotations


class Refusal(Exception):
    """An error answer: a status, and the text of its `error`."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
