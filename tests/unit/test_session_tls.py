"""TLS settings: the session's win over the environment's, and a file that cannot be used is named."""

from __future__ import annotations

import pytest
import requests
from support.tls import CERTIFICATE, FILES, KEY, TlsServer
from support.transports import ask

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, ServiceUnreachable
from foundry_rest.testing import json_answer
from foundry_rest.transport.session.connections import build_session, proxies_and_tls

OTHER = str(FILES / "other.pem")
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
WAYS = {
    "whole": lambda client: client.complete("Hello").content,
    "stream": lambda client: client.stream_complete("Hello").gather().content,
}
WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
GIVEN = pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])


@pytest.fixture(scope="module")
def secure():
    """A service whose certificate is in the samples."""
    with TlsServer() as running:
        yield running


@pytest.fixture(scope="module")
def strict():
    """The same, and the client has to show a certificate."""
    with TlsServer(wants_certificate=True) as running:
        yield running


def session_with(**settings):
    """Return a session with these attributes."""
    session = requests.Session()
    for name, value in settings.items():
        setattr(session, name, value)
    return session


def answer_of(way, server, session=None):
    """Ask once."""
    with FoundryAPIClient(
        server.url, model="m:1", dialect="2.x", retries=0, session=session, timeout=5
    ) as client:
        return way(client)


@pytest.fixture(params=["file", "folder"])
def bundle(request, tmp_path):
    """The sample's certificate, in a file or, by its hash, in a folder."""
    if request.param == "file":
        return CERTIFICATE
    name = (FILES / "hash.txt").read_text().strip()
    (tmp_path / f"{name}.0").write_text((FILES / "certificate.pem").read_text())
    return str(tmp_path)


@WAY
@GIVEN
@pytest.mark.parametrize("variable", VARIABLES)
def test_the_bundle_of_the_environment(variable, given, way, secure, bundle, monkeypatch):
    """It holds for https on loopback too."""
    monkeypatch.setenv(variable, bundle)

    assert answer_of(way, secure, requests.Session() if given else None) == "hi"


@WAY
@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("named", [OTHER, "/no/such/bundle.pem"])
def test_the_session_wins(named, variable, way, secure, monkeypatch):
    """Its own bundle counts, whatever the environment names."""
    monkeypatch.setenv(variable, named)

    assert answer_of(way, secure, session_with(verify=CERTIFICATE)) == "hi"


@WAY
@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_session_that_verifies_nothing(variable, way, secure, monkeypatch):
    """The environment does not switch on again what a session has switched off."""
    monkeypatch.setenv(variable, OTHER)

    assert answer_of(way, secure, session_with(verify=False)) == "hi"


@WAY
@pytest.mark.parametrize("settings", [{}, {"trust_env": False}, {"verify": OTHER}, {"verify": True}])
@pytest.mark.parametrize("variable", [None, *VARIABLES])
def test_a_certificate_that_is_not_trusted(variable, settings, way, secure, monkeypatch):
    """It ends the connection, unless the environment names its bundle and the session leaves it at that."""
    if variable is not None:
        monkeypatch.setenv(variable, CERTIFICATE)
    session = session_with(**settings)
    if variable is not None and settings in ({}, {"verify": True}):
        assert answer_of(way, secure, session) == "hi"
        return
    with pytest.raises(ServiceUnreachable, match="certificate was refused"):
        answer_of(way, secure, session)


@WAY
@pytest.mark.parametrize("cert", [(CERTIFICATE, KEY), "both in one"])
def test_the_certificate_of_a_client(cert, way, strict, tmp_path):
    """A session's own is shown, as one file or two."""
    if cert == "both in one":
        both = tmp_path / "both.pem"
        both.write_text((FILES / "certificate.pem").read_text() + (FILES / "key.pem").read_text())
        cert = str(both)

    assert answer_of(way, strict, session_with(verify=CERTIFICATE, cert=cert)) == "hi"


def spoil(kind, path):
    """Make a file that cannot be used; return its name."""
    made = path / f"{kind}.pem"
    if kind != "missing":
        made.write_bytes({"empty": b"", "text": b"no certificate", "binary": bytes(range(256))}[kind])
    return str(made)


@WAY
@pytest.mark.parametrize("source", ["session.verify", *VARIABLES, "cert", "cert and key", "key"])
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "binary"])
def test_a_file_that_cannot_be_used(kind, source, way, secure, monkeypatch, tmp_path):
    """It is a ConfigError that names the file, and who named it."""
    file = spoil(kind, tmp_path)
    session = session_with(verify=CERTIFICATE)
    if source in VARIABLES:
        monkeypatch.setenv(source, file)
        session = None
    elif source == "session.verify":
        session.verify = file
    else:
        session.cert = {"cert": file, "cert and key": (file, KEY), "key": (CERTIFICATE, file)}[source]
    with pytest.raises(ConfigError) as caught:
        answer_of(way, secure, session)

    shown = source if source in VARIABLES or "." in source else "session.cert"
    assert repr(file) in str(caught.value)
    assert f"({shown})" in str(caught.value)


@WAY
def test_a_key_that_wants_a_password(way, secure):
    """Nobody is asked for it."""
    cert = (CERTIFICATE, str(FILES / "encrypted_key.pem"))
    with pytest.raises(ConfigError, match=r"encrypted_key\.pem.*session\.cert"):
        answer_of(way, secure, session_with(verify=CERTIFICATE, cert=cert))


@pytest.mark.parametrize(
    "settings", [{"verify": "/no/such.pem"}, {"cert": "/no/such.pem"}, {"cert": ("/a", "/b")}]
)
@pytest.mark.parametrize("variable", [None, *VARIABLES])
def test_without_tls_no_file_is_looked_at(variable, settings, server, monkeypatch):
    """A program that speaks plain http on loopback need not have them."""
    if variable is not None:
        monkeypatch.setenv(variable, "/no/such.pem")
    server.otherwise(json_answer({}))

    assert ask(server, session=session_with(**settings)).path == "/status"


PROXIES = ("http", "https", "all", "http://far.example", "https://far.example", "all://far.example")


@pytest.mark.parametrize("url", ["http://far.example:80", "https://far.example"])
@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "all_proxy"])
def test_the_proxies_of_the_session_win(variable, name, url, monkeypatch):
    """What the environment says counts where the session says nothing about the address."""
    monkeypatch.setenv(variable, "http://env.example:1")
    session = session_with(proxies={name: "http://own.example:2"})
    chosen = requests.utils.select_proxy(url, proxies_and_tls(session, url)["proxies"])
    scheme = url.partition(":")[0]
    if name.startswith((scheme, "all")) and name.partition(":")[0] in (scheme, "all"):
        assert chosen == "http://own.example:2"
    else:
        assert chosen == ("http://env.example:1" if variable in (f"{scheme}_proxy", "all_proxy") else None)


SPELLINGS = [
    "localhost",
    "localhost.",
    "LOCALHOST",
    "a.localhost",
    "a.b.localhost.",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "0177.0.0.1",
    "017700000001",
    "127.0x0.0.01",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:127.9.9.9]",
    "ip6-localhost",
    "localhost.localdomain",
    "localhost6",
    "\uff11\uff12\uff17.0.0.1",
    "\uff4cocalhost",
]


@GIVEN
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_this_machine_has_a_proxy(host, scheme, given, monkeypatch):
    """Neither the environment's nor the session's."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://env.example:1")
    session = session_with(proxies={"all": "http://own.example:2"}) if given else build_session(1)

    assert proxies_and_tls(session, f"{scheme}://{host}:5273")["proxies"] == {}
    session.close()
