"""read_file shows numbered lines within limits and says what is unusual."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.log.views import Result, TextView
from kimi_agent.tool import Context, NeedsConsent, Tool, ToolError
from kimi_agent.workspace.files.seen_files import KnownFile
from tests.golden_texts import Golden
from tests.tool_calls import run_tool

Get = Callable[[str], Tool]


@pytest.fixture
def read(tool: Get, context: Context) -> Callable[..., Any]:
    async def call(path: str, **more: Any) -> str:
        result: Result = await run_tool(tool("read_file"), context, json.dumps({"path": path, **more}))
        assert not result.failed
        return result.content

    return call


async def refused(read: Callable[..., Any], path: str, **more: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await read(path, **more)
    return caught.value


def info(text: str) -> str:
    """The last line: which lines these are, and what is unusual."""
    return text.rpartition("\n")[2]


async def test_lines_are_numbered_and_the_trailer_says_how_many(golden: Golden, read: Any, workspace: Path) -> None:
    (workspace / "a.py").write_text("one\n\ntwo\n")
    golden(await read("a.py"))


async def test_the_person_sees_the_number_of_lines(tool: Get, context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("x\n" * 30_000)
    result = await run_tool(tool("read_file"), context, '{"path": "a", "limit": 1999}')
    assert isinstance(result.view, TextView)
    assert result.view.title == "1,999 lines"


async def test_a_long_file_is_read_in_pages(golden: Golden, read: Any, workspace: Path) -> None:
    (workspace / "a").write_text("".join(f"{n}\n" for n in range(1, 5001)))
    first = await read("a")
    assert first.splitlines()[-2] == "2000\t2000"
    pages = [await read("a", **page) for page in ({"offset": 2001, "limit": 2}, {"offset": -2})]
    assert (await read("a", offset=-3, limit=1)).startswith("4998\t4998\n<")
    golden(info(first), *pages, await read("a", offset=-9999))


async def test_a_page_ends_at_60_kilobytes(golden: Golden, read: Any, workspace: Path) -> None:
    (workspace / "a").write_text(f"{'ก' * 300}\n" * 1000)
    text = await read("a")
    assert 55_000 < len(text.encode()) < 61_000
    golden(info(text))


async def test_long_lines_are_cut_and_their_rest_can_be_read(
    golden: Golden, read: Any, workspace: Path, context: Context
) -> None:
    (workspace / "a").write_text("short\n" + "x" * 2000 + "\n" + "y" * 2000 + "END\nlast\n")
    text = await read("a")
    assert f"3\t{'y' * 2000}\n" in text
    golden(info(text), await read("a", offset=3, limit=1, column_offset=2001))
    known = context.files.seen_files.known("a")
    assert known is not None
    assert (known.ranges, known.whole) == (((1, 2), (4, 4)), False)


UNUSUAL = [
    (b"a\r\nb\r\n", "1\ta\n2\tb\n"),
    (b"a\r\nb", "1\ta\n2\tb\n"),
    (b"a\r\nb\nc\rd\n", "1\ta␍\n2\tb\n3\tc␍d\n"),
    (b"a\rb\n", "1\ta␍b\n"),
    (b"a", "1\ta\n"),
    (b"\xef\xbb\xbfa\n", "1\ta\n"),
    ("\ufeffaก\n".encode("utf-16-le"), "1\taก\n"),
    ("\ufeffa\r\nb\r\n".encode("utf-16-be"), "1\ta\n2\tb\n"),
    (b"caf\xe9\n", "1\tcafé\n"),
    (b"caf\x81\n", "1\tcaf\x81\n"),
    ("ก".encode() + b"\xff\n", "1\tก\\xff\n"),
    ("a\x0cb\x85c\u2028d\x0be\n".encode(), "1\ta\x0cb\x85c\u2028d\x0be\n"),
]


async def test_what_is_unusual_is_told(golden: Golden, read: Any, workspace: Path) -> None:
    infos = []
    for number, (data, lines) in enumerate(UNUSUAL):
        (workspace / f"a{number}").write_bytes(data)
        text = await read(f"a{number}")
        assert text.startswith(f"{lines}<file-info>"), data
        infos.append(f"{data!r}: {info(text)}")
    golden(*infos)


async def test_line_ends_that_fall_between_two_pieces_are_seen(read: Any, workspace: Path) -> None:
    for size in (65_535, 65_536, 65_537):
        (workspace / f"a{size}").write_bytes(b"x" * (size - 1) + b"\r\n" + b"b\r\n")
        text = await read(f"a{size}")
        assert "CRLF line ends" in text
        assert "␍" not in text
        assert text.split("\n")[1] == "2\tb"


async def test_an_empty_file_is_said_to_be_empty_and_counts_as_read(
    golden: Golden, read: Any, workspace: Path, context: Context
) -> None:
    (workspace / "a").write_bytes(b"")
    golden(await read("a"))
    known = context.files.seen_files.known("a")
    assert known is not None
    assert known.whole


async def test_a_line_past_the_end_is_an_error_with_the_length(golden: Golden, read: Any, workspace: Path) -> None:
    (workspace / "a").write_text("1\n2\n")
    error = await refused(read, "a", offset=5)
    assert error.code == "bad_arguments"
    golden(str(error))


async def test_a_folder_gives_its_listing(golden: Golden, read: Any, workspace: Path) -> None:
    (workspace / "d/sub").mkdir(parents=True)
    (workspace / "d/big").write_bytes(b"x" * 150_000)
    (workspace / "d/a\nb").write_text("")
    golden(await read("d"))


async def test_a_missing_file_is_answered_with_similar_names(read: Any, workspace: Path) -> None:
    (workspace / "reader.py").write_text("")
    error = await refused(read, "raeder.py")
    assert (error.code, error.next_step) == ("missing", "did you mean reader.py?")


@pytest.mark.parametrize(
    ("data", "what", "next_step"),
    [
        (b"%PDF-1.7\n\0", "a PDF (10 bytes)", "pdftotext 'a b'"),
        (b"\x89PNG\r\n\x1a\n\0", "a PNG image (9 bytes)", "can't show you images"),
        (b"\0\0\0\x18ftypmp42\0", "an MP4 video", "can't show you images"),
        (b"\x7fELF\0", "an ELF program", "file 'a b'"),
        (b"abc\0def", "binary (7 bytes)", "xxd 'a b' | head"),
        (b"\x01\x02\x03\x04abc", "binary", "xxd"),
    ],
)
async def test_what_is_not_text_is_named_with_another_way(
    read: Any, workspace: Path, data: bytes, what: str, next_step: str
) -> None:
    (workspace / "a b").write_bytes(data)
    error = await refused(read, "a b")
    assert error.code == "binary"
    assert what in error.text
    assert next_step in error.next_step


async def test_a_sparse_terabyte_and_a_pipe_are_answered_at_once(read: Any, workspace: Path) -> None:
    with open(workspace / "big", "wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(workspace / "pipe")
    async with asyncio.timeout(20):
        assert (await refused(read, "big")).code == "binary"
        assert (await refused(read, "pipe")).code == "not_regular"


async def test_one_endless_line_is_cut(golden: Golden, read: Any, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"x" * 20_000_000)
    text = await read("a")
    assert len(text) < 2_200
    golden(info(text))
    assert (await read("a", column_offset=19_999_999)).startswith("1\txx\n")


async def test_a_notebook_is_shown_as_its_cells(golden: Golden, read: Any, workspace: Path, context: Context) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [
                {"output_type": "stream", "text": ["1\n"] * 1000},
                {"output_type": "display_data", "data": {"image/png": "AAAA"}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'x'"},
            ],
        },
    ]
    (workspace / "n.ipynb").write_text(json.dumps({"cells": cells}))
    text = await read("n.ipynb")
    assert "more characters" in text
    assert "(image/png)" in text
    assert "KeyError: 'x'" in text
    golden(*text.splitlines()[:6], info(text))
    known = context.files.seen_files.known("n.ipynb")
    assert known is not None
    assert not known.whole


async def test_a_broken_notebook_is_text(read: Any, workspace: Path) -> None:
    for text in ("{", "[" * 100_000, "{}", '{"cells": [1]}', '{"cells": 3}'):
        (workspace / "n.ipynb").write_text(text)
        assert (await read("n.ipynb")).startswith(f"1\t{text[:2]}")


async def test_an_output_is_paged_by_its_name_whatever_it_holds(golden: Golden, read: Any, context: Context) -> None:
    name = context.files.outputs.keep("a\nb\0\x01\x02\x03\x04\nc\n")
    text = await read(name, offset=2, limit=1)
    assert text.splitlines()[0] == "2\tb␀\x01\x02\x03\x04"
    golden(info(text))
    assert await read(name, offset=2, limit=1) == await read(name, offset=2, limit=1)


async def test_the_ledger_hears_which_lines_were_shown(read: Any, workspace: Path, context: Context) -> None:
    (workspace / "a").write_text("".join(f"{n}\n" for n in range(1, 101)))
    sha256 = context.files.read("a").sha256
    await read("a", limit=50)
    assert context.files.seen_files.known("a") == KnownFile(sha256, ((1, 50),), False)
    await read("./a", offset=41)
    assert context.files.seen_files.known("a") == KnownFile(sha256, ((1, 100),), True)
    assert context.files.changed() == []


async def test_an_unchanged_range_is_not_sent_twice_unless_it_is_asked_a_third_time(
    golden: Golden, read: Any, workspace: Path
) -> None:
    (workspace / "a").write_text("".join(f"{n}\n" for n in range(1, 101)))
    await read("a", limit=50)
    golden(await read("a", offset=10, limit=5))
    assert (await read("a", offset=10, limit=5)).startswith("10\t10\n")
    assert (await read("a", limit=50)).startswith("1\t1\n"), "wider than what is known"
    (workspace / "a").write_text("new\n")
    assert (await read("a")).startswith("1\tnew\n")


async def test_text_that_a_compaction_took_is_sent_again(read: Any, workspace: Path, context: Context) -> None:
    (workspace / "a").write_text("1\n")
    await read("a")
    context.files.seen_files.forget_text()
    assert (await read("a")).startswith("1\t1\n")


async def test_secrets_and_what_lies_outside_need_consent(read: Any, workspace: Path) -> None:
    (workspace / ".env").write_text("KEY=canary\n")
    (workspace.parent / "outside").write_text("x")
    for path, code in ((".env", "sensitive"), ("../outside", "outside")):
        error = await refused(read, path)
        assert isinstance(error, NeedsConsent)
        assert error.code == code
        assert "canary" not in str(error)
