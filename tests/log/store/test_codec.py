"""One record, one line, and back."""

import json
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.log.events import Durable, Partial, Returned, Said, Stamped
from kimi_agent.log.messages import Assistant, Call, Usage, user_message
from kimi_agent.log.store.codec import (
    BIG_RECORD,
    DamagedRecord,
    EncodedRecord,
    UnknownRecord,
    decode_record,
    encode_record,
)
from kimi_agent.log.views import OutputView, Result


def at_seven(event: Durable) -> Stamped:
    return Stamped("main", 7, 1_795_307_680.25, event)


def back(line: EncodedRecord) -> object:
    return decode_record(line.data[:-1], _texts(line).get)


def _texts(line: EncodedRecord) -> dict[str, str]:
    return {sha256: data.decode() for sha256, data in line.blobs}


def test_every_kind_of_record_comes_back_whole(rich_log: list[Stamped]) -> None:
    assert [back(encode_record(record)) for record in rich_log] == rich_log


def test_a_line_has_its_checksum_at_a_fixed_place() -> None:
    data = encode_record(at_seven(Said(user_message("é\nb")))).data
    crc, rest = data[14:22], data[24:-1]
    assert data.startswith(b'{"v":1,"crc":"')
    assert crc == b"%08x" % crc32(rest)
    assert rest.startswith(b'"seq":7,"at":1795307680.25,"agent":"main","event":{"type":"Said",')
    assert data.count(b"\n") == 1
    assert json.loads(data)["seq"] == 7


def test_what_is_sound_is_the_same_object_in_memory() -> None:
    record = at_seven(Said(Assistant("a\\u0000 in words", calls=(Call("a\tb\u2028:0", "f", '{"x":"\\u0000"}'),))))
    assert back(encode_record(record)) == encode_record(record).stamped == record
    plain = at_seven(Said(user_message("plain")))
    assert encode_record(plain).stamped is plain


def test_lone_surrogates_and_nul_are_replaced_before_they_are_history() -> None:
    line = encode_record(at_seven(Said(user_message("a\ud800b\0c \ud83d\ude00 ü"))))
    assert line.stamped == back(line) == at_seven(Said(user_message("a\ufffdb\ufffdc \U0001f600 ü")))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_no_room_for_become_zero(bad: float) -> None:
    line = encode_record(at_seven(Returned(1, 0, Result("x", OutputView("c", duration_s=bad)), bad)))
    assert line.stamped == back(line) == at_seven(Returned(1, 0, Result("x", OutputView("c"))))


def test_a_number_of_five_thousand_digits_is_no_crash() -> None:
    line = encode_record(at_seven(Said(Assistant("x"), Usage(input=10**5000))))
    assert line.stamped == back(line) == at_seven(Said(Assistant("x"), Usage(input=2**63 - 1)))


@settings(deadline=None, database=None)
@given(st.text(), st.text(), st.floats(), st.integers())
def test_memory_never_differs_from_the_disk(text: str, call_id: str, duration_s: float, tokens: int) -> None:
    for event in (
        Said(Assistant(text, text, (Call(call_id, "f", text),)), Usage(tokens)),
        Returned(1, 0, Result(text), duration_s),
    ):
        line = encode_record(at_seven(event))
        assert back(line) == line.stamped


def test_long_strings_of_big_records_become_blobs() -> None:
    long, short = "é" * BIG_RECORD, "s" * 1000
    record = at_seven(Returned(1, 0, Result(long, OutputView(short, long))))
    line = encode_record(record)
    assert len(line.data) < 2000
    assert [len(data) for _, data in line.blobs] == [2 * BIG_RECORD]
    assert line.stamped is record
    assert back(line) == record


def test_a_lost_blob_is_a_marked_gap() -> None:
    big = "x" * BIG_RECORD
    found = decode_record(encode_record(at_seven(Partial(big))).data[:-1], lambda sha256: None)
    assert found == at_seven(Partial("[65,536 characters stood here; their blob is lost or damaged]"))
    call = decode_record(
        encode_record(at_seven(Said(Assistant("", calls=(Call("i", "f", big),))))).data[:-1], lambda sha256: None
    )
    assert isinstance(call, Stamped)
    assert isinstance(call.event, Said)
    assert isinstance(call.event.message, Assistant)
    assert "lost" in json.loads(call.event.message.calls[0].arguments)


def test_a_blob_name_that_is_no_hash_is_never_read() -> None:
    rest = b'"seq":1,"at":1.0,"agent":"main","event":{"type":"Renamed","title":{"$blob":"../../x","chars":3}}}'
    record = decode_record(b'{"v":1,"crc":"%08x",%s' % (crc32(rest), rest), lambda sha256: pytest.fail("read"))
    assert isinstance(record, Stamped)


def sealed(rest: bytes) -> bytes:
    return b'{"v":1,"crc":"%08x",%s' % (crc32(rest), rest)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (sealed(b'"seq":9,"at":1.0,"agent":"main","event":{"type":"Teleported","to":"x"}}'), UnknownRecord(9)),
        (sealed(b'"seq":9,"at":1.0,"agent":"main","event":{"type":"Renamed","title":3}}'), UnknownRecord(9)),
        (b'{"v":2,"seq":9,"zip":"abc"}', UnknownRecord(9)),
        (b'{"v":31,"seq":"nine"}', UnknownRecord(0)),
        (b'{"v":2,"seq":9,"zip":"ab', DamagedRecord()),
        (b'{"v":0,"seq":9}', DamagedRecord()),
        (sealed(b'"seq":9,'), DamagedRecord()),
        (sealed(b'"seq":9,"at":1.0}').replace(b"9", b"8"), DamagedRecord()),
        (b"", DamagedRecord()),
        (b"\xff\xfe\x00", DamagedRecord()),
        (b"[" * 100_000, DamagedRecord()),
        (b'{"v":2,"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}", DamagedRecord()),
    ],
)
def test_what_cannot_be_read_is_told_apart(line: bytes, record: object) -> None:
    assert decode_record(line, lambda sha256: None) == record
