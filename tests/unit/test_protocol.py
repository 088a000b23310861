"""The messages of the bus: encoding, decoding, reply types, and the properties of directives."""

from __future__ import annotations

import contextlib
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.errors import ProtocolError, TaskNotFound
from keiji_engine.bus import protocol as p


def test_a_decoded_request_equals_the_encoded_one() -> None:
    request = p.BuildTask(id="1", sender="keiji", task="ping", restart=True)
    assert p.decode_request(p.encode(request)) == request


def test_unknown_fields_are_ignored() -> None:
    frames = [p.VERSION, b'{"type": "ping", "id": "1", "colour": "red"}']
    assert p.decode_request(frames) == p.Ping(id="1")


def test_another_protocol_version_is_rejected_with_a_hint() -> None:
    with pytest.raises(ProtocolError, match="expected protocol version 1, but the message has version '2'") as mismatch:
        p.decode_request([b"2", b"{}"])
    assert "restart the engine after an upgrade" in mismatch.value.hint


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"1"],
        [b"1", b"{}", b"more"],
        [b"1", b""],
        [b"1", b"not json"],
        [b"1", b'{"type": "format-disk"}'],
        [b"1", b'{"type": "enable"}'],
        [b"1", b'{"type": "enable", "task": 7}'],
        [b"1", b'{"type": "enable", "task": "' + b"x" * p.MAX_REQUEST_BYTES + b'"}'],
        [b"1", b"[" * 50_000],
    ],
)
def test_malformed_frames_raise_a_protocol_error(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        p.decode_request(frames)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_arbitrary_bytes_raise_only_protocol_errors(frames: list[bytes]) -> None:
    for decode in (p.decode_request, p.decode_reply, p.decode_broadcast):
        with contextlib.suppress(ProtocolError):
            decode([p.VERSION, *frames[1:]])


def test_an_error_keeps_its_type_and_text_in_a_refusal() -> None:
    sent = TaskNotFound("there is no task 'pong'", hint="did you mean 'ping'?")
    [_, body] = p.encode(p.Refused.from_error("1", sent))
    assert json.loads(body)["code"] == "task-not-found"
    refused = p.decode_reply([p.VERSION, body])
    assert isinstance(refused, p.Refused)
    received = refused.to_error()
    assert (type(received), str(received)) == (TaskNotFound, str(sent))


@pytest.mark.parametrize("request_type", get_args(p.AnyRequest))
def test_every_request_declares_a_reply_type(request_type: type[p.Request[p.Reply]]) -> None:
    expected = p.reply_type(request_type)
    assert expected in get_args(p.AnyReply)
    if issubclass(request_type, p.Directive):
        assert expected is p.Done


def test_a_reply_of_the_declared_type_is_returned_and_any_other_is_an_error() -> None:
    query = p.GetRuns(id="1", task="ping")
    assert p.check_reply(query, p.Runs(id="1", runs=())).runs == ()
    with pytest.raises(ProtocolError, match="answered get-runs with tasks instead of runs") as mismatch:
        p.check_reply(query, p.Tasks(id="1", tasks=()))
    assert "restart the engine" in mismatch.value.hint
    with pytest.raises(TaskNotFound, match="there is no task 'pong'"):
        p.check_reply(query, p.Refused(id="1", code="task-not-found", message="there is no task 'pong'"))


def test_the_log_topic_of_a_task_is_not_a_prefix_of_another() -> None:
    assert not p.log_topic("ping_google").startswith(p.log_topic("ping"))


def test_a_directive_expires_after_its_deadline() -> None:
    assert p.Enable(task="ping", deadline=1.0).is_expired
    assert not p.Enable(task="ping").is_expired


def test_the_options_of_a_directive_are_its_fields_that_differ_from_the_defaults() -> None:
    directive = p.Create(id="1", sender="keiji", deadline=1.0, sudo_user="ann", name="ping", force=True)
    assert (directive.verb, directive.target, directive.options) == ("create", "ping", {"force": True})
    assert p.BuildTask(task="ping").options == {}
    assert (p.StopService(service="runner").target, p.Shutdown().target) == ("runner", "")
