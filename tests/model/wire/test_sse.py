import pytest

from kimi_agent.model.wire.sse import MAX_EVENT_BYTES, EventTooLong, SseEvent, SseParser

STREAM = (
    ": keep-alive\n\n"
    'data: {"a": "one\u2028two\u2029three\u0085four\x0bfive"}\n\n'
    "event: error\ndata:no space\ndata: second line\n\n"
    "id: 7\nretry: 10\ndata: [DONE]\n\n"
)
FRAMES = [
    ("", '{"a": "one\u2028two\u2029three\u0085four\x0bfive"}'.encode()),
    ("error", b"no space\nsecond line"),
    ("", b"[DONE]"),
]


def read(*chunks: bytes) -> list[SseEvent]:
    frames = SseParser()
    return [frame for chunk in chunks for frame in frames.feed(chunk)] + list(frames.end())


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_frames_are_the_same_however_the_bytes_are_split(line_end: str) -> None:
    stream = STREAM.replace("\n", line_end).encode()
    assert read(stream) == FRAMES
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == FRAMES
    for cut in range(len(stream)):
        assert read(stream[:cut], b"", stream[cut:]) == FRAMES, cut


def test_a_frame_is_given_as_soon_as_its_blank_line_is_there() -> None:
    for end in (b"\n\n", b"\r\r", b"\r\n\r\n"):
        assert list(SseParser().feed(b"data: x" + end)) == [("", b"x")]


def test_a_byte_order_mark_and_a_missing_last_blank_line_do_not_matter() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n\ndata: y") == [("", b"x"), ("", b"y")]


def test_what_is_no_event_stream_is_kept_as_it_came() -> None:
    frames = SseParser()
    assert list(frames.feed(b"<html>\r\n")) == []
    assert list(frames.feed(b"no</html>")) == []
    assert bytes(frames.stray) == b"<html>\r\nno</html>"


@pytest.mark.parametrize("start", [b"data: ", b"", b"data: x\n\ndata: "])
def test_an_event_without_end_is_given_up(start: bytes) -> None:
    frames = SseParser()
    list(frames.feed(start))
    piece = b"x" * (1024 * 1024)
    with pytest.raises(EventTooLong):
        [list(frames.feed(piece)) for _ in range(MAX_EVENT_BYTES // len(piece) + 1)]


def test_many_data_lines_count_as_one_event() -> None:
    frames = SseParser()
    list(frames.feed(b"data: x\n\n"))
    line = b"data: " + b"x" * (1024 * 1024) + b"\n"
    with pytest.raises(EventTooLong):
        [list(frames.feed(line)) for _ in range(9)]


def test_line_ends_may_be_mixed_within_one_event() -> None:
    assert read(b"data: a\rdata: b\r\ndata: c\n\n") == [("", b"a\nb\nc")]
    assert read(b"data: a\rdata: b\n\n") == [("", b"a\nb")]


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b"data: x\n\n: comment\n\ndata: y\n\n", [("", b"x"), ("", b"y")]),
        (b"id: 1\nevent: message\nretry: 10\nodd: field\ndata: x\n\n", [("message", b"x")]),
        (b"data:x\n\ndata:  y\n\n", [("", b"x"), ("", b" y")]),
        (b"data: x\n\n\n\ndata: y\n\n", [("", b"x"), ("", b"y")]),
        (b"data:\n\ndata\n\ndata: \n\n", [("", b"")] * 3),
        (b"data: {\ndata: }\n\n", [("", b"{\n}")]),
        (b"event: error\n\ndata: x\n\n", [("error", b""), ("", b"x")]),
        (b"event: \xff\ndata: x\n\n", [("\ufffd", b"x")]),
        (b"data: x\n\nDATA: y\n\n{}\n\n", [("", b"x")]),
        (b"\n\ndata: x\n\n", [("", b"x")]),
    ],
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_fields_comments_and_blank_lines_are_read_as_the_standard_says(
    stream: bytes, frames: list[SseEvent], line_end: bytes
) -> None:
    stream = stream.replace(b"\n", line_end)
    assert read(stream) == frames
    for cut in range(len(stream)):
        assert read(stream[:cut], stream[cut:]) == frames, cut


def test_an_event_that_is_too_long_is_given_up_though_it_comes_in_one_piece() -> None:
    for start in (b"", b"data: x\n\n", b"data: x"):
        frames = SseParser()
        list(frames.feed(start))
        with pytest.raises(EventTooLong):
            list(frames.feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1) + b"\n\n"))
    frames = SseParser()
    list(frames.feed(b"data: x\n\n"))
    many = b"data: " + b"x" * 1024 * 1024 + b"\n\n"
    assert len(list(frames.feed(many * 9))) == 9, "each is short enough"
