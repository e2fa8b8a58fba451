"""One normal form for every value: what is taken away, what is refused by name, and the addresses (G5 to G8, G26)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fuzz.settings import RIGHT, standing
from workers.environment import strangers
from workers.forms import FILE_BYTES, FormError, judged, plain, web_address
from workers.ledger import connect
from workers.redis_address import OPTIONS, redis_address
from workers.secrets.vault import new_key
from workers.settings import SECRETS, SHAPES, Settings, SettingsError

#: What stands around a value and does not belong to it.
AROUND = ["\ufeff{}", "{}\n", "{}\r\n", "{}\r", " {} ", "\t{}", "\xa0{}\xa0", "\ufeff {}\r\n\n", "{}\u2028", "\u3000{}"]


def problems(need: str = "worker", **settings: str) -> tuple[str, ...]:
    """The lines that these changes of a right environment lead to."""
    with standing({name: value for name, value in (RIGHT | settings).items() if value}):
        try:
            Settings.load(need)
        except SettingsError as error:
            return error.problems
    return ()


def taken(name: str, value: str) -> object:
    """A setting as the program has it."""
    with standing(RIGHT | {name: value}):
        found = getattr(Settings.load("worker"), name)
    inner = [one.get_secret_value() for one in found] if isinstance(found, list) else found
    return inner.get_secret_value() if hasattr(inner, "get_secret_value") else inner


@pytest.mark.parametrize("form", AROUND)
@pytest.mark.parametrize("name", SHAPES)
def test_g5_and_g7_what_stands_around_a_setting_is_taken_away(name: str, form: str) -> None:
    """Byte order mark, line ends and blanks around any setting change nothing of it."""
    assert taken(name, form.format(RIGHT[name])) == taken(name, RIGHT[name])


@pytest.mark.parametrize("form", ["\ufeff{}", "{}\r\n", "\ufeff{}\n", " {}\t", "{}\xa0\n"])
@pytest.mark.parametrize("name", SECRETS)
def test_g5_the_same_in_a_file(name: str, form: str, tmp_path: Path) -> None:
    """Whatever an editor adds to a secret's file, the secret is the same; so is the path when it ends in a line end."""
    (tmp_path / "secret").write_bytes(form.format(RIGHT[name]).encode())
    given = {key: value for key, value in RIGHT.items() if key != name} | {f"{name}_FILE": f"{tmp_path / 'secret'}\r\n"}
    with standing(given):
        found = getattr(Settings.load("worker"), name)
    with standing(RIGHT):
        assert found == getattr(Settings.load("worker"), name)


@pytest.mark.parametrize("name", ["IRON_WEBHOOK_SECRET", "ONBOARDING_API_TOKENS", "ONBOARDING_ENCRYPTION_KEYS"])
def test_each_value_of_a_list_has_its_own_form(name: str) -> None:
    """Marks and blanks around each part of a list go, and parts with nothing in them."""
    other = {"ONBOARDING_API_TOKENS": f"ops:admin:{'0b' * 32}"}.get(name, new_key())
    clean = taken(name, f"{RIGHT[name]},{other}")
    assert taken(name, f"\ufeff{RIGHT[name]} ,\r\n\ufeff{other}\n,, ,") == clean


@pytest.mark.parametrize("value", ["", " ", "\r\n", "\ufeff", "\ufeff \n", "\xa0", "\t"])
@pytest.mark.parametrize(
    "name", ["ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS", "IRON_BASE_URL", "IRON_API_KEY"]
)
def test_g6_empty_is_unset(name: str, value: str, tmp_path: Path) -> None:
    """Nothing, blanks and marks alone are no value, in the environment and in a file, whose emptiness is told."""
    assert problems(**{name: value}) == (f"{name} is not set: it should be {SHAPES[name]}.",)
    if name in SECRETS:
        (tmp_path / "empty").write_text(value, encoding="utf-8")
        why = f"because the file that {name}_FILE names is empty"
        lines = problems(**{name: "", f"{name}_FILE": str(tmp_path / "empty")})
        assert lines == (f"{name} is not set, {why}: it should be {SHAPES[name]}.",)


@pytest.mark.parametrize("value", [",", ", ,", ",\r\n,", "\ufeff,"])
def test_g6_a_list_of_nothing_is_unset(value: str) -> None:
    """A key ring of commas is none, and no worker starts with it."""
    [line] = problems(ONBOARDING_ENCRYPTION_KEYS=value)
    assert line.startswith("ONBOARDING_ENCRYPTION_KEYS is not set")


def test_g6_an_empty_default_is_the_default() -> None:
    """An empty setting that has a default has it."""
    for name, field in Settings.model_fields.items():
        if name not in ("ONBOARDING_REDIS_URL", "ONBOARDING_ENCRYPTION_KEYS", "IRON_BASE_URL", "IRON_API_KEY"):
            assert taken(name, " \r\n") == field.default, name


NAMED = [
    ("a\x00b", "U+0000 NULL"),
    ("a\x01b", "U+0001 CONTROL CHARACTER"),
    ("a\nb", "U+000A LINE FEED"),
    ("a\tb", "U+0009 TAB"),
    ("a\x1b[31m", "U+001B ESCAPE"),
    ("a\x7f", "U+007F DELETE"),
    ("a\u200bb", "U+200B ZERO WIDTH SPACE"),
    ("\u200ba", "U+200B ZERO WIDTH SPACE"),
    ("a\u2060", "U+2060 WORD JOINER"),
    ("a\u00adb", "U+00AD SOFT HYPHEN"),
    ("\u202ea", "U+202E RIGHT-TO-LEFT OVERRIDE"),
    ("a\u3164", "U+3164 HANGUL FILLER"),
    ("a\ufeffb", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    ('"a"', "U+0022 QUOTATION MARK"),
    ("'a'", "U+0027 APOSTROPHE"),
    ("“a”", "U+201C LEFT DOUBLE QUOTATION MARK"),
    ("„a“", "U+201E DOUBLE LOW-9 QUOTATION MARK"),
    ("«a»", "U+00AB LEFT-POINTING DOUBLE ANGLE QUOTATION MARK"),
    ('a"', "U+0022 QUOTATION MARK"),
    ("`a`", "U+0060 GRAVE ACCENT"),
    ("\udcfc", "not text in UTF-8"),
    ("a\udce4b", "not text in UTF-8"),
    ("${IRON_API_KEY}", "placeholder"),
    ("$IRON_API_KEY", "placeholder"),
    ("$(cat key)", "placeholder"),
    ("{{ iron_api_key }}", "placeholder"),
    ("<your api key>", "placeholder"),
    ("changeme", "placeholder"),
    ("CHANGE-ME", "placeholder"),
]


@pytest.mark.parametrize(("text", "name"), NAMED)
def test_what_nobody_meant_is_refused_by_name(text: str, name: str) -> None:
    """The sign is named as Unicode names it, wherever it is; nothing of the value stands beside it."""
    with pytest.raises(FormError, match=name.replace("+", r"\+")):
        judged(text)
    if "\x00" not in text:
        [line] = problems(IRON_API_KEY=text) if text != "\udcfc" else [f"IRON_API_KEY {name}"]
        assert line.startswith("IRON_API_KEY ")
        assert name in line
        assert "cat key" not in line


@pytest.mark.parametrize("name", SHAPES)
def test_every_setting_is_judged(name: str) -> None:
    """No setting takes a sign that cannot be seen, or stands in quotation marks."""
    for value in (f"{RIGHT[name][:2]}\u200b{RIGHT[name][2:]}", f'"{RIGHT[name]}"', f"{RIGHT[name]}\x01"):
        [line] = problems(**{name: value})
        assert line.startswith(f"{name} is malformed: it ")
        assert line.endswith(f"; it should be {SHAPES[name]}.")


@pytest.mark.parametrize(
    "name", ["Müller & Söhne", 'Joe\'s "Diner"', "O’Brien", "نام‌خانوادگی", "株式会社", "“Best” Ltd", "AT&T", "l'Été"]
)
def test_names_for_people_may_be_names(name: str) -> None:
    """A company may be called what companies are called, joiners of its script included."""
    assert taken("ONBOARDING_COMPANY_NAME", name) == name
    [line] = problems(ONBOARDING_COMPANY_NAME=f'"{name}"') if name[-1] not in '”"' else ["malformed"]
    assert "malformed" in line


def test_bytes_of_utf8_are_read_whatever_the_locale() -> None:
    """Python keeps bytes that its locale does not know as halves of pairs; here they are put together again."""
    assert plain("M\udcc3\udcbcller\r") == "Müller"
    assert plain("M\udcfcller\r") == "M\udcfcller\r"


FILES = [
    ("missing", None, "No such file or directory"),
    ("utf16", "text".encode("utf-16"), "UTF-16"),
    ("utf16be", b"\xfe\xff\x00a", "UTF-16"),
    ("latin", "schlüssel".encode("latin-1"), "not text in UTF-8"),
    ("large", b"a" * (FILE_BYTES + 1), "more than 65,536 bytes"),
    ("folder", ..., "no regular file"),
    ("pipe", "pipe", "no regular file"),
]


@pytest.mark.parametrize(("name", "content", "why"), FILES, ids=[name for name, *_ in FILES])
def test_g6_a_file_that_holds_no_secret(name: str, content: object, why: str, tmp_path: Path) -> None:
    """Missing, in another encoding, without end, or no file: told by the setting, with why, and without the path."""
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is ...:
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    [line] = problems(IRON_API_KEY="", IRON_API_KEY_FILE=str(path))
    assert line.startswith("IRON_API_KEY_FILE names a file that cannot be read: ")
    assert why in line
    assert str(tmp_path) not in line


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://:57#pw@127.0.0.1:17379/0", "holds a # / or ?"),
        ("redis://:57/pw@127.0.0.1:17379/0", "holds a # / or ?"),
        ("redis://:57?pw@127.0.0.1:17379/0", "holds a # / or ?"),
        ("redis://h/0#", "holds a # / or ?"),
        ("rediss://user:a/b#c?d@h:6379/0", "holds a # / or ?"),
        ("redis://h?decode_responses=True", "the option decode_responses"),
        ("redis://h?encoding=latin-1", "the option encoding"),
        ("redis://h/0?protocol=3", "the option protocol"),
        ("redis://h/0?socket_timeout=0.001", "the option socket_timeout"),
        ("redis://h/0?max_connections=1", "the option max_connections"),
        ("redis://h/0?ssl_cert_reqs=none", "the option ssl_cert_reqs"),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "option ssl_cert_reqs"),
        ("unix:///s?socket_keepalive=yes", "the option socket_keepalive"),
        ("redis://h/0?db=1&db=2", "option db is given twice"),
        ("redis://h?db=one", "option db"),
        ("redis://h?db=", "option db"),
        ("redis://h/0?", ""),
        ("redis://h/zero", "logical database is not a number"),
        ("redis://h/0/1", "logical database is not a number"),
        ("redis://h/-1", "logical database is not a number"),
        ("redis://h:0/0", "port"),
        ("redis://h:99999/0", "port"),
        ("redis://h:/0", "port"),
        ("redis://h:many/0", "port"),
        ("redis://a..b/0", "host"),
        ("redis://" + "a" * 64 + "/0", "host"),
        ("redis://ü.example/0", "xn--"),
        ("redis://[::1/0", "host"),
        ("redis://999.1.1.1/0", "host"),
        ("redis://h /0", "blank"),
        ("redis:/h/0", "begin with redis://"),
        ("http://h/0", "begin with redis://"),
        ("h:6379", "begin with redis://"),
        ("unix://run/redis.sock", "socket"),
        ("unix://", "socket"),
        (
            "rediss://h?ssl_ca_certs=/nope.pem",
            "ssl_ca_certs names a file that cannot be read (No such file or directory)",
        ),
        ("rediss://h?ssl_keyfile=/nope.pem", "ssl_keyfile needs ssl_certfile"),
        ("rediss://h?ssl_certfile=/dev/null", "ssl_certfile names a file without a certificate"),
        ("rediss://h?ssl_ca_path=/nope", "ssl_ca_path names no folder"),
    ],
)
def test_g8_and_g26_addresses_of_redis_that_are_refused(url: str, why: str) -> None:
    """Options that change what answers are, passwords that end too early, places that are none: named, and no more."""
    if not why:
        assert redis_address(url) == url
        return
    for name in ("ONBOARDING_REDIS_URL", "ONBOARDING_BROKER_URL"):
        [line] = problems(**{name: url})
        assert line.startswith(f"{name} is malformed: it")
        assert why in line
        assert "percent-encode # / ? @ in the password" in line
        assert "57" not in line


@pytest.mark.parametrize(
    "url",
    [
        *("redis://", "redis://h", "redis://h/", "redis://h/0", "redis://h:6380/15", "redis://:p%23%2F%3F%40@h/0"),
        *(
            "redis://user@h",
            "redis://user:p@h:6379/1",
            "redis://[::1]:6379/0",
            "redis://10.0.0.1",
            "redis://my_redis/0",
        ),
        *("rediss://h:6380/0?ssl_cert_reqs=required&ssl_check_hostname=true", "redis://:p@ss@h/0", "redis://h.svc./0"),
        *("redis://h?db=3&health_check_interval=30", "redis://h/0?socket_keepalive=true", "unix:///run/redis.sock"),
        *("unix://user:p@/run/redis.sock?db=2", "REDIS://h/0"),
    ],
)
def test_addresses_of_redis_that_are_taken(url: str) -> None:
    """Each of them gives a client and a connection, so no option in it is one that redis-py stumbles over."""
    read = redis_address(url)
    assert read == url.replace("REDIS", "redis")
    with connect(read) as client:
        assert client.connection_pool.make_connection()


def test_every_option_that_is_allowed_is_one_of_redis_py(tmp_path: Path) -> None:
    """All allowed options together make a connection, for each scheme."""
    chain, key = own_certificate(tmp_path)
    values = {"ssl_ca_certs": chain, "ssl_ca_path": tmp_path, "ssl_certfile": chain, "ssl_keyfile": key}
    others = {"db": "1", "health_check_interval": "5", "ssl_cert_reqs": "none", "ssl_password": "x"}
    for scheme, allowed in OPTIONS.items():
        query = "&".join(f"{name}={values.get(name, others.get(name, 'yes'))}" for name in allowed)
        with connect(redis_address(f"{scheme}://{'/s' if scheme == 'unix' else 'h'}?{query}")) as client:
            assert client.connection_pool.make_connection()


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "h")]), datetime.now(UTC)
    made = x509.CertificateBuilder(
        subject, subject, private.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1)
    ).sign(private, hashes.SHA256())
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, key


def test_a_key_that_is_another_certificates(tmp_path: Path) -> None:
    """Files of TLS are loaded at the start, not at the first connection."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    chain, _ = own_certificate(tmp_path / "one")
    _, key = own_certificate(tmp_path / "two")
    with pytest.raises(FormError, match="its key does not fit"):
        redis_address(f"rediss://h?ssl_certfile={chain}&ssl_keyfile={key}")


WRONG_WEB = [
    ("https://iron.example/a pi", "blank"),
    ("https://iron.example/api\rx", "control"),
    ("https://iron.example\\api", "backslash"),
    ("https:/iron.example", "begin"),
    ("https:iron.example", "begin"),
    ("//iron.example", "begin"),
    ("iron.example", "begin"),
    ("ftp://iron.example", "begin"),
    ("https://", "host"),
    ("https://iron..example", "host"),
    ("https://[::1/api", "host"),
    ("https://300.1.1.1/api", "host"),
    ("https://ü.example/api", "xn--"),
    ("https://iron.example/ä", "percent-encoded"),
    ("https://iron.example:0", "port"),
    ("https://iron.example:", "port"),
    ("https://iron.example:99999", "port"),
    ("https://iron.example/api?", "query"),
    ("https://iron.example/api#", "fragment"),
    ("https://iron.example/" + "a" * 3_000, "too long"),
]


@pytest.mark.parametrize(("url", "why"), WRONG_WEB)
@pytest.mark.parametrize("name", ["IRON_BASE_URL", "ONBOARDING_PUBLIC_URL"])
def test_g7_web_addresses_that_are_refused(name: str, url: str, why: str) -> None:
    """What a request could not be made to is told at the start, with what is wrong with it."""
    [line] = problems(**{name: url})
    assert line.startswith(f"{name} is malformed: it")
    assert why in line
    assert "iron.example" not in line.replace(SHAPES[name], "")


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://iron.example/api/", "https://iron.example/api"),
        ("HTTPS://Iron.Example/API", "https://Iron.Example/API"),
        ("http://localhost:8701/api", "http://localhost:8701/api"),
        ("http://[::1]:8701", "http://[::1]:8701"),
        ("https://xn--bro-hoa.example/%C3%A4", "https://xn--bro-hoa.example/%C3%A4"),
        ("http://my_gateway.internal:80/x", "http://my_gateway.internal:80/x"),
    ],
)
def test_web_addresses_that_are_taken(url: str, read: str) -> None:
    """What is taken is an address for httpx, too."""
    assert web_address(url) == read
    assert httpx.URL(read).host


def test_customers_get_no_user_and_no_password() -> None:
    """Links begin with the public address, so it holds neither; Iron's own may."""
    [line] = problems(ONBOARDING_PUBLIC_URL="https://ada:marker@onboarding.example.com")
    assert "it holds a user or a password" in line
    assert "marker" not in line
    assert problems(IRON_BASE_URL="https://ada:marker@iron.example/api") == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IRON_API_VERSION", "٢٠٢٦-٠٧-٠١"),
        ("IRON_API_VERSION", "2026-13-01"),
        ("IRON_API_VERSION", "2026-02-30"),
        ("ONBOARDING_ENCRYPTION_KEYS", "A" * 20 + " " + "A" * 23 + "="),
        ("ONBOARDING_ENCRYPTION_KEYS", "A" * 20 + "!!" + "A" * 23 + "="),
        ("ONBOARDING_ENCRYPTION_KEYS", "A" * 43),
        ("IRON_WEBHOOK_SECRET", "whsec_a b"),
        ("IRON_WEBHOOK_SECRET", "whsec_ü"),
        ("IRON_WEBHOOK_SECRET", "whsec_abc,two words"),
    ],
)
def test_what_libraries_would_pass_over(name: str, value: str) -> None:
    """Digits of other scripts, days that do not exist, and signs that base64 skips are refused like the rest."""
    [line] = problems(**{name: value})
    assert line.startswith(f"{name} is malformed")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("IRON_WEBHOOK_SECERT", "Is IRON_WEBHOOK_SECRET meant?"),
        ("ONBOARDING_ENCRYPTION_KEY", "Is ONBOARDING_ENCRYPTION_KEYS meant?"),
        ("IRON_API_KEYFILE", "Is IRON_API_KEY_FILE meant?"),
        ("IRON_BASE_URL_FILE", "IRON_BASE_URL is no secret, so set it itself."),
        ("ONBOARDING_SOMETHING_ELSE_ENTIRELY", "Remove it, or correct its name."),
        ("iron_baseurl", "Is IRON_BASE_URL meant?"),
    ],
)
def test_a_name_that_is_no_setting_is_told(name: str, sentence: str) -> None:
    """A slip in a name is named with what was meant."""
    with standing(RIGHT | {name: "marker"}):
        [line] = strangers(SHAPES, SECRETS)
    assert line.startswith(f"{name} is ")
    assert line.endswith(sentence)
    assert "marker" not in line


def test_names_that_belong_here_are_not_told() -> None:
    """Settings, files of secrets, the tests' own server, and what Kubernetes sets for services called so."""
    others = ["ONBOARDING_REDIS_SERVER", "IRON_SERVICE_HOST", "ONBOARDING_GATEWAY_PORT_8700_TCP", "iron_base_url"]
    files = [f"{name}_FILE" for name in SECRETS]
    with standing(dict.fromkeys([*RIGHT, *others, *files], "x")):
        assert list(strangers(SHAPES, SECRETS)) == []


def test_small_letters_are_a_name_as_well() -> None:
    """A name in small letters counts where the one in capitals is not set."""
    given = {name: value for name, value in RIGHT.items() if name != "IRON_API_KEY"}
    with standing(given | {"iron_api_key": "small-key"}):
        key = Settings.load("worker").IRON_API_KEY
    assert key is not None
    assert key.get_secret_value() == "small-key"


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("call", "places"),
    [
        ("getpass.getuser(", {"ops/cli/inputs.py", "workers/operate/doctor/surroundings.py"}),
        ("httpx.HTTPTransport(", {"workers/events/courier.py"}),
        ("sys.stdin", {"ops/cli/inputs.py"}),
        ("redis.Redis.from_url(", {"workers/ledger/connection.py", "workers/watchdog.py"}),
    ],
)
def test_there_is_one_place_for_each(call: str, places: set[str]) -> None:
    """Who acts, how Iron is reached, what stands on standard input: no command has a way of its own round the forms."""
    found = {str(file.relative_to(ROOT)) for top in ("workers", "ops") for file in (ROOT / top).rglob("*.py")
             if call in file.read_text("utf-8") and "examples" not in file.parts}  # fmt: skip
    assert found == places
