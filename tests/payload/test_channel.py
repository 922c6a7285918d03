"""What arrives of what a child tells, wherever the pipe or its life is cut."""

import os

import pytest

from payload.apart.channel import Channel, Inbox


def sent() -> bytes:
    """Return the bytes of a note, a result and another note."""
    reader, writer = os.pipe()
    channel = Channel(writer)
    channel.note("one")
    channel.deliver({"valid": True})
    channel.note("two")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        return pipe.read()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_messages_arrive_in_any_pieces(size: int) -> None:
    inbox, data = Inbox(), sent()
    for start in range(0, len(data), size):
        inbox.feed(data[start : start + size])
    assert [*inbox.results()] == [{"valid": True}]
    assert [*inbox.results()] == []
    assert inbox.note() == "two"


def test_a_message_that_death_cut_off_is_not_looked_at() -> None:
    inbox = Inbox()
    inbox.feed(sent()[:-1])
    assert inbox.note() == "one"
    assert Inbox().note() is None
