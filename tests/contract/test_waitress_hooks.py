"""Every place of waitress that the server touches or counts on beyond what it documents."""

from __future__ import annotations

import inspect

import pytest
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, Task, ThreadedTaskDispatcher, WSGITask


def test_connections_are_made_of_classes_that_can_be_replaced() -> None:
    assert (HTTPChannel.parser_class, HTTPChannel.task_class) == (HTTPRequestParser, WSGITask)
    assert HTTPChannel.error_task_class is ErrorTask
    assert BaseWSGIServer.channel_class is HTTPChannel
    assert "self.channel_class(self" in inspect.getsource(BaseWSGIServer.handle_accept)


def test_a_header_with_an_underscore_is_dropped_by_the_parser() -> None:
    """The server's own parser keeps the one kind that S3 knows."""
    parser = HTTPRequestParser(Adjustments())
    parser.parse_header(b"GET / HTTP/1.1\r\nX-Amz-Meta-a_b: 1\r\nX-Amz-Meta-c-d: 2\r\n\r\n")
    assert parser.headers == {"X_AMZ_META_C_D": "2"}


def test_names_of_answered_headers_are_written_anew() -> None:
    """The server's own task writes them in lower case again."""
    assert "x.capitalize()" in inspect.getsource(Task.build_response_header)


def test_a_request_without_body_that_expects_to_be_continued_is_forgotten() -> None:
    """`Connection.send_continue` remembers it."""
    assert "self.request.completed = False" in inspect.getsource(HTTPChannel.send_continue)


def test_a_refused_request_says_why() -> None:
    parser = HTTPRequestParser(Adjustments())
    parser.received(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
    assert (parser.error.code, parser.error.reason) == (400, "Bad Request")
    assert parser.error.body


def test_the_target_of_a_request_comes_as_it_was_sent() -> None:
    assert '"REQUEST_URI": request.request_uri' in inspect.getsource(WSGITask.get_environment)


@pytest.mark.parametrize("name", ["requests", "request", "total_outbufs_len", "close_when_flushed"])
def test_what_a_connection_still_has_to_do_can_be_seen(name: str) -> None:
    assert f"self.{name} = " in inspect.getsource(HTTPChannel) or hasattr(HTTPChannel, name)


def test_what_ends_a_server_is_called_on_its_own_thread() -> None:
    server = create_server(lambda *_: [], host="127.0.0.1", port=0, threads=1)
    assert {"trigger", "active_channels", "task_dispatcher", "_map"} <= vars(server).keys()
    assert list(inspect.signature(server.trigger.pull_trigger).parameters) == ["thunk"]
    assert list(inspect.signature(ThreadedTaskDispatcher.shutdown).parameters) == ["self", "cancel_pending", "timeout"]
    server.task_dispatcher.shutdown()
    server.close()
