"""National numbers: each country by its own rules, one spelling, no key without a country."""

from __future__ import annotations

import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text.identifiers import Checked, State, check_identifier
from em_core.text.registration import FORMATS, MODULES, National, check_registration, check_vat, registration_of_vat

BAD = Checked("", State.INVALID)
NO_KEY = Checked("", State.UNCHECKED)


@pytest.mark.parametrize(
    ("country", "number", "key"),
    [
        ("AR", "30-54668997-9", "AR:30546689979"),
        ("AT", "FN 93363z", "AT:93363Z"),  # OMV
        ("AU", "004 028 077", "AU:004028077"),  # BHP: ACN
        ("AU", "4028077", "AU:004028077"),
        ("AU", "ABN 49 004 028 077", "AU:004028077"),  # the ABN of a company holds its ACN
        ("AU", "51 824 753 556", "AU:51824753556"),  # a government body has no ACN
        ("BE", "0417.497.106", "BE:0417497106"),  # AB InBev
        ("BE", "417497106", "BE:0417497106"),
        ("BG", "831642181", "BG:831642181"),
        ("BR", "33.000.167/0001-01", "BR:33000167000101"),  # Petrobras
        ("BY", "100059271", "BY:100059271"),
        ("CH", "CHE-105.909.036", "CH:CHE105909036"),  # Nestle
        ("CH", "105909036", "CH:CHE105909036"),
        ("CL", "97.006.000-6", "CL:970060006"),
        ("CN", "91440300708461136T", "CN:91440300708461136T"),  # Tencent
        ("CO", "899999068-1", "CO:8999990681"),  # Ecopetrol
        ("CZ", "45274649", "CZ:45274649"),  # CEZ
        ("DE", "HRB 6684, Amtsgericht München", "DE:MUNCHEN_HRB_6684"),
        ("DE", "Amtsgericht Muenchen HRB-Nr. 6684", "DE:MUNCHEN_HRB_6684"),
        ("DE", "Gießen HRB 123", "DE:GIESSEN_HRB_123"),
        ("DE", "HRB 12 Ulm", "DE:ULM_HRB_12"),
        ("DE", "Kiel HRB 12 KI", "DE:KIEL_HRB_12_KI"),
        ("DE", "HRB 150000 B (Charlottenburg)", "DE:BERLINCHARLOTTENBURG_HRB_150000"),
        ("DE", "Berlin HRB 150000", "DE:BERLINCHARLOTTENBURG_HRB_150000"),
        ("DK", "24 25 67 90", "DK:24256790"),  # Novo Nordisk
        ("EE", "10765896", "EE:10765896"),
        ("ES", "A-48010615", "ES:A48010615"),  # Iberdrola
        ("FI", "0112038-9", "FI:01120389"),  # Nokia
        ("FI", "112038-9", "FI:01120389"),
        ("FR", "542 051 180", "FR:542051180"),  # TotalEnergies
        ("FR", "SIREN: 775670417", "FR:775670417"),  # LVMH
        ("FR", "RCS Paris B 542 051 180", "FR:542051180"),
        ("FR", "732 829 320 00074", "FR:732829320"),  # SIRET: a site of the company
        ("RE", "542051180", "FR:542051180"),  # Reunion uses the French register
        ("HR", "27759560625", "HR:27759560625"),  # INA
        ("HU", "10625790", "HU:10625790"),  # MOL
        ("HU", "10625790-4-44", "HU:10625790"),
        ("IL", "520013954", "IL:520013954"),  # Teva
        ("IN", "AAPFU0939F", "IN:AAPFU0939F"),
        ("IN", "27AAPFU0939F1ZV", "IN:AAPFU0939F"),  # each state gives the company another GSTIN
        ("IS", "560882-0419", "IS:5608820419"),
        ("IT", "00905811006", "IT:00905811006"),  # Eni
        ("JP", "1180301018771", "JP:1180301018771"),  # Toyota
        ("JP", "T1180301018771", "JP:1180301018771"),
        ("JP", "1803-01-018771", "JP:1180301018771"),  # the register's own number lacks the check digit
        ("KR", "124-81-00998", "KR:1248100998"),  # Samsung Electronics
        ("LV", "40003052786", "LV:40003052786"),
        ("MX", "PEP970814SF3", "MX:PEP970814SF3"),
        ("NO", "923 609 016", "NO:923609016"),  # Equinor
        ("NO", "NO 923 609 016 MVA", "NO:923609016"),
        ("NZ", "9429034042984", "NZ:9429034042984"),
        ("PE", "20100055237", "PE:20100055237"),
        ("PL", "610188201", "PL:610188201"),  # Orlen: REGON, NIP
        ("PL", "774-000-14-54", "PL:7740001454"),
        ("PT", "500697256", "PT:500697256"),  # EDP
        ("RO", "1590082", "RO:1590082"),  # OMV Petrom
        ("RO", "J40/8302/1997", "RO:J40/8302/1997"),
        ("RU", "1027700070518", "RU:1027700070518"),  # Gazprom: OGRN, INN
        ("RU", "7736050003", "RU:7736050003"),
        ("SE", "556012-5790", "SE:5560125790"),  # Volvo
        ("SE", "165560125790", "SE:5560125790"),
        ("SE", "SE5560125790", "SE:5560125790"),
        ("SG", "199901152M", "SG:199901152M"),
        ("SI", "5043611000", "SI:5043611"),  # Krka
        ("SK", "35763469", "SK:35763469"),
        ("TH", "0107544000108", "TH:0107544000108"),  # PTT
        ("TW", "22099131", "TW:22099131"),  # TSMC
        ("UA", "20077720", "UA:20077720"),
        ("US", "94-2404110", "US:942404110"),  # Apple: EIN
        ("UY", "211003420017", "UY:211003420017"),
        ("VN", "0100109106-001", "VN:0100109106"),
    ],
)
def test_a_number_that_the_country_can_check(country: str, number: str, key: str) -> None:
    assert check_identifier("registration_number", number, country) == Checked(key, State.VALID)
    assert check_identifier("registration_number", key) == Checked(key, State.VALID)


@pytest.mark.parametrize(
    ("country", "number", "key"),
    [
        ("GB", "01833679", "GB:01833679"),
        ("GB", "1833679", "GB:01833679"),
        ("GB", "833679", "GB:00833679"),
        ("GB", "Company No. 01833679", "GB:01833679"),
        ("GB", "GB01833679", "GB:01833679"),
        ("GB", "SC095000", "GB:SC095000"),
        ("GB", "SC 95000", "GB:SC095000"),
        ("GB", "IP28876R", "GB:IP28876R"),
        ("GB", "R0000123", "GB:R0000123"),
        ("IE", "471706", "IE:471706"),
        ("IN", "L17110MH1973PLC019786", "IN:L17110MH1973PLC019786"),
        ("IT", "MI-1234567", "IT:MI1234567"),
        ("KR", "130111-0006246", "KR:1301110006246"),
        ("LU", "B 82454", "LU:B82454"),
        ("NL", "17014545", "NL:17014545"),
        ("PL", "0000028860", "PL:0000028860"),
        ("US", "4317456", "US:4317456"),  # a state's number
        ("ZA", "1999/012345/06", "ZA:199901234506"),
        # countries without known rules
        ("HK", "0123987", "HK:0123987"),
        ("KY", "MC-143215", "KY:MC143215"),
        ("GG", "CMP12345", "GG:CMP12345"),
    ],
)
def test_a_number_without_check_digit_is_unchecked(country: str, number: str, key: str) -> None:
    assert check_identifier("registration_number", number, country) == Checked(key, State.UNCHECKED)
    assert check_identifier("registration_number", key) == Checked(key, State.UNCHECKED)


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("FR", "542051181"),
        ("BE", "0417497107"),
        ("NO", "923609017"),
        ("SE", "5560125791"),
        ("GB", "123"),
        ("GB", "018336790"),
        ("DE", "HRB 6684 Entenhausen"),
        ("DE", "6684"),
        ("KY", "1234"),
        ("KY", "ABC-12"),
        ("", "n 12"),
    ],
)
def test_a_number_that_no_register_of_the_country_writes(country: str, number: str) -> None:
    assert check_identifier("registration_number", number, country) == BAD


@pytest.mark.parametrize(
    ("country", "number"), [("", "01833679"), ("", "542051180"), ("DE", "HRB 6684"), ("DE", "HRB 6684 B")]
)
def test_a_number_that_many_companies_may_have_is_no_key(country: str, number: str) -> None:
    assert check_identifier("registration_number", number, country) == NO_KEY


@pytest.mark.parametrize(
    ("country", "number", "key"),
    [
        ("FR", "GB:01833679", "GB:01833679"),
        ("", "uk: 1833679", "GB:01833679"),
        ("", "CHE-105.909.036", "CH:CHE105909036"),
        ("", "SE5560125790", "SE:5560125790"),
        ("GB", "SE5560125790", "SE:5560125790"),
        ("US", "NO: 923609016", "NO:923609016"),
        ("GB", "No: 01833679", "GB:01833679"),  # the word number, not Norway
        ("GB", "SI001234", "GB:SI001234"),  # a British register, not Slovenia
        ("US", "CO899999068", "US:CO899999068"),  # Colorado, not Colombia
    ],
)
def test_a_prefix_may_name_the_country(country: str, number: str, key: str) -> None:
    assert check_identifier("registration_number", number, country).value == key


@pytest.mark.parametrize(
    ("country", "number", "key"),
    [
        ("", "DE143454214", "DE143454214"),  # SAP
        ("DE", "143 454 214", "DE143454214"),
        ("DE", "USt-IdNr.: DE 143454214", "DE143454214"),
        ("AT", "DE143454214", "DE143454214"),  # registered abroad: the prefix counts
        ("", "ATU14189108", "ATU14189108"),
        ("", "AU49004028077", "AU49004028077"),
        ("", "BE417497106", "BE0417497106"),
        ("", "CHE-105.909.036 MWST", "CHE105909036"),
        ("", "CHE-105.909.036 TVA", "CHE105909036"),
        ("CH", "105.909.036", "CHE105909036"),
        ("", "EL094014201", "GR094014201"),
        ("GR", "094014201", "GR094014201"),
        ("", "EU372022452", "EU372022452"),
        ("", "FR 59 542 051 180", "FR59542051180"),
        ("MC", "53 0000 04605", "FR53000004605"),
        ("", "GB 220 4302 31", "GB220430231"),
        ("", "XI220430231", "GB220430231"),
        ("IM", "220430231", "GB220430231"),
        ("HU", "10625790-4-44", "HU10625790"),
        ("IN", "27AAPFU0939F1ZV", "INAAPFU0939F"),
        ("", "NL001545668B01", "NL001545668B01"),
        ("", "NO 923 609 016 MVA", "NO923609016"),
        ("", "VAT no. NO923609016", "NO923609016"),
        ("MX", "PEP970814SF3", "MXPEP970814SF3"),  # not Peru
        ("RU", "7736050003", "RU7736050003"),
    ],
)
def test_vat(country: str, number: str, key: str) -> None:
    assert check_identifier("vat", number, country) == Checked(key, State.VALID)
    assert check_identifier("vat", key) == Checked(key, State.VALID)


@pytest.mark.parametrize(
    ("country", "number", "expected"),
    [
        ("", "US942404110", Checked("US942404110", State.UNCHECKED)),
        ("US", "94-2404110", Checked("US942404110", State.UNCHECKED)),
        ("US", "1234", BAD),
        ("", "DE143454215", BAD),
        ("DE", "143454215", BAD),
        ("DE", "FR59542051181", BAD),
        ("", "143454214", NO_KEY),
        ("", "unit 12", BAD),
    ],
)
def test_vat_without_rules_or_against_them(country: str, number: str, expected: Checked) -> None:
    assert check_identifier("vat", number, country) == expected


@pytest.mark.parametrize(
    ("vat", "registration"),
    [
        ("FR59542051180", "FR:542051180"),
        ("FR53000004605", ""),  # Monaco
        ("BE0417497106", "BE:0417497106"),
        ("CHE105909036", "CH:CHE105909036"),
        ("NO923609016", "NO:923609016"),
        ("SE556012579001", "SE:5560125790"),
        ("DK24256790", "DK:24256790"),
        ("FI01120389", "FI:01120389"),
        ("IT00905811006", "IT:00905811006"),
        ("ESA48010615", "ES:A48010615"),
        ("ESX1234567L", ""),  # a person
        ("PT500697256", "PT:500697256"),
        ("HR27759560625", "HR:27759560625"),
        ("CZ45274649", "CZ:45274649"),
        ("AU49004028077", "AU:004028077"),
        ("DE143454214", ""),
        ("GB220430231", ""),
        ("NL001545668B01", ""),
        ("", ""),
    ],
)
def test_registration_number_inside_a_vat_number(vat: str, registration: str) -> None:
    assert check_identifier("vat", vat).value == vat
    assert registration_of_vat(vat) == registration
    assert check_identifier("registration_number", registration).value == registration


@given(
    st.sampled_from(sorted({"DE", "GB", "US", "KY", "", *MODULES, *FORMATS})),
    st.text(alphabet=string.digits + "ABEGHRXZ&Ñ -./:", max_size=20),
    st.sampled_from(["", "HRB Ulm ", "RO J40/", "K", "CHE", "MX"]),
)
def test_any_text_gives_a_normal_form_or_nothing(country: str, text: str, start: str) -> None:
    for check in (check_registration, check_vat):
        found = check((start + text).upper(), country)
        if found and found.value:
            assert check(found.value, "") == found
            assert not set(found.value) & set(string.whitespace)


def test_national_is_a_value_and_whether_it_was_checked() -> None:
    assert check_registration("542051180", "FR") == National("FR:542051180", True)
    assert check_vat("FR59542051180", "") == National("FR59542051180", True)


def test_import_loads_no_country() -> None:
    code = "import sys, em_core.text.identifiers as i; print([m for m in sys.modules if m.startswith('stdnum.fr')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
