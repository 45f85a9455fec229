"""Each check of the doctor by itself: what it finds where all is well, and where it is not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace
from support import wine
from support.platforms import posix
from support.predicaments import NOBODY, PROXIES, service_process, stop

from foundry_rest.config import Config
from foundry_rest.errors import DeadlineExceeded, FoundryError, ModelNotFound, ServiceUnreachable
from foundry_rest.ops.doctor import DoctorSettings, connectivity, models, packages, system
from foundry_rest.ops.doctor.diagnosis import CHECKS
from foundry_rest.ops.doctor.evidence import Model, Service, id_with_alias
from foundry_rest.ops.doctor.listeners import Listener, listeners_at, state_of
from foundry_rest.ops.doctor.packages import Requirement
from foundry_rest.ops.doctor.service import found_at
from foundry_rest.schema import HealthReport, ModelInfo
from foundry_rest.services.discovery.survey import Place
from foundry_rest.testing import FaultServer, dead_address
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT

HERE, THERE = "http://127.0.0.1:5273", "http://192.0.2.7:5273"
HEALTH = HealthReport(status="ok", url=HERE, generation="2.x", memory_usage=5_000_000)
ONE_BYTE, HUGE = 1, 10**18


@dataclass
class Known:
    """What the checks judge, without anybody who is asked."""

    settings: DoctorSettings = field(default_factory=DoctorSettings)
    environ: dict[str, str] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    named: str | None = None
    url: str = HERE
    report: HealthReport | None = HEALTH
    failure: FoundryError | None = None
    listeners: tuple[Listener, ...] = ()
    found: tuple[Place, ...] = ()
    meant: object = None
    may_be: str = ""
    is_model_named: bool = True

    @property
    def service(self):
        """Return the service."""
        return Service(self.url, None if self.failure else self.report, self.failure, self.config)

    @property
    def model(self):
        """Return the model, or why there is none."""
        if isinstance(self.meant, Exception):
            return Model(failure=self.meant, may_be=self.may_be)
        return Model(self.meant)

    def places(self, source):
        """Return every place, whatever the source."""
        return self.found

    def usable_place(self):
        """Return the place that may be used."""
        return next((each for each in self.found if each.is_usable), None)

    def left(self, share=1.0):
        """Return seconds enough."""
        return 2.0

    seconds = left


def model(**facts):
    """Return a model on disk."""
    return ModelInfo(**{"id": "phi:1", "alias": "phi-4-mini", "cached": True, **facts})


def health(**more):
    """Return the health of a service on this machine."""
    return replace(HEALTH, **more)


def of_size(size, **facts):
    """Return what is known of a model of some size; its folder is here."""
    return Known(meant=model(size=size, **facts), report=health(cache_path=os.curdir))


def named(**more):
    """Return what one place names."""
    return Known(found=(Place("registry file x", "stale: nothing answers", HERE, **more),))


ANSWERS = named(generation="2.x")
NOTHING = Known(found=(Place("registry file x", "none"),))
STALE, SILENT = named(pid=NOBODY), named(pid=os.getpid())
FOREIGN = named(generation="2.x", refusal="a process of another user listens there (pid 7)")
LACKING = ModelNotFound("no such model", advice="Choose one.")
REFUSED = ServiceUnreachable("connection refused", call="detect", url=HERE, advice="Start one.")


def held(**more):
    """Return what is known of a service whose port some process holds."""
    return Known(listeners=(Listener(7, "inference", **more),))


#: Check, severity, words of the text, what is known.
OUTCOMES = [
    ("system.versions", "ok", "CPython", Known()),
    ("settings.variables", "ok", "no FOUNDRY_ variable", Known()),
    ("settings.variables", "ok", "FOUNDRY_RETRIES=2", Known(environ={"FOUNDRY_RETRIES": "2"})),
    ("settings.variables", "ok", "FOUNDRY_API_KEY=***", Known(environ={"FOUNDRY_API_KEY": "abc"})),
    ("settings.variables", "note", "counts as not set", Known(environ={"FOUNDRY_MODEL": " "})),
    ("settings.variables", "error", "cannot be used", Known(environ={"FOUNDRY_RETRIES": "-1"})),
    ("settings.unknown", "", "", Known(environ={"FOUNDRY_RETRIES": "2", "HOME": "x"})),
    ("settings.unknown", "note", "FOUNDRY_PROFILE is not read", Known(environ={"FOUNDRY_PROFILE": "x"})),
    ("settings.unknown", "warning", "is not read", Known(environ={"FOUNDRY_MODLE": "x"})),
    ("settings.unknown", "warning", "foundry_model is not read", Known(environ={"foundry_model": "x"})),
    ("service.address", "ok", "looked for", Known()),
    ("service.address", "ok", "FOUNDRY_ENDPOINT names", Known(named=HERE)),
    ("service.address", "ok", "--url names", Known(named=HERE, settings=DoctorSettings(url=HERE))),
    ("service.health", "ok", "2.x answers at", Known()),
    ("service.health", "warning", "too busy", Known(report=health(status="busy"))),
    ("service.health", "error", "connection refused", Known(failure=REFUSED)),
    ("service.process", "ok", "pid 7 (inference) listens", held()),
    ("service.process", "note", "another user's", held(is_ours=False)),
    ("service.process", "error", "stopped by a signal", held(is_stopped=True)),
    ("service.process", "note", "does not tell", Known()),
    ("service.process", "note", "another machine", Known(url=THERE)),
    ("service.process", "", "", Known(url="")),
    ("service.telemetry", "ok", "sends no telemetry", held(is_told_to_be_silent=True)),
    ("service.telemetry", "note", "without CI=true", held(is_told_to_be_silent=False)),
    ("service.telemetry", "note", "hidden", held()),
    ("service.telemetry", "", "", Known(report=None)),
    ("models.name", "ok", "phi-4-mini is the alias of phi:1, loaded", Known(meant=model(loaded=True))),
    (
        "models.name",
        "ok",
        "phi:1 is an id, loaded",
        Known(config=Config(model="phi:1"), meant=model(loaded=True)),
    ),
    ("models.name", "warning", "on disk, but not loaded", Known(meant=model())),
    ("models.name", "warning", "not loaded", Known(meant=model(cached=None))),
    ("models.name", "error", "not on disk", Known(meant=model(cached=False))),
    (
        "models.name",
        "error",
        "no such model",
        Known(meant=LACKING),
    ),
    ("models.name", "warning", "too late", Known(meant=DeadlineExceeded("too late"))),
    ("models.name", "note", "(phi-4-mini is the default)", Known(meant=model(), is_model_named=False)),
    (
        "models.name",
        "warning",
        "(phi-4-mini is the default)",
        Known(meant=LACKING, is_model_named=False),
    ),
    (
        "models.name",
        "note",
        "may be the alias of phi-x:1",
        Known(meant=LACKING, may_be="phi-x:1"),
    ),
    ("models.name", "note", "does not answer", Known(failure=REFUSED)),
    ("models.disk", "ok", "are free at .; phi:1 needs", of_size(ONE_BYTE, cached=False)),
    ("models.disk", "error", "phi:1 needs", of_size(HUGE, cached=False)),
    ("models.disk", "ok", "are free at .", of_size(HUGE)),
    ("models.disk", "", "", Known(meant=model(cached=False))),
    ("models.disk", "", "", Known(meant=LACKING)),
    ("models.memory", "ok", "phi:1 needs about", of_size(ONE_BYTE)),
    ("models.memory", "warning", "phi:1 needs about", of_size(HUGE)),
    ("models.memory", "ok", "are available", of_size(HUGE, loaded=True)),
    ("models.memory", "", "", Known(report=None, meant=model())),
    ("connectivity.headers", "ok", "bytes that 2.x takes", Known()),
    *(
        ("connectivity.headers", severity, "bytes that 2.x takes", Known(config=Config(api_key="k" * length)))
        for severity, length in (("warning", 3300), ("error", 4000))
    ),
    (
        "connectivity.headers",
        "error",
        "bytes that 2.x takes",
        Known(settings=DoctorSettings(headers={"X-Long": "x" * NATIVE_HEADER_LIMIT})),
    ),
    *(
        (f"service.{source}", *outcome)
        for source in ("registry", "daemon_file")
        for outcome in (
            ("ok", "2.x answers at", ANSWERS),
            ("note", "registry file x: none", NOTHING),
            ("warning", "is stale", STALE),
            ("warning", "runs but does not answer", SILENT),
            ("warning", "stale: nothing answers", named()),
            ("warning", "another user", FOREIGN),
        )
    ),
]


def findings(id, known):
    """Return what a check finds."""
    (check,) = [check for check in CHECKS if check.id == id]
    return list(check.make(known))


def only(id, known):
    """Return the one thing that a check finds."""
    (finding,) = findings(id, known)
    return finding


@pytest.mark.parametrize(("id", "severity", "text", "known"), OUTCOMES)
def test_outcomes(id, severity, text, known):
    """Each check finds what is known; what is not well has an advice."""
    found = findings(id, known)
    assert [each.severity for each in found] == ([severity] if severity else [])
    assert text in "".join(each.text for each in found)
    assert all(each.advice for each in found if each.severity == "error")


#: Checks of which the tests below show both outcomes.
BELOW = {
    "service.command",
    "system.installations",
    "system.commands",
    "system.directories",
    "system.telemetry",
    "packages.required",
    "packages.optional",
    "connectivity.proxies",
    "connectivity.loopback",
    "connectivity.scheme",
}


def test_every_check_is_tried():
    """Each check has two outcomes here, but the one that only tells versions."""
    tried = {id: {row[1:3] for row in OUTCOMES if row[0] == id} for id, *_ in OUTCOMES}
    two = {id for id, outcomes in tried.items() if len(outcomes) > 1}
    assert two | BELOW | {"system.versions"} == {check.id for check in CHECKS}


@posix
def test_a_place_of_a_stopped_process():
    """What was stopped by a signal can go on."""
    with service_process() as (_, pid):
        assert state_of(pid) == "there"
        stop(pid)
        (place,) = named(pid=pid).found
        finding = found_at(place, state_of(pid), is_asked=True)
    assert finding.advice == f"Let it go on: kill -CONT {pid}."
    assert state_of(pid) == "gone"


@pytest.mark.parametrize(("pid", "state"), [(None, ""), (NOBODY, "gone"), (-1, "gone"), (2**70, "gone")])
def test_states(pid, state):
    """A file may name any number, or none."""
    assert state_of(pid) == state


def test_the_command():
    """What each of its subcommands names is told; or once that there is none."""
    assert [each.severity for each in findings("service.command", ANSWERS)] == ["ok", "ok"]
    assert only("service.command", Known()).text == "the foundry command is not on PATH"


def test_offline_places():
    """A place whose address was not asked is no failure."""
    known = Known(found=SILENT.found, settings=DoctorSettings(offline=True))
    assert only("service.registry", known).severity == "ok"
    stale = Known(found=STALE.found, settings=DoctorSettings(offline=True))
    assert only("service.registry", stale).severity == "warning"


def test_installations(monkeypatch, tmp_path):
    """A second copy on the path of imports, or a second version, is a warning."""
    assert [each.severity for each in system.installed(["a"], ["1"])] == ["ok"]
    assert [each.severity for each in system.installed(["a"], ["1", "2"])] == ["warning"]
    assert [each.severity for each in system.installed(["a"], [])] == ["note"]
    for folder in ("one", "two"):
        (tmp_path / folder / "foundry_rest").mkdir(parents=True)
        (tmp_path / folder / "foundry_rest" / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    finding = findings("system.installations", Known())[0]
    assert finding.severity == "warning"
    assert str(tmp_path / "two") in finding.text


def command(folder, name):
    """Make a command that does nothing."""
    folder.mkdir()
    path = folder / (f"{name}.cmd" if os.name == "nt" else name)
    path.touch(mode=0o755)
    return path


def test_commands(monkeypatch, tmp_path):
    """The command that is run is told, and that there are others of its name."""
    one, other = command(tmp_path / "one", "foundry"), command(tmp_path / "other", "foundry")
    monkeypatch.setenv("PATH", str(one.parent))
    assert only("system.commands", Known()).severity == "ok"
    monkeypatch.setenv("PATH", os.pathsep.join((str(one.parent), str(one.parent), str(other.parent))))
    finding = findings("system.commands", Known())[0]
    assert finding.severity == "warning"
    assert os.path.normcase(finding.text).endswith(os.path.normcase(str(other)))


def test_directories(monkeypatch, tmp_path):
    """A file that lies where a directory is needed is found; what does not exist yet can be made."""
    assert only("system.directories", Known()).severity == "ok"
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "below"
    monkeypatch.setattr(system, "PLACES", (("no slots", lambda: blocked, True),))
    finding = only("system.directories", Known())
    assert finding.severity == "warning"
    assert "file is no directory" in finding.text
    assert not system.obstacle(tmp_path / "not" / "yet", is_private=True)


def test_a_directory_that_cannot_be_named(monkeypatch):
    """Without a home nothing can be written there."""

    def homeless():
        raise RuntimeError("no home directory")

    monkeypatch.setattr(system, "PLACES", (("no models", homeless, False),))
    assert "no home directory" in only("system.directories", Known()).text


def test_a_directory_that_cannot_be_written(monkeypatch, tmp_path):
    """The reason names it."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert system.obstacle(tmp_path / "a", is_private=False) == f"{tmp_path} cannot be written"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_directory_that_others_may_write(tmp_path):
    """What must be private is not, and is left as it is."""
    tmp_path.chmod(0o777)
    assert "is not private" in system.obstacle(tmp_path, is_private=True)
    assert not system.obstacle(tmp_path, is_private=False)
    assert tmp_path.stat().st_mode & 0o777 == 0o777


def test_telemetry(monkeypatch):
    """The runtime that is started here must be told to be silent."""
    assert only("system.telemetry", Known()).severity == "ok"
    monkeypatch.setattr(system, "environment", lambda: {"CI": ""})
    finding = only("system.telemetry", Known())
    assert finding.severity == "error"
    assert "CI, ORT_TELEMETRY_DISABLED" in finding.text


ASKED = [Requirement("requests", ((">=", "2.33"),)), Requirement("urllib3", (("<", "3"), (">=", "2.7")))]


@pytest.mark.parametrize(
    ("versions", "severities"),
    [
        ({"requests": "2.33", "urllib3": "2.10.1"}, ["ok"]),
        ({"requests": "2.33.0.dev1", "urllib3": "2.7"}, ["ok"]),
        ({"requests": "2.32.9", "urllib3": "2.7"}, ["error", "ok"]),
        ({"requests": "2.33", "urllib3": "3.0"}, ["error", "ok"]),
        ({"requests": "2.33"}, ["error", "ok"]),
        ({}, ["error", "error"]),
    ],
)
def test_required(versions, severities):
    """What is missing, too old or too new is an error, with the command that mends it."""
    found = list(packages.needed(ASKED, versions.get))
    assert [each.severity for each in found] == severities
    assert all(each.advice.startswith("pip install '") for each in found if each.severity == "error")


def test_optional():
    """What is missing is no fault, what is too old is one."""
    asked = [Requirement("redis", ((">=", "5"),), "redis"), Requirement("rich", ((">=", "13"),), "cli")]
    assert [each.severity for each in packages.wanted(asked, {"redis": "5.1"}.get)] == ["ok", "note"]
    (old,) = packages.wanted(asked[:1], {"redis": "4.9"}.get)
    assert (old.severity, old.advice) == ("warning", "pip install 'foundry_rest[redis]'")


def test_requirements():
    """Those of the installed metadata are read, with their bounds, without what developers need."""
    read = {each.name: each for each in packages.requirements()}
    assert read["urllib3"].extra == ""
    assert set(read["urllib3"].bounds) == {(">=", "2.7"), ("<", "3")}
    assert read["foundry-local-sdk"].extra == "runtime"
    assert not {"pytest", "ruff", "celery"} & set(read)
    assert only("packages.required", Known()).severity == "ok"
    assert findings("packages.optional", Known())


PROXY = {"http": "http://me:pw@proxy.example.com:3128"}


@pytest.mark.parametrize(
    ("url", "proxies", "is_bypassed", "severity", "advice"),
    [
        (HERE, {}, False, "ok", ""),
        (HERE, {"https": "http://p"}, False, "ok", ""),
        (HERE, PROXY, True, "ok", ""),
        (HERE, PROXY, False, "note", "NO_PROXY=localhost,127.0.0.1,::1"),
        (HERE, {"all": "socks5://p:1"}, False, "note", "NO_PROXY"),
        (THERE, PROXY, False, "warning", "NO_PROXY=192.0.2.7"),
        (THERE, PROXY, True, "ok", ""),
    ],
)
def test_through_proxy(url, proxies, is_bypassed, severity, advice):
    """A proxy bites where it gets our requests, and is worth a note where it gets those of others."""
    finding = connectivity.through_proxy(url, proxies, is_bypassed=is_bypassed)
    assert finding.severity == severity
    assert advice in finding.advice
    assert "example" not in finding.text


def test_proxies(monkeypatch):
    """The environment's proxies and NO_PROXY are what counts."""
    assert only("connectivity.proxies", Known()).severity == "ok"
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert only("connectivity.proxies", Known(url="")).severity == "note"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert only("connectivity.proxies", Known()).severity == "ok"


@pytest.mark.parametrize(
    ("host", "meant", "accepting", "severity", "advice"),
    [
        ("localhost", ["::1", "127.0.0.1"], {"127.0.0.1"}, "warning", "Give http://127.0.0.1:80."),
        ("localhost", ["127.0.0.1", "::1"], {"::1"}, "warning", "Give http://[::1]:80."),
        ("localhost", ["::1", "127.0.0.1"], {"127.0.0.1", "::1"}, "ok", ""),
        ("localhost", ["127.0.0.1"], {"127.0.0.1"}, "ok", ""),
        ("localhost", ["::1"], {"127.0.0.1"}, "error", "Give http://127.0.0.1:80."),
        ("127.0.0.1", ["127.0.0.1"], {"::1"}, "error", "Give http://[::1]:80."),
        ("localhost", ["::1"], set(), None, ""),
        ("odd.localhost", [], {"127.0.0.1"}, None, ""),
    ],
)
def test_listens(host, meant, accepting, severity, advice):
    """An address that is tried first and where nobody listens costs time; one that is the only one, all."""
    found = list(connectivity.listens(f"http://{host}:80", meant, accepting))
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert "".join(each.advice for each in found) == advice


def test_loopback():
    """The two addresses of loopback are tried."""
    with FaultServer() as server:
        assert only("connectivity.loopback", Known(url=server.url)).severity == "ok"
        finding = only("connectivity.loopback", Known(url=server.url.replace("127.0.0.1", "[::1]")))
        assert finding.severity == "error"
        assert server.url in finding.advice
        assert findings("connectivity.loopback", Known(url=server.url.replace("127.0.0.1", "localhost")))
    assert findings("connectivity.loopback", Known(url=THERE)) == []


def test_scheme():
    """Where the service does not answer, the other scheme is tried."""
    with FaultServer() as server:
        secure = server.url.replace("http", "https")
        finding = only("connectivity.scheme", Known(url=secure, failure=REFUSED))
        assert (finding.severity, finding.advice) == ("error", f"Give {server.url}.")
        assert findings("connectivity.scheme", Known(url=server.url)) == []
    with dead_address() as url:
        assert findings("connectivity.scheme", Known(url=url, failure=REFUSED)) == []


def test_listeners(server, monkeypatch):
    """The process that serves is this one, which runs and is this user's."""
    for module in ("ops.doctor.listeners", "services.discovery.port_holder"):  # Wine tells nobody's
        monkeypatch.setattr(f"foundry_rest.{module}.pids_at", lambda url: {os.getpid()})
    (found,) = listeners_at(server.url)
    assert found.pid == os.getpid()
    assert found.name or wine.is_wine()
    assert (found.is_stopped, found.is_ours) == (False, True)


def test_a_listener_that_has_gone(monkeypatch):
    """It may end between two looks; its id is what is known of it."""
    monkeypatch.setattr("foundry_rest.ops.doctor.listeners.pids_at", lambda url: {NOBODY})
    assert listeners_at(HERE) == [Listener(NOBODY)]


def test_listeners_that_nobody_tells(monkeypatch):
    """Where the system hides them, there are none."""

    def hidden(url):
        raise OSError("not permitted")

    monkeypatch.setattr("foundry_rest.ops.doctor.listeners.pids_at", hidden)
    assert listeners_at(HERE) == []


def test_what_may_be_an_alias():
    """An id may belong to an alias that nobody tells; where aliases are told, there are no others."""
    listed = [ModelInfo(id="Phi-x:1"), model(id="phi-y:1"), ModelInfo(id="phantom:1")]
    assert id_with_alias("phi", listed) == "Phi-x:1"
    assert id_with_alias("phan", listed) == ""
    assert id_with_alias("phi", listed[1:]) == ""


def test_the_size_on_the_disk(monkeypatch):
    """The room is that of the folder which the service names, if it is here."""
    finding = models.fits_on_disk(model(size=2 * 10**9, cached=False), 10**9, "folder")
    assert finding.severity == "error"
    assert "1.0 GB are free at folder, and phi:1 needs 2.0 GB" in finding.text
