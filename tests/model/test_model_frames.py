import pytest

from kimi_agent.model.frames import MAX_EVENT_BYTES, EventTooLong, Frame, Frames

STREAM = (
    ": keep-alive\n\n"
    'data: {"a": "one\u2028two\u2029three\u0085four\x0bfive"}\n\n'
    "event: error\ndata:no space\ndata: second line\n\n"
    "id: 7\nretry: 10\ndata: [DONE]\n\n"
)
FRAMES = [
    Frame("", '{"a": "one\u2028two\u2029three\u0085four\x0bfive"}'.encode()),
    Frame("error", b"no space\nsecond line"),
    Frame("", b"[DONE]"),
]


def read(*chunks: bytes) -> list[Frame]:
    frames = Frames()
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
        assert list(Frames().feed(b"data: x" + end)) == [Frame("", b"x")]


def test_a_byte_order_mark_and_a_missing_last_blank_line_do_not_matter() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n\ndata: y") == [Frame("", b"x"), Frame("", b"y")]


def test_what_is_no_event_stream_is_kept_as_it_came() -> None:
    frames = Frames()
    assert list(frames.feed(b"<html>\r\n")) == []
    assert list(frames.feed(b"no</html>")) == []
    assert bytes(frames.stray) == b"<html>\r\nno</html>"


@pytest.mark.parametrize("start", [b"data: ", b"", b"data: x\n\ndata: "])
def test_an_event_without_end_is_given_up(start: bytes) -> None:
    frames = Frames()
    list(frames.feed(start))
    piece = b"x" * (1024 * 1024)
    with pytest.raises(EventTooLong):
        [list(frames.feed(piece)) for _ in range(MAX_EVENT_BYTES // len(piece) + 1)]


def test_many_data_lines_count_as_one_event() -> None:
    frames = Frames()
    list(frames.feed(b"data: x\n\n"))
    line = b"data: " + b"x" * (1024 * 1024) + b"\n"
    with pytest.raises(EventTooLong):
        [list(frames.feed(line)) for _ in range(9)]


def test_line_ends_may_be_mixed_within_one_event() -> None:
    assert read(b"data: a\rdata: b\r\ndata: c\n\n") == [Frame("", b"a\nb\nc")]
    assert read(b"data: a\rdata: b\n\n") == [Frame("", b"a\nb")]
