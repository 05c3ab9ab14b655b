"""The golden texts hold nothing that no test looks at any more."""

from pathlib import Path

import pytest

from tests.golden_texts import FOLDER, read_golden

ROOMS = sorted(path.stem for path in FOLDER.glob("*.md") if read_golden(path.stem))


@pytest.mark.parametrize("room", ROOMS)
def test_each_section_has_its_test(room: str) -> None:
    for section in read_golden(room):
        file, _, test = section.partition("::")
        source = (Path(__file__).parent / room / file).read_text("utf-8")
        assert f"def {test.partition('[')[0]}(" in source, section
