"""What is pasted into an issue tells nobody who the user is, and no key."""

from __future__ import annotations

import pytest

from foundry_rest.ops.doctor.redaction import Redactor, masked_proxy

ENVIRON = {
    "FOUNDRY_API_KEY": "key-one-longer ",
    "OTHER_TOKEN": "key-one",
    "MY_PASSWORD": "short",
    "HOME": "/home/ann",
    "EDITOR": "vi",
}
SHOWN = Redactor(ENVIRON, "/home/ann", "ann")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/models", "~/models"),
        ("at /home/ann", "at ~"),
        ("/home/anna/models", "/home/anna/models"),
        ("/run/ann/x and /tmp/ann", "/run/USER/x and /tmp/USER"),
        (r"C:\Users\ann\x", r"C:\Users\USER\x"),
        ("ann said /annual", "ann said /annual"),
        ("key-one-longer, key-one", "***, ***"),
        ("http://me:pw@host:80/", "http://***@host:80/"),
        ("a\x1b[31mb\nc", r"a\x1b[31mb\nc"),
        ("short vi", "short vi"),
    ],
)
def test_texts(text, shown):
    """Keys, the home directory and the user's name in paths are gone; all else is left, in one line."""
    assert SHOWN(text) == shown


def test_length():
    """A service that talks without end fills no report."""
    assert SHOWN("x" * 10_000) == "x" * 600 + "..."


def test_a_user_without_name_or_home():
    """Nothing is replaced where nothing is known; a home that is the root of all is no home."""
    assert Redactor({}, "", "")("/home/ann") == "/home/ann"
    assert Redactor({}, "/", "")("/home/ann") == "/home/ann"


def test_of_this_user(monkeypatch, tmp_path):
    """The home and the name are those of whoever runs the process."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
    assert Redactor.of_user({})(f"{tmp_path / 'x'} /a/somebody") in ("~/x /a/USER", "~\\x /a/USER")


def test_a_user_whom_the_system_does_not_know(monkeypatch):
    """A number without a name, as containers have it, and no home, are no failure."""

    def unknown():
        raise KeyError("no such number")

    monkeypatch.setattr("getpass.getuser", unknown)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert Redactor.of_user({})("/home/ann") == "/home/ann"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@proxy.example.com:3128", "http://***:3128"),
        ("proxy.example.com:3128", "http://***:3128"),
        ("https://proxy.example.com", "https://***"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://::1:8080"),
        ("http://[::1", "***"),
        ("http://h:port", "***"),
    ],
)
def test_proxies(url, shown):
    """Only the port of a proxy is told, and its host where that is this machine."""
    assert masked_proxy(url) == shown
