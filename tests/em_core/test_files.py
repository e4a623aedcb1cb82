"""User tables: what spreadsheets and exports write is read as it stands, or refused in one sentence."""

from __future__ import annotations

import csv
import gzip
import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from em_core import files
from em_core.errors import UserError
from em_core.files import read_mapping, read_table, write_table
from em_core.schema import RESULT_SCHEMA, missing_to_none
from em_core.storage import delimited

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff"), max_size=12)
AWKWARD = st.one_of(
    TEXT, st.sampled_from(["", "NAN", "TRUE", "007", 'say "hi"', "a,b;c|d\te", "x\r\ny", "\r", " ", "None", "'"])
)
SLOW_DISK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(frame: pd.DataFrame) -> list[list[object]]:
    return [list(frame.columns), *frame.to_numpy(dtype=object).tolist()]


def put(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("id,name\n1,Acme\n", [["id", "name"], ["1", "Acme"]], id="plain"),
        pytest.param("\ufeffid,name\n1,Acme\n", [["id", "name"], ["1", "Acme"]], id="utf8-mark"),
        pytest.param('\ufeff"id","name"\n1,Acme\n', [["id", "name"], ["1", "Acme"]], id="utf8-mark-before-quote"),
        pytest.param("id;name\n1;Müller, Söhne\n", [["id", "name"], ["1", "Müller, Söhne"]], id="semicolon"),
        pytest.param("id\tname\n1\tA, B; C|D\n", [["id", "name"], ["1", "A, B; C|D"]], id="tab"),
        pytest.param("id|name\n1|A, B\n", [["id", "name"], ["1", "A, B"]], id="pipe"),
        pytest.param("id,aliases\n1,a|b\n2,c|d|e\n", [["id", "aliases"], ["1", "a|b"], ["2", "c|d|e"]], id="lists"),
        pytest.param("id;score\n1;0,5\n", [["id", "score"], ["1", "0,5"]], id="decimal-comma"),
        pytest.param(
            'id;name,city\n1;"x;y"\n2;z\n', [["id", "name,city"], ["1", "x;y"], ["2", "z"]], id="comma-in-header"
        ),
        pytest.param("sep=;\r\nid;name\r\n1;Acme\r\n", [["id", "name"], ["1", "Acme"]], id="excel-hint"),
        pytest.param("\ufeffsep=\t\nid\tname\n1\tAcme\n", [["id", "name"], ["1", "Acme"]], id="excel-hint-mark"),
        pytest.param('id,name\n1,"Acme\nInc"\n', [["id", "name"], ["1", "Acme\nInc"]], id="newline-in-quotes"),
        pytest.param('id,name\n1,"say ""hi"", ok"\n', [["id", "name"], ["1", 'say "hi", ok']], id="doubled-quotes"),
        pytest.param('id,name\n1,12" Pipe\n', [["id", "name"], ["1", '12" Pipe']], id="inch-sign"),
        pytest.param("id,name\r1,Acme\r2,B", [["id", "name"], ["1", "Acme"], ["2", "B"]], id="old-mac"),
        pytest.param("\n\nid,name\n\n1,Acme\n   \n\n", [["id", "name"], ["1", "Acme"]], id="blank-lines"),
        pytest.param(" id , name\n 1 ,Acme \n", [["id", "name"], [" 1 ", "Acme "]], id="spaces"),
        pytest.param("id,,name\n1,,Acme\n", [["id", "column_2", "name"], ["1", "", "Acme"]], id="nameless-column"),
        pytest.param(
            "id,t,z\n1,NAN,007\n2,TRUE,NULL\n3,NA,1e5\n4,,#N/A\n",
            [["id", "t", "z"], ["1", "NAN", "007"], ["2", "TRUE", "NULL"], ["3", "NA", "1e5"], ["4", "", "#N/A"]],
            id="values-that-look-missing",
        ),
        pytest.param("name\nAcme\n\nB\n", [["name"], ["Acme"], ["B"]], id="one-column"),
        pytest.param("id,name\n", [["id", "name"]], id="header-only"),
        pytest.param("id,name", [["id", "name"]], id="header-only-no-newline"),
        pytest.param("id;name\n1;Škoda\n".encode("utf-16"), [["id", "name"], ["1", "Škoda"]], id="utf16"),
        pytest.param(b"\xfe\xff" + "id;name\n1;é\n".encode("utf-16-be"), [["id", "name"], ["1", "é"]], id="utf16-be"),
        pytest.param("id;name\n1;Škoda\n".encode("utf-32"), [["id", "name"], ["1", "Škoda"]], id="utf32"),
    ],
)
def test_csv_zoo(tmp_path: Path, content: bytes | str, expected: list[list[str]]) -> None:
    assert rows_of(read_table(put(tmp_path, content))) == expected


@pytest.mark.parametrize(
    ("content", "name", "encoding"),
    [
        ("id;name\n1;Müller €\n".encode("cp1252"), "Müller €", "cp1252"),
        ("id;name\n1;Müller\x81\n".encode("latin-1"), "Müller\x81", "latin-1"),
    ],
)
def test_old_code_pages_are_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, name: str, encoding: str
) -> None:
    with caplog.at_level(logging.WARNING):
        frame = read_table(put(tmp_path, content))
    assert frame["name"].tolist() == [name]
    assert encoding in caplog.text
    assert "t.csv" in caplog.text


def test_utf8_is_read_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # The character straddles the boundary of the decoder's chunks.
    filler = "x" * ((1 << 20) - len("id,name\n1,") - 1)
    with caplog.at_level(logging.WARNING):
        frame = read_table(put(tmp_path, f"id,name\n1,{filler}é\n"))
    assert frame["name"].iloc[0].endswith("xé")
    assert caplog.text == ""


def test_a_large_plain_table_takes_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 40_000
    content = "id;name\r\n" + "".join(f'{i};"Acme ""{i}"" GmbH; Söhne"\r\n' for i in range(count))
    path = put(tmp_path, content)
    assert path.stat().st_size > 1 << 20
    monkeypatch.delattr(delimited, "_parse_exactly")
    frame = read_table(path)
    assert frame["id"].tolist() == [str(i) for i in range(count)]
    assert frame["name"].iloc[-1] == f'Acme "{count - 1}" GmbH; Söhne'


def test_a_ragged_row_far_down_is_named_by_its_line(tmp_path: Path) -> None:
    content = "id,name\n" + '1,"two\nlines"\n' * 50_000 + "2\n" + "3,x\n" * 10
    with pytest.raises(UserError, match="line 100002: 1 cell"):
        read_table(put(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", ["t.csv", "empty"], id="empty"),
        pytest.param("\ufeff", ["t.csv", "no header"], id="mark-only"),
        pytest.param("\n\n  \n", ["t.csv", "no header"], id="blank"),
        pytest.param("a,b\n1,2\n3\n4,5\n", ["t.csv, line 3", "1 cell", "has 2"], id="short-row"),
        pytest.param("a,b\n1,2\n3,4,5\n", ["t.csv, line 3", "3 cell", "has 2"], id="long-row"),
        pytest.param('a,b\n"1\n1",2\n\n3,4,5\n', ["t.csv, line 5"], id="ragged-after-newline-in-quotes"),
        pytest.param("sep=;\na;b\n1;2\n3\n", ["t.csv, line 4", "header (line 2)"], id="ragged-after-hint"),
        pytest.param("Report of May\n\nid,name\n1,x\n", ["t.csv, line 3", "header (line 1)"], id="title-above"),
        pytest.param('a,b\n1,2\n3,"4\n5,6\n', ["t.csv, line 3", "quotes"], id="unclosed-quote"),
        pytest.param('a,b\n1,2\n"3,4\n5,6\n', ["t.csv, line 3", "quotes"], id="unclosed-quote-first"),
        pytest.param("a,b\n1,\0\n", ["t.csv", "NUL", "binary"], id="nul"),
        pytest.param(bytes(range(256)) * 50, ["t.csv", "binary"], id="junk"),
        pytest.param(b"\xff\xfea\x00,\x00b", ["t.csv", "utf-16", "damaged"], id="half-utf16"),
        pytest.param("a,b,a\n1,2,3\n", ["t.csv", "'a'", "twice"], id="repeated-header"),
        pytest.param(b"PK\x03\x04rest", ["t.csv", "save the sheet as CSV"], id="xlsx-as-csv"),
        pytest.param(b"\xd0\xcf\x11\xe0rest", ["t.csv", "save the sheet as CSV"], id="xls-as-csv"),
        pytest.param(gzip.compress(b"a,b\n1,2\n"), ["t.csv", ".csv.gz"], id="gzip-as-csv"),
        pytest.param(b"PAR1....", ["t.csv", ".parquet"], id="parquet-as-csv"),
    ],
)
def test_csv_refusals_are_one_clear_sentence(tmp_path: Path, content: bytes | str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_table(put(tmp_path, content))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_gzip_is_read_and_damage_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress("id;name\n1;é\n".encode())
    assert rows_of(read_table(put(tmp_path, packed, "t.csv.gz"))) == [["id", "name"], ["1", "é"]]
    with pytest.raises(UserError, match="damaged"):
        read_table(put(tmp_path, packed[:-9], "cut.csv.gz"))
    with pytest.raises(UserError, match="damaged"):
        read_table(put(tmp_path, b"a,b\n1,2\n", "plain.csv.gz"))


def test_suffix_and_place_refusals(tmp_path: Path) -> None:
    for name, words in (
        ("t.xlsx", "save the sheet as CSV"),
        ("T.XLS", "save the sheet as CSV"),
        ("t.json", "unknown kind of table '.json'"),
        ("t", "unknown kind"),
    ):
        with pytest.raises(UserError, match=words):
            read_table(put(tmp_path, "x", name))
        with pytest.raises(UserError, match="does not exist"):
            read_table(tmp_path / "absent" / name)
    with pytest.raises(UserError, match="without a Delta log and without Parquet"):
        read_table(tmp_path)
    # A file where a folder should be: what permission trouble looks like, also for root.
    with pytest.raises(UserError, match=r"does not exist|not a directory"):
        read_table(tmp_path / "t.json" / "t.csv")


def test_upper_case_suffix(tmp_path: Path) -> None:
    assert rows_of(read_table(put(tmp_path, "a,b\n1,2\n", "T.CSV"))) == [["a", "b"], ["1", "2"]]


@SLOW_DISK
@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(AWKWARD, min_size=width, max_size=width), min_size=1, max_size=5)
    ),
    delimiter=st.sampled_from(delimited.DELIMITERS),
)
def test_any_quoted_table_is_read_as_the_csv_module_reads_it(
    tmp_path: Path, rows: list[list[str]], delimiter: str
) -> None:
    header = [f"h{i}" for i in range(len(rows[0]))]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    path = put(tmp_path, buffer.getvalue())
    expected = list(csv.reader(io.StringIO(buffer.getvalue(), newline=""), delimiter=delimiter, strict=True))
    assert rows_of(read_table(path)) == expected


@st.composite
def text_frames(draw: st.DrawFn) -> pd.DataFrame:
    names = draw(st.lists(TEXT.map(str.strip).filter(bool), min_size=1, max_size=4, unique=True))
    count = draw(st.integers(1, 5))
    cells = st.one_of(st.none(), AWKWARD)
    return pd.DataFrame(
        {name: pd.Series(draw(st.lists(cells, min_size=count, max_size=count)), dtype=object) for name in names}
    )


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz"])
@SLOW_DISK
@given(frame=text_frames())
def test_csv_round_trip_keeps_every_text_and_writes_missing_as_empty(
    tmp_path: Path, name: str, frame: pd.DataFrame
) -> None:
    write_table(frame, tmp_path / name)
    assert rows_of(read_table(tmp_path / name)) == rows_of(frame.fillna(""))


@st.composite
def typed_frames(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(0, 5))

    def column(cells: st.SearchStrategy[object], dtype: object = object) -> pd.Series:
        return pd.Series(draw(st.lists(cells, min_size=count, max_size=count)), dtype=dtype)

    moments = st.datetimes(pd.Timestamp("1970-01-01"), pd.Timestamp("2200-01-01"))
    return pd.DataFrame(
        {
            "text": column(st.one_of(st.none(), AWKWARD)),
            "nothing": column(st.none()),
            "list": column(st.one_of(st.none(), st.lists(st.one_of(st.none(), AWKWARD), max_size=3))),
            "float": column(st.one_of(st.none(), st.floats(allow_nan=False)), float),
            "int": column(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), "Int64"),
            "flag": column(st.booleans(), bool),
            "time": pd.to_datetime(column(st.one_of(st.none(), moments)), utc=True),
        }
    )


@pytest.mark.parametrize("name", ["t.parquet", "folder", "x.delta"])
@SLOW_DISK
@given(frame=typed_frames())
def test_typed_round_trip(tmp_path: Path, name: str, frame: pd.DataFrame) -> None:
    write_table(frame, tmp_path / name)
    again = read_table(tmp_path / name)
    assert list(again.columns) == list(frame.columns)
    assert files.fingerprint(again) == files.fingerprint(frame)
    for column in ("text", "nothing", "flag"):
        assert again[column].tolist() == frame[column].tolist()
    assert [None if v is None else list(v) for v in again["list"]] == frame["list"].tolist()
    assert again["int"].astype("Int64").equals(frame["int"])
    assert all(type(v) is str for v in again["text"].dropna())


def test_csv_texts_of_other_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "aliases": [["a", "b"], None, []],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "p": [0.1, float("nan"), 1e-20],
            "at": pd.to_datetime(["2024-01-02T03:04:05.000006Z", None, "2024-01-02T03:04:05Z"], format="ISO8601"),
        }
    )
    write_table(frame, tmp_path / "t.csv")
    assert rows_of(read_table(tmp_path / "t.csv"))[1:] == [
        ["a|b", "1", "0.1", "2024-01-02T03:04:05.000006+00:00"],
        ["", "", "", ""],
        ["", "3", "1e-20", "2024-01-02T03:04:05+00:00"],
    ]


def test_equal_content_makes_an_equal_gzip_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["1"]})
    write_table(frame, tmp_path / "a.csv.gz")
    write_table(frame, tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


@pytest.mark.parametrize("name", ["r.csv", "r.parquet", "r"])
def test_a_schema_orders_types_and_fills_the_columns(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"source_id": ["1"], "source_system": ["crm"], "margin": [None], "confidence": [1]})
    write_table(frame, tmp_path / name, RESULT_SCHEMA)
    again = read_table(tmp_path / name)
    assert list(again.columns) == RESULT_SCHEMA.names
    assert again["source_system"].tolist() == ["crm"]
    if name != "r.csv":
        assert again["confidence"].dtype == again["margin"].dtype == np.float64
        assert str(again["matched_at"].dtype) == "datetime64[us, UTC]"
    with pytest.raises(ValueError, match="'extra' is not in the schema"):
        write_table(frame.assign(extra=1), tmp_path / name, RESULT_SCHEMA)


def test_values_of_no_one_type_name_the_column(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.parquet, column 'mixed'"):
        write_table(pd.DataFrame({"mixed": ["text", 1]}), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_text_that_is_no_unicode_is_refused_and_the_old_file_stays(tmp_path: Path, name: str) -> None:
    write_table(pd.DataFrame({"a": ["old"]}), tmp_path / name)
    with pytest.raises(UserError, match=name):
        write_table(pd.DataFrame({"a": ["\ud800"]}, dtype=object), tmp_path / name)
    assert read_table(tmp_path / name)["a"].tolist() == ["old"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "folder"])
def test_unwritable_place_is_a_user_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        write_table(pd.DataFrame({"a": ["1"]}), tmp_path / "file" / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_write_that_breaks_in_the_middle_leaves_the_old_content(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / name
    write_table(pd.DataFrame({"a": ["old"]}), path)

    def half(*args: object, **_: object) -> None:
        sink = args[1]
        if isinstance(sink, Path):
            sink.write_bytes(b"half")
        else:
            sink.write("half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", half)
    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(UserError, match="no space left"):
        write_table(pd.DataFrame({"a": ["new"]}), path)
    monkeypatch.undo()
    assert read_table(path)["a"].tolist() == ["old"]
    assert [entry.name for entry in path.parent.iterdir()] == [name]


def test_writing_over_a_folder_or_to_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    frame = pd.DataFrame({"a": ["1"]})
    with pytest.raises(UserError, match="it is a folder"):
        write_table(frame, tmp_path / "t.csv")
    with pytest.raises(UserError, match="workbook"):
        write_table(frame, tmp_path / "t.xlsx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty and is not a Delta table"):
        write_table(frame, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_parquet_of_others(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([2**62 + 1, None], pa.int64()),
            "kind": pa.array(["a", None]).dictionary_encode(),
            "aliases": pa.array([["x"], None], pa.large_list(pa.large_string())),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    assert missing_to_none(frame["id"]).tolist() == [str(2**62 + 1), None]
    assert frame["kind"].tolist() == ["a", None]
    assert frame["aliases"].iloc[0].tolist() == ["x"]
    pd.DataFrame({"v": ["1"]}, index=pd.Index([7])).to_parquet(tmp_path / "indexed.parquet")
    assert list(read_table(tmp_path / "indexed.parquet").columns) == ["v"]


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"a": ["1"] * 100}), tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("text", b"a,b\n1,2\n")):
        with pytest.raises(UserError, match=f"{name}.parquet is not a readable Parquet file"):
            read_table(put(tmp_path, content, f"{name}.parquet"))


def test_folder_of_parquet_files(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "sub").mkdir(parents=True)
    parquet.write_table(pa.table({"id": ["1"], "n": pa.array([1], pa.int32())}), folder / "a.parquet")
    parquet.write_table(pa.table({"n": pa.array([2], pa.int64()), "new": ["x"]}), folder / "sub" / "b.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "_temporary.parquet").write_text("half")
    assert rows_of(read_table(folder)) == [["id", "n", "new"], ["1", 1, None], [None, 2, "x"]]
    (folder / "c.parquet").write_text("junk")
    with pytest.raises(UserError, match="not a readable folder of Parquet files"):
        read_table(folder)


def test_delta_folder_of_others(tmp_path: Path) -> None:
    table = pa.table({"country": ["DE", "O'X", None], "name": ["a", "b", "c"], "l": [["x"], [], None]})
    write_deltalake(str(tmp_path / "d"), table, partition_by=["country"])
    frame = read_table(tmp_path / "d").sort_values("name")
    assert frame["country"].tolist() == ["DE", "O'X", None]
    assert [None if v is None else list(v) for v in frame["l"]] == [["x"], [], None]


def test_damaged_delta_folder_is_refused(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"a": ["1"]}), tmp_path / "d")
    for file in (tmp_path / "d").glob("*.parquet"):
        file.unlink()
    with pytest.raises(UserError, match="cannot read the Delta table"):
        read_table(tmp_path / "d")
    (tmp_path / "e" / "_delta_log").mkdir(parents=True)
    with pytest.raises(UserError, match="without a Delta log"):
        read_table(tmp_path / "e")
    put(tmp_path / "e" / "_delta_log", "junk", f"{0:020}.json")
    with pytest.raises(UserError, match="cannot read the Delta table"):
        read_table(tmp_path / "e")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.yaml", "entity_id: Master Key\nname: NO\n"),
        ("m.yml", "# mine\ncolumns:\n  entity_id: 'Master Key'\n  name: NO\n"),
        ("m.json", '{"entity_id": "Master Key", "name": "NO"}'),
        ("m.json", '\ufeff{"columns": {"entity_id": "Master Key",\n\t"name": "NO"}}'),
    ],
)
def test_mapping_files(tmp_path: Path, name: str, text: str) -> None:
    assert read_mapping(put(tmp_path, text, name)) == {"entity_id": "Master Key", "name": "NO"}


def test_mapping_names_are_text_as_written(tmp_path: Path) -> None:
    assert read_mapping(put(tmp_path, "name: 007\nlei: on\ncity: 2024-01-01\n", "m.yaml")) == {
        "name": "007",
        "lei": "on",
        "city": "2024-01-01",
    }


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.yaml", "", "the mapping is empty"),
        ("m.yaml", "name: a\nlei: b\nname: c\n", "line 3: the mapping names 'name' twice"),
        ("m.yaml", "name: a\nlei:\n", "line 2: the mapping gives no header for 'lei'"),
        ("m.yaml", "name: [a, b]\n", "line 1: the mapping must be lines"),
        ("m.yaml", "- name\n", "must be lines of"),
        ("m.yaml", "name: 'a\nlei: b\n", "not valid YAML"),
        ("m.yaml", "name: \x07\n", "not valid YAML"),
        ("m.json", '{"name": "a", "name": "b"}', "names 'name' twice"),
        ("m.json", '{"name": "a",\n}', "line 2: not valid JSON"),
        ("m.json", '["name"]', "must be an object"),
        ("m.json", "[]", "the mapping is empty"),
        ("m.json", '{"name": 1}', "header for 'name' must be text"),
        ("m.yaml", b"name: M\xfcller\n", "not UTF-8"),
    ],
)
def test_mapping_refusals(tmp_path: Path, name: str, text: bytes | str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_mapping(put(tmp_path, text, name))


def test_mapping_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_mapping(tmp_path / "m.yaml")
    with pytest.raises(UserError, match="cannot read"):
        read_mapping(tmp_path)
