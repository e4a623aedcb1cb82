"""Exchanges as anybody writes them, tickers in every vendor's form."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text import compile_markets
from em_core.text.knowledge import read_rows
from em_core.text.markets import Market, market, parse_ticker, ticker_columns


@pytest.mark.parametrize(
    ("mic", "spellings"),
    [
        ("XNYS", "XNYS|UN|US|.N|N|NYQ|NYSE|nyse|New York Stock Exchange|New York Stock Exchange, Inc."),
        ("XNAS", "XNAS|.O|.OQ|NAS|NASDAQ|Nasdaq Stock Market"), ("XNGS", "XNGS|UW|NMS|NasdaqGS"), ("XNMS", "NGM|NasdaqGM"),
        ("XNCM", "NCM|NasdaqCM"), ("XASE", "ASE|NYSEAM|NYSE American"), ("ARCX", "PCX|ARCA|NYSE Arca"), ("BATS", "BTS|BATS"),
        ("PINX", "PNK|OTCPK|.PK|Pink Sheets"), ("XTSE", "TOR|TSX|.TO|CT|CN|Toronto Stock Exchange"), ("XTSX", "VAN|TSXV|CVE|.V"),
        ("XCNQ", "CNQ|.CN|CNSX"), ("NEOE", "NEO|.NE"), ("XLON", "XLON|LN|LSE|LON|.L|L|IOB|London Stock Exchange plc"),
        ("AIMX", "AIM"), ("XETR", "XETR|GY|GR|GER|.DE|XTRA|ETR|Xetra|Deutsche Boerse Xetra|Deutsche Börse Xetra"),
        ("XFRA", "FRA|.F|GF|DB|Frankfurt Stock Exchange"), ("XSTU", "STU|.SG|BST"), ("XMUN", "MUN|.MU"), ("XBER", "BER|.BE"),
        ("XDUS", "DUS"), ("XHAM", "HAM"), ("XHAN", "HAN|.HA"), ("XPAR", "PAR|.PA|FP|ENXTPA|EPA|Euronext Paris"),
        ("XAMS", "AMS|.AS|NA|ENXTAM"), ("XBRU", "BRU|.BR|BB|ENXTBR"), ("XLIS", "LIS|.LS|PL|ENXTLS"), ("XDUB", "ISE|.IR"),
        ("XOSL", "OSL|.OL|NO|OB|Oslo Børs"), ("XMIL", "MIL|.MI|IM|BIT|Borsa Italiana"), ("XMAD", "MCE|.MC|SM|BME"),
        ("XSWX", "EBS|.SW|SWX|SIX Swiss Exchange"), ("XVIE", "VIE|.VI|AV|WBAG"), ("XSTO", "STO|.ST|SS|OM"), ("XHEL", "HEL|.HE|HLSE"),
        ("XCSE", "CPH|.CO|CPSE"), ("XICE", "ICE|.IC"), ("XTAL", "TAL|.TL"), ("XRIS", "RIS|.RG"), ("XLIT", "LIT|.VS"),
        ("XWAR", "WSE|.WA|PW"), ("XPRA", "PRA|.PR|SEP"), ("XBUD", "BUD|.BD|BUSE"), ("XATH", "ATH|.AT|ATSE"), ("XIST", "IST|.IS|IBSE"),
        ("XTAE", "TLV|.TA|TASE"), ("XJSE", "JNB|.JO|JSE"), ("XSAU", "SAU|.SR|Tadawul"), ("DSMD", "DOH|.QA"), ("XDFM", "DFM"),
        ("XNSE", "NSI|.NS|NSEI|NSE"), ("XBOM", "BSE|.BO|BOM"), ("XSES", "SES|.SI|SGX|SP"), ("XBKK", "SET|.BK|BKK"),
        ("XKLS", "KLS|.KL|KLSE"), ("XIDX", "JKT|.JK|IDX"), ("XPHS", "PSE|PM"), ("XHKG", "HKG|.HK|HK|SEHK"),
        ("XSHG", "SHH|.SS|SHSE|SHA|上海证券交易所"), ("XSHE", "SHZ|.SZ|SZSE|SHE"), ("XTAI", "TAI|.TW|TT|TWSE"), ("ROCO", "TWO|.TWO|TPEX"),
        ("XKRX", "KSC|.KS|KS|KOSE|KRX"), ("XKOS", "KOE|.KQ|KOSDAQ"), ("XTKS", "JPX|.T|T|JT|JP|TYO|Tokyo Stock Exchange"),
        ("XFKA", "FKA"), ("XSAP", "SAP"), ("XASX", "ASX|.AX|AU|AT"), ("XNZE", "NZE|.NZ|NZSE"), ("XMEX", "MEX|.MX|BMV"),
        ("BVMF", "SAO|.SA|BOVESPA"), ("XBUE", "BUE|.BA"), ("XSGO", "SGO|.SN"), ("MISX", "MCX|.ME"),
    ],
)  # fmt: skip
def test_market(mic: str, spellings: str) -> None:
    found = {spelling: market(spelling) for spelling in spellings.split("|")}
    assert {spelling: place and place.mic for spelling, place in found.items()} == dict.fromkeys(found, mic)


def test_a_market_names_its_operator_and_country() -> None:
    assert market("NMS") == Market("XNGS", "XNAS", "US")
    assert market("PNK") == Market("PINX", "OTCM", "US")
    # Expired codes still stand in old data.
    assert market("XMCE") == Market("XMCE", "BMEX", "ES")


@pytest.mark.parametrize("text", ["TSE", "CSE", "UH", "KASE", "IN", ".DU", ".HM", "Euronext", "Nowhere", "", "-"])
def test_unknown_or_disputed(text: str) -> None:
    assert market(text) is None


@pytest.mark.parametrize(
    ("text", "symbol", "exchange"),
    [
        ("AAPL", "AAPL", ""), ("aapl", "AAPL", ""), ("AAPL US Equity", "AAPL", "US"), ("BRK/B US", "BRK B", "US"),
        ("VOD LN", "VOD", "LN"), ("VOD LSE", "VOD", "LSE"), ("SAP GY", "SAP", "GY"), ("VOLVB SS", "VOLVB", "SS"),
        ("NYSE:IBM", "IBM", "NYSE"), ("NYSE: BRK.B", "BRK B", "NYSE"), ("(NASDAQ: AAPL)", "AAPL", "NASDAQ"),
        ("NasdaqGS:MSFT", "MSFT", "NasdaqGS"), ("OM:VOLV B", "VOLV B", "OM"), ("NYSE:GS", "GS", "NYSE"),
        ("VOD:LN", "VOD", "LN"), ("AV:LN", "AV", "LN"), ("SAP:GY", "SAP", "GY"), ("IBM:NYQ", "IBM", "NYQ"),
        ("VOD.L", "VOD", ".L"), ("7203.T", "7203", ".T"), ("0700.HK", "0700", ".HK"), ("BMW.DE", "BMW", ".DE"),
        ("005930.KS", "005930", ".KS"), ("A.V", "A", ".V"), ("BT-A.L", "BT A", ".L"), ("REI-UN.TO", "REI UN", ".TO"),
        ("BRKb.N", "BRK B", ".N"), ("VOLVb.ST", "VOLV B", ".ST"), ("J&KBANK.BO", "J&KBANK", ".BO"),
        ("BRK.B", "BRK B", ""), ("BRK-B", "BRK B", ""), ("BRK/B", "BRK B", ""), ("BRK B", "BRK B", ""), ("REI.UN", "REI UN", ""),
        ("NAN", "NAN", ""), ("TRUE", "TRUE", ""), ("$TSLA", "TSLA", ""), ("700.0", "700", ""),
        ("N/A", "", ""), ("-", "", ""), ("", "", ""),
    ],
)  # fmt: skip
def test_ticker(text: str, symbol: str, exchange: str) -> None:
    assert parse_ticker(text) == (symbol, exchange)


@pytest.mark.parametrize(
    ("ticker", "exchange", "country", "row"),
    [
        ("AAPL", "NMS", "US", ("AAPL", "US", "US")), ("AAPL US Equity", None, None, ("AAPL", "US", "US")),
        ("AAPL", "PNK", "", ("AAPL", "US", "US")), ("BMW.DE", None, "", ("BMW", "DE", "DE")), ("BMW", "FRA", "", ("BMW", "DE", "DE")),
        ("0700.HK", None, "CN", ("700", "XHKG", "HK")), ("00700", "SEHK", "", ("700", "XHKG", "HK")),
        ("7203.T", None, "", ("7203", "JP", "JP")), ("1771.F", "FKA", "", ("1771", "JP", "JP")),
        ("005930.KS", None, "", ("005930", "KR", "KR")), ("5930", "KSC", "", ("005930", "KR", "KR")),
        ("A005930", "KOSE", "", ("005930", "KR", "KR")), ("2", "SHZ", "", ("000002", "CN", "CN")),
        ("50", "TAI", "", ("0050", "TW", "TW")), ("RELIANCE", "NSI", "", ("RELIANCE", "XNSE", "IN")),
        ("RELIANCE", "BSE", "", ("RELIANCE", "XBOM", "IN")),
        # A disputed or bare code is read by the record's country.
        ("7203", "TSE", "JP", ("7203", "JP", "JP")), ("RY", "TSE", "CA", ("RY", "CA", "CA")), ("RY", "TSE", "", ("RY", "", "")),
        ("600000", "SS", "CN", ("600000", "CN", "CN")), ("VOLVB", "SS", "SE", ("VOLVB", "XSTO", "SE")),
        ("FAB", "UH", "", ("FAB", "", "AE")),
        ("ACME", None, "FR", ("ACME", "", "FR")), ("ACME", "Nowhere", "FR", ("ACME", "", "FR")),
        ("005930", None, "KR", ("005930", "", "KR")),
        (None, "NMS", "US", ("", "US", "US")), (float("nan"), None, None, ("", "", "")), ("NAN", "NMS", "US", ("NAN", "US", "US")),
    ],
)  # fmt: skip
def test_columns(ticker: object, exchange: object, country: object, row: tuple[str, str, str]) -> None:
    columns = [np.array([value], dtype=object) for value in (ticker, exchange, country)]
    assert [tuple(found) for found in ticker_columns(*columns).to_numpy()] == [row]


def test_columns_of_no_rows() -> None:
    empty = np.array([], dtype=object)
    assert list(ticker_columns(empty, empty, empty)) == ["symbol", "venue", "venue_country"]
    assert len(ticker_columns(empty, empty, empty)) == 0


@given(st.text(), st.text(), st.sampled_from(["", "US", "HK", "KR"]))
def test_any_text(ticker: str, exchange: str, country: str) -> None:
    found = market(exchange)
    assert found is None or len(found.mic) == len(found.operating_mic) == 4
    symbol, _ = parse_ticker(ticker)
    assert symbol == symbol.upper().strip()
    columns = [np.array([value] * 2, dtype=object) for value in (ticker, exchange, country)]
    once = ticker_columns(*columns)
    assert once.iloc[0].equals(once.iloc[1])


@pytest.mark.skipif(find_spec("iso10383") is None, reason="needs iso10383, which only the compiler uses")
def test_table_is_what_the_compiler_gives() -> None:
    assert [list(row) for row in compile_markets.exchanges()] == read_rows("exchanges.csv")
