"""Checks of the way to the service: proxies, the two loopback addresses, http and https, long headers."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from foundry_rest import clock
from foundry_rest.checks import address_of, plain_host
from foundry_rest.config import is_loopback
from foundry_rest.ops.doctor.evidence import Evidence, start
from foundry_rest.ops.doctor.findings import Finding, error, note, ok, warning
from foundry_rest.ops.doctor.redaction import masked_proxy
from foundry_rest.services.discovery.search import answers
from foundry_rest.services.target import Target
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Call, Options, Replay
from foundry_rest.transport.session.transport import SessionTransport

LOOPBACK = IPV4, IPV6 = "127.0.0.1", "::1"
#: Seconds to connect to loopback, which takes microseconds, and where Windows may try again for 2 s.
_PATIENCE = 0.5
_PORTS = {"http": 80, "https": 443}
#: Share of the time for the other of http and https; one that speaks neither lets it pass.
_OTHER_SCHEME = 0.3
#: Share of the most bytes from which a head is called long.
_LONG = 0.75


def proxies(evidence: Evidence) -> Iterator[Finding]:
    """Tell which proxy would get the requests, ours or those of other programs."""
    import urllib.request

    url = evidence.url or f"http://{IPV4}"
    host = urlsplit(url).hostname or ""
    yield through_proxy(url, urllib.request.getproxies(), is_bypassed=bool(urllib.request.proxy_bypass(host)))


def loopback(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether the service listens on the loopback address that its name means."""
    url = evidence.url
    if not url or not is_loopback(url):
        return
    parts = urlsplit(url)
    port = parts.port or _PORTS[parts.scheme]
    tries = {address: start(partial(_accepts, address, port)) for address in LOOPBACK}
    meant = _addresses(parts.hostname or "", port)
    accepting = {address for address, future in tries.items() if future.result(evidence.left())}
    yield from listens(url, meant, accepting)


def scheme(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether a service that does not answer would by the other of http and https."""
    service = evidence.service
    if not service.url or service.report is not None:
        return
    plain, secure = service.url.startswith("http://"), service.url.startswith("https://")
    other = service.url.replace("http", "https", 1) if plain else service.url.replace("https", "http", 1)
    bounds = Options(until=clock.monotonic() + evidence.seconds(_OTHER_SCHEME))
    if (plain or secure) and answers(other, None, bounds) is not None:
        here, there = ("http", "https") if plain else ("https", "http")
        yield error(f"{service.url} is asked by {here}, but {there} is spoken there", f"Give {other}.")


def headers(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether the head of a request fits into what 2.x takes."""
    call = Call("POST", "/v1/chat/completions", b"", Replay.IF_UNSENT, Options(), "chat.complete")
    transport = SessionTransport(
        headers=evidence.settings.headers, api_key=evidence.config.api_key, pool_size=1
    )
    try:
        yield fits(transport.header_size(call, Target(evidence.url or f"http://{IPV4}")))
    finally:
        transport.close()


def through_proxy(url: str, set_proxies: Mapping[str, str], *, is_bypassed: bool) -> Finding:
    """Return what the proxies of the environment do to requests to an address."""
    parts = urlsplit(url)
    proxy = set_proxies.get(parts.scheme) or set_proxies.get("all")
    if proxy is None:
        return ok(f"no proxy is set for {parts.scheme}")
    shown = masked_proxy(proxy)
    if is_bypassed:
        return ok(f"the proxy {shown} is set, and NO_PROXY leaves out {parts.hostname}")
    if is_loopback(url):
        what = f"the proxy {shown} is set: this client asks {parts.hostname} directly, others may not"
        return note(what, f"For curl and other clients set NO_PROXY=localhost,{IPV4},{IPV6}.")
    what = f"requests to {url} go through the proxy {shown}"
    return warning(what, f"If it cannot reach the service, set NO_PROXY={parts.hostname}.")


def listens(url: str, meant: Sequence[str], accepting: Collection[str]) -> Iterator[Finding]:
    """Yield whether a service listens where its name leads.

    Args:
        url: Address of the service.
        meant: The loopback addresses of its host, in the order in which they are tried.
        accepting: Those at which something listens.
    """
    if not accepting or not meant:
        return
    host, there = urlsplit(url).hostname, " and ".join(each for each in LOOPBACK if each in accepting)
    advice = f"Give {_at(url, next(each for each in LOOPBACK if each in accepting))}."
    if meant[0] in accepting:
        yield ok(f"the service listens on {there}, to which {host} leads")
    elif any(each in accepting for each in meant):
        yield warning(f"{host} leads to {meant[0]} first, and the service listens on {there} alone", advice)
    else:
        yield error(f"{host} leads to {meant[0]}, and the service listens on {there} alone", advice)


def fits(size: int) -> Finding:
    """Return whether a head of so many bytes is taken."""
    what = f"the head of a request has {size:,} of the {NATIVE_HEADER_LIMIT:,} bytes that 2.x takes"
    if size > NATIVE_HEADER_LIMIT:
        return error(what, "Send fewer or shorter headers, or a shorter FOUNDRY_API_KEY.")
    if size > _LONG * NATIVE_HEADER_LIMIT:
        return warning(what, "Send fewer or shorter headers.")
    return ok(what)


def _at(url: str, address: str) -> str:
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}").geturl()


def _addresses(host: str, port: int) -> list[str]:
    """Return the loopback addresses that a host means, in the order in which they are tried."""
    given = address_of(plain_host(host))
    if given is not None:
        return [str(given)] if str(given) in LOOPBACK else []
    with suppress(OSError, UnicodeError):
        found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        return [each for each in dict.fromkeys(found) if each in LOOPBACK]
    return []


def _accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), _PATIENCE).close()
    except OSError:
        return False
    return True
