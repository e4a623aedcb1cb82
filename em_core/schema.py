"""Table contracts: what a reference, a source, a result and a truth table must look like.

`prepare_reference` and `prepare_source` are the only doors into the engine: they map a user's own headers to the
contract, turn every kind of missing (None, NaN, blank) into None, check keys and types and answer bad input with one
`UserError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as arrow

from em_core.errors import UserError

if TYPE_CHECKING:
    import pandera.pandas as pa

IDENTIFIERS = ("lei", "isin", "cusip", "sedol", "figi", "cik", "vat", "registration_number")
ATTRIBUTES: dict[str, str] = {
    "name": "company name as the master or the feed writes it",
    "aliases": "former names and trade names (list of text)",
    "lei": "Legal Entity Identifier, ISO 17442",
    "isin": "International Securities Identification Number, ISO 6166",
    "cusip": "CUSIP of a North American security",
    "sedol": "SEDOL of a security, London Stock Exchange",
    "figi": "Financial Instrument Global Identifier",
    "cik": "Central Index Key of a registrant, SEC",
    "vat": "value added tax number, with or without country prefix",
    "registration_number": "company number in its country's register",
    "ticker": "exchange ticker; means something only together with exchange or country",
    "exchange": "exchange or market code",
    "country": "country, ISO 3166-1 alpha-2 after preparation",
    "region": "state or province",
    "city": "city",
    "postal_code": "postal code as text",
    "address": "street address",
    "website": "web site or domain",
    "industry": "industry in the master's own words",
    "parent_id": "entity_id of the parent",
}


@dataclass(frozen=True)
class Contract:
    """A table contract: ordered column -> meaning, and the columns that form the key."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    required: tuple[str, ...]


REFERENCE = Contract(
    "reference", {"entity_id": "the master's own key", **ATTRIBUTES}, ("entity_id",), ("entity_id", "name")
)
SOURCE = Contract(
    "source",
    {
        "source_system": "feed that the record comes from",
        "source_id": "the record's key inside that feed",
        **{column: meaning for column, meaning in ATTRIBUTES.items() if column != "parent_id"},
    },
    ("source_system", "source_id"),
    ("source_id", "name"),
)
TRUTH = Contract(
    "truth",
    {
        "source_system": "feed; optional when source_id is unique without it",
        "source_id": "the record's key inside that feed",
        "entity_id": "right reference entity; empty = truly not in the reference",
    },
    ("source_system", "source_id"),
    ("source_id", "entity_id"),
)

DECISIONS = ("auto_match", "review", "no_match")
STAGES = ("exact", "scorer", "ditto", "adjudicator", "none")

RESULT_SCHEMA = arrow.schema(
    [
        ("source_system", arrow.string()),
        ("source_id", arrow.string()),
        ("matched_entity_id", arrow.string()),
        ("matched_name", arrow.string()),
        ("decision", arrow.string()),
        ("confidence", arrow.float64()),
        ("stage", arrow.string()),
        ("method", arrow.string()),
        ("reason", arrow.string()),
        ("runner_up_id", arrow.string()),
        ("margin", arrow.float64()),
        ("evidence", arrow.string()),
        ("run_id", arrow.string()),
        ("matcher_version", arrow.string()),
        ("reference_version", arrow.string()),
        ("matched_at", arrow.timestamp("us", tz="UTC")),
    ]
)
RESULT = Contract(
    "result",
    {
        "source_system": "feed that the record comes from",
        "source_id": "the record's key inside that feed",
        "matched_entity_id": "reference entity; null for no_match",
        "matched_name": "that entity's name in the reference",
        "decision": "auto_match, review or no_match",
        "confidence": "probability that matched_entity_id is right (for no_match: of the best candidate)",
        "stage": "stage that decided: exact, scorer, ditto, adjudicator, none",
        "method": "code of the rule or model that decided, such as LEI, NAME_UNIQUE, DITTO, CONFLICT, BAD_INPUT",
        "reason": "one readable sentence",
        "runner_up_id": "second-best reference entity",
        "margin": "confidence minus the runner-up's probability",
        "evidence": "JSON: per attribute what agreed and what did not",
        "run_id": "run that made this row",
        "matcher_version": "version of the matcher that made this row",
        "reference_version": "version of the reference it was matched to",
        "matched_at": "time of the decision, UTC",
    },
    ("source_system", "source_id"),
    ("source_system", "source_id", "decision", "stage", "method", "reason"),
)

# Headers as S&P Capital IQ, GLEIF, SEC and common business systems write them, folded by `_fold`.
_HEADERS: dict[str, tuple[str, ...]] = {
    "entity_id": ("ciqid", "capitaliqid", "iqid", "companyid", "ciqcompanyid", "spciqid", "excelcompanyid"),
    "source_id": ("id", "recordid", "customerid", "customerno", "customernumber", "vendorid", "vendorno", "accountid",
                  "accountnumber", "supplierid", "clientid", "counterpartyid", "key"),
    "source_system": ("source", "system", "feed", "sourcesystemname"),
    "name": ("companyname", "company", "legalname", "entitylegalname", "organization", "organisation",
             "organizationname", "secname", "title", "entityname", "customername", "vendorname", "suppliername", "accountname",
             "counterpartyname", "issuername", "businessname", "firmname"),
    "aliases": ("alias", "othernames", "tradenames", "formernames", "aka", "alsoknownas"),
    "lei": ("leicode", "legalentityidentifier"),
    "isin": ("isincode", "primaryisin"),
    "cusip": ("cusipcode", "primarycusip"),
    "sedol": ("sedolcode", "primarysedol"),
    "cik": ("cikstr", "ciknumber", "seccik", "centralindexkey"),
    "vat": ("vatnumber", "vatno", "vatid", "vatregistrationnumber", "ustid", "ustidnr", "taxid", "tva", "partitaiva", "btwnummer"),
    "registration_number": ("registrationno", "companynumber", "companyno", "companyregistrationnumber", "registerednumber", "crn",
    "siren", "siret",
                            "orgnr", "organisationnumber", "organizationnumber", "kvk", "handelsregisternummer", "registryid",
                            "entityregistrationauthorityentityid", "businessregistrationnumber"),
    "figi": ("bbgid", "compositefigi", "openfigi"),
    "ticker": ("primaryticker", "tickersymbol", "symbol"),
    "exchange": ("exchangecode", "mic", "primaryexchange", "primaryexchangecode", "market"),
    "country": ("countrycode", "entitylegaladdresscountry", "legaladdresscountry", "countryofincorporation",
                "countryname", "headquarterscountry", "hqcountry", "primarycountry", "domicile", "ctry"),
    "region": ("state", "province", "entitylegaladdressregion", "stateprovince"),
    "city": ("town", "entitylegaladdresscity", "headquarterscity"),
    "postal_code": ("zip", "zipcode", "postcode", "entitylegaladdresspostalcode", "plz"),
    "address": ("street", "addressline1", "streetaddress", "entitylegaladdressfirstaddressline"),
    "website": ("web", "url", "homepage", "domain", "webpage", "companywebsite"),
    "industry": ("primaryindustry", "industryname", "sicdescription", "gicsindustry"),
    "parent_id": ("parent", "parententityid", "ultimateparentid", "parentciqid"),
}  # fmt: skip
# A master without a known name for its key is keyed by the first of these that it carries.
_MASTER_KEYS = ("id", "key", "lei", "cik", "cikstr")


def _fold(header: str) -> str:
    return "".join(character for character in header.casefold() if character.isalnum())


def map_columns(columns: Iterable[str], contract: Contract, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Contract column -> the user's header.

    An explicit `mapping` (contract column -> header) wins, then the contract's own names, then known headers.
    Raises `UserError` if the mapping names an unknown column or a header that is not there.
    """
    headers = list(columns)
    found: dict[str, str] = {}
    for column, header in (mapping or {}).items():
        if column not in contract.columns:
            known = ", ".join(contract.columns)
            raise UserError(f"the mapping names {column!r}, which is no {contract.name} column; known: {known}")
        if header not in headers:
            there = ", ".join(headers)
            raise UserError(f"the mapping wants column {header!r} for {column!r}, but the table has: {there}")
        found[column] = header
    folded: dict[str, str] = {}
    for header in headers:
        folded.setdefault(_fold(header), header)
    taken = set(found.values())
    for names in ({c: (_fold(c),) for c in contract.columns}, _HEADERS):
        for column, candidates in names.items():
            if column in found or column not in contract.columns:
                continue
            hit = next((folded[c] for c in candidates if c in folded and folded[c] not in taken), None)
            if hit is not None:
                found[column] = hit
                taken.add(hit)
    if contract is REFERENCE and "entity_id" not in found:
        key = next((folded[k] for k in _MASTER_KEYS if k in folded), None)
        if key is not None:
            found["entity_id"] = key
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        # pandas takes texts for one that differ only behind a NUL character.
        return value.replace("\0", " ").strip()
    if isinstance(value, float | np.floating):
        return f"{value:.0f}" if float(value).is_integer() else str(value)
    return str(value).strip()


def missing_to_none(values: pd.Series) -> pd.Series:
    """Text, trimmed, with None for None, NaN, NA and blank. Numbers become text without a trailing `.0`."""
    present = values.notna().to_numpy(dtype=bool)
    out = np.full(len(values), None, dtype=object)
    out[present] = [_text(value) or None for value in values[present].to_numpy(dtype=object)]
    return pd.Series(out, index=values.index, dtype=object)


def _to_list(value: Any) -> list[str]:
    """Aliases as a list: accepts a list, a tuple, a numpy array, one value, or text separated by `|` or `;`."""
    if isinstance(value, str):
        parts: Iterable[Any] = value.replace(";", "|").split("|")
    else:
        parts = value if isinstance(value, list | tuple | np.ndarray) else [value]
    return [text for part in parts if not pd.isna(part) and (text := _text(part))]


def _take(frame: pd.DataFrame, contract: Contract, mapping: Mapping[str, str] | None, origin: str) -> pd.DataFrame:
    """The contract's columns out of a user's table, in contract order; absent optional columns are all None."""
    repeated = [str(c) for c in frame.columns[frame.columns.duplicated()]]
    if repeated:
        raise UserError(f"{origin}: column {repeated[0]!r} appears twice")
    frame = frame.set_axis([str(c) for c in frame.columns], axis="columns")
    found = map_columns(frame.columns, contract, mapping)
    absent = [c for c in contract.required if c not in found]
    if absent:
        raise UserError(
            f"{origin}: no column for {' and '.join(repr(c) for c in absent)}; it has: {', '.join(frame.columns)} "
            f"(a mapping file can name the right one)"
        )
    if frame.empty:
        raise UserError(f"{origin}: the table has no rows")
    out: dict[str, pd.Series] = {}
    for column in contract.columns:
        if column not in found:
            empty: list[Any] = [[] if column == "aliases" else None for _ in range(len(frame))]
            out[column] = pd.Series(empty, index=frame.index, dtype=object)
        elif column == "aliases":
            out[column] = pd.Series([_to_list(v) for v in frame[found[column]]], index=frame.index, dtype=object)
        else:
            out[column] = missing_to_none(frame[found[column]])
    return pd.DataFrame(out).reset_index(drop=True)


def _key_schema(contract: Contract, required: Sequence[str]) -> pa.DataFrameSchema:
    # Imported where a table is checked: it costs half a second of every process.
    import pandera.pandas as pa

    columns = {c: pa.Column(object, nullable=c not in required, required=True) for c in contract.columns}
    return pa.DataFrameSchema(columns, unique=list(contract.key), report_duplicates="exclude_first", strict=True)


def check_contract(frame: pd.DataFrame, contract: Contract, origin: str, required: Sequence[str]) -> pd.DataFrame:
    """Check a prepared table; the first finding becomes one sentence with row (data row, from 1) and column."""
    # Missing values and repeated keys first: pandera's report of many of them takes minutes to build.
    for column in required:
        missing = frame[column].isna().to_numpy()
        if missing.any():
            raise UserError(f"{origin}, row {int(missing.argmax()) + 1}, column {column!r}: the value is missing")
    _refuse_repeated(frame, contract, origin)
    from pandera.errors import SchemaErrors

    try:
        return _key_schema(contract, required).validate(frame, lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise UserError(f"{origin}, column {first['column']!r}: {first['check']} fails") from None


def _refuse_repeated(frame: pd.DataFrame, contract: Contract, origin: str) -> None:
    repeated = frame.duplicated(list(contract.key)).to_numpy()
    if repeated.any():
        row = int(repeated.argmax())
        key = ", ".join(f"{c}={frame.iloc[row][c]!r}" for c in contract.key)
        raise UserError(
            f"{origin}, row {row + 1}: duplicate key ({key}); {int(repeated.sum())} row(s) repeat an earlier key"
        )


def prepare_reference(
    frame: pd.DataFrame, mapping: Mapping[str, str] | None = None, origin: str = "reference"
) -> pd.DataFrame:
    """A user's master as the reference contract: all columns, text or None, `aliases` as lists, keys unique.

    Rows without a name are refused: a master that cannot name its entity is a fault worth stopping for.
    """
    return check_contract(_take(frame, REFERENCE, mapping, origin), REFERENCE, origin, REFERENCE.required)


def prepare_source(
    frame: pd.DataFrame,
    mapping: Mapping[str, str] | None = None,
    origin: str = "source",
    system: str | None = None,
) -> pd.DataFrame:
    """A user's feed as the source contract. `system` names the feed where the table does not. Blank names stay."""
    taken = _take(frame, SOURCE, mapping, origin)
    if system is not None:
        taken["source_system"] = taken["source_system"].where(taken["source_system"].notna(), system)
    elif taken["source_system"].isna().all():
        raise UserError(f"{origin}: no column 'source_system' says which feed this is; name the feed or add the column")
    return check_contract(taken, SOURCE, origin, ("source_system", "source_id"))


def prepare_truth(frame: pd.DataFrame, mapping: Mapping[str, str] | None = None, origin: str = "truth") -> pd.DataFrame:
    """Known answers: one row for each labelled source record, `entity_id` None = truly not in the reference."""
    taken = _take(frame, TRUTH, mapping, origin)
    return check_contract(taken, TRUTH, origin, ("source_id",))


def prepare_results(frame: pd.DataFrame, origin: str = "results") -> pd.DataFrame:
    """A results table read back from a file, with the result contract's columns and types.

    Raises `UserError` on a missing column, an unknown decision, a number or a time that is none, a confidence outside
    0 to 1, and a missing or repeated key.
    """
    absent = [c for c in RESULT.columns if c not in frame.columns]
    if absent:
        raise UserError(f"{origin}: not a results table, column {absent[0]!r} is missing")
    out: dict[str, pd.Series] = {}
    for column in RESULT.columns:
        if column in ("confidence", "margin"):
            out[column] = _numbers(frame[column], f"{origin}, column {column!r}")
        elif column == "matched_at":
            out[column] = _times(frame[column], f"{origin}, column {column!r}")
        else:
            out[column] = missing_to_none(frame[column])
    results = pd.DataFrame(out).reset_index(drop=True)
    for column, wrong, rule in (
        *((c, results[c].isna(), "the value is missing") for c in RESULT.key),
        ("decision", ~results["decision"].isin(DECISIONS), f"not one of {', '.join(DECISIONS)}"),
        ("confidence", (results["confidence"] < 0) | (results["confidence"] > 1), "not between 0 and 1"),
    ):
        if wrong.any():
            raise UserError(f"{origin}, row {int(wrong.to_numpy().argmax()) + 1}, column {column!r}: {rule}")
    _refuse_repeated(results, RESULT, origin)
    return results


def _numbers(values: pd.Series, place: str) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype(float)
    texts = missing_to_none(values)
    return _parsed(texts, pd.to_numeric(texts, errors="coerce").astype(float), f"{place}: not a number")


def _times(values: pd.Series, place: str) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.to_datetime(values, utc=True)
    texts = missing_to_none(values)
    # Without the format, pandas takes the first value's and refuses one with fewer digits of a second.
    times = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
    return _parsed(texts, times, f"{place}: not an ISO 8601 time")


def _parsed(texts: pd.Series, values: pd.Series, complaint: str) -> pd.Series:
    wrong = (texts.notna() & values.isna()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{complaint}: {texts.iloc[row]!r} in row {row + 1}")
    return values
