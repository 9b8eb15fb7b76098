"""The stores of a running service: what it tells of them, its commands, and a site that burns down."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from cloud.access.roles import Role
from cloud.cli import app as commands
from cloud.storage_settings import RemoteStore, StorageSettings
from tests.support.buckets import SECRET, Provider, running_providers
from tests.support.certifications import certifying, joined
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import add_person, channel_of
from tests.support.samples import pdf
from verifield.v1 import audit_pb2, audit_service_pb2, certification_service_pb2, storage_service_pb2
from verifield.v1.storage_service_pb2_grpc import StorageServiceStub

KIND = "id_card_front"
FAR = {"role": "backup", "provider": "X", "folder": "/x"}
NAMES = ["main", "second", "alpha", "beta"]


@dataclass
class Site:
    """Settings with two local stores, whose files two providers have too; a prefix for each test."""

    providers: list[Provider]

    def settings(self, folder: Path) -> dict[str, Any]:
        return {
            "object_mirrors": {"second": folder / "second"},
            "remote_stores": {
                name: RemoteStore(
                    role=role,  # type: ignore[arg-type]
                    provider=provider,
                    endpoint=server.endpoint,
                    bucket="files",
                    prefix=f"{folder.name}/{name}",
                    credentials=server.credentials,
                )
                for name, role, provider, server in (
                    ("alpha", "offsite", "Alpha Cloud", self.providers[0]),
                    ("beta", "backup", "Beta Storage", self.providers[1]),
                )
            },
        }

    def write_config(self, path: Path, data: Path, folder: Path) -> Path:
        lines = [f'data = "{data}"', f'object_mirrors = {{ second = "{folder / "second"}" }}']
        for name, one in self.settings(folder)["remote_stores"].items():
            lines.append(f"[remote_stores.{name}]")
            for key in ("role", "provider", "endpoint", "bucket", "prefix", "credentials"):
                lines.append(f'{key} = "{getattr(one, key)}"')
        path.write_text("\n".join(lines))
        return path


def run(*words: object, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(commands, [*map(str, words), "--json"])
    assert result.exit_code == status, result.output
    assert SECRET not in result.output
    return dict(json.loads(result.stdout.strip().splitlines()[-1]))


def settled(cloud: RunningCloud, *, stores: int = 4) -> dict[str, Any]:
    """How the stores are once nothing waits any more, whether a job of the service did it or the command."""
    while True:
        CliRunner().invoke(commands, ["storage", "repair", "--data", str(cloud.data), "--json"])
        found = status_of(cloud)
        if (
            not any(one["lagging"] + one["corrupt"] for one in found["stores"])
            and len(found["stores"]) == stores
        ):
            return found
        threading.Event().wait(0.05)


def status_of(cloud: RunningCloud) -> dict[str, Any]:
    result = CliRunner().invoke(commands, ["storage", "status", "--data", str(cloud.data), "--json"])
    found = dict(json.loads(result.stdout))
    assert result.exit_code == (found["health"] != "ok")
    return found


def figures_of(cloud: RunningCloud) -> dict[str, dict[str, float]]:
    """The figures of the stores, by name and by store."""
    with urllib.request.urlopen(f"http://{cloud.endpoint.metrics_listen}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "store" in sample.labels:
                name = " ".join(sample.labels[key] for key in ("store", "state") if key in sample.labels)
                found.setdefault(sample.name, {})[name] = sample.value
    return found


def audited(cloud: RunningCloud, action: str) -> list[Any]:
    request = audit_service_pb2.ListAuditEventsRequest(action=action)
    return list(cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events)


def objects_in(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and len(path.name) == 64
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_providers(folder) as providers:
        yield Site(providers)


@pytest.mark.req("R144")
def test_each_reading_of_an_object_has_an_audit_row_and_no_other_may_read(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud, certifying(cloud, reviewers=0) as office:
        holder, other = office.applicant(), office.applicant()
        application_id = holder.create()
        content = pdf("a synthetic certificate")
        material = holder.upload(application_id, KIND, content)
        request = certification_service_pb2.DownloadFileRequest(
            application_id=application_id, material_id=material.material_id
        )
        for _ in range(2):
            assert joined(list(holder.stub.DownloadFile(request))).read() == content
        with pytest.raises(grpc.RpcError) as refused:
            list(other.stub.DownloadFile(request))
        assert refusal(refused.value)[0] in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)
        holder_path, other_path = (f"account/{one.account_id}" for one in (holder, other))
    # Its end has written what waited.
    with running_cloud(tmp_path / "data") as cloud:
        events = audited(cloud, "objects.read")
        assert {event.caller for event in events} == {holder_path}
        assert {event.outcome for event in events} == {audit_pb2.AUDIT_OUTCOME_READ}
        counts = [next((fact.value for fact in event.facts if fact.key == "count"), "1") for event in events]
        assert sum(map(int, counts)) == 2
        [subject] = {event.subject for event in events}
        assert subject.startswith("objects/")
        assert other_path not in {event.caller for event in events}
        held = [path.read_bytes() for path in (cloud.data / "objects").rglob("*") if path.is_file()]
        assert held
        assert not any(b"%PDF" in one or b"synthetic" in one for one in held)


def test_operators_see_and_mend_the_stores_and_nobody_else_does(site: Site, tmp_path: Path) -> None:
    """Least privilege: who looks at devices has no business at the stores."""
    with (
        running_cloud(tmp_path / "data", **site.settings(tmp_path)) as cloud,
        certifying(cloud, reviewers=0) as office,
    ):
        holder = office.applicant()
        application_id = holder.create()
        holder.upload(application_id, KIND, pdf())
        found = settled(cloud)
        assert [one["name"] for one in found["stores"]] == NAMES
        assert (found["health"], found["copies"]) == ("ok", 1)
        main = objects_in(cloud.data / "objects")
        assert objects_in(tmp_path / "second") == main
        [name] = main
        listed = run("storage", "list", "second", "--data", cloud.data)["replicas"]
        assert [(one["sha256"], one["state"]) for one in listed] == [(name, "ok")]
        path = tmp_path / "second" / name[:2] / name
        path.write_bytes(path.read_bytes()[:-1])
        done = run("storage", "scrub", "--data", cloud.data)["stores"]
        assert {one["store"]: one["mended"] for one in done} == {
            "main": 0,
            "second": 1,
            "alpha": 0,
            "beta": 0,
        }
        assert path.read_bytes() == main[name]
        assert run("storage", "list", "second", "--state", "repaired", "--data", cloud.data)["replicas"]
        (tmp_path / "second").rename(tmp_path / "away")
        refused_store = CliRunner().invoke(
            commands, ["storage", "add", "second", "--data", str(cloud.data), "--json"]
        )
        assert (refused_store.exit_code, "STORE_REFUSED" in refused_store.output) == (6, True)
        found = status_of(cloud)
        assert (found["health"], found["stores"][1]["fault"]) == ("degraded", "AWAY")
        added = run("storage", "add", "second", "--renew", "--yes", "--data", cloud.data)
        assert (added["up"], added["lagging"]) == (True, 1)
        settled(cloud)
        assert objects_in(tmp_path / "second") == main
        assert {event.subject for event in audited(cloud, "storage.add")} == {"stores/second"}
        unknown = CliRunner().invoke(commands, ["storage", "scrub", "third", "--data", str(cloud.data)])
        assert unknown.exit_code == 6
        for role in (Role.VIEWER, Role.WINDOW_STAFF, Role.REVIEWER):
            person = add_person(cloud, f"some-{role.value.replace('_', '-')}", role)
            with channel_of(cloud, person) as channel, pytest.raises(grpc.RpcError) as refused:
                StorageServiceStub(channel).GetStorageStatus(
                    storage_service_pb2.GetStorageStatusRequest(), timeout=20
                )
            assert refusal(refused.value)[0] is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.req("R142")
def test_how_far_a_store_elsewhere_lags_is_a_figure(tmp_path: Path) -> None:
    far = RemoteStore(role="offsite", provider="Our second site", folder=tmp_path / "line" / "far")
    (tmp_path / "line").write_text("no folder: the other site cannot be reached")
    settings = {"remote_stores": {"far": far}, "metrics_listen": "127.0.0.1:0"}
    with (
        running_cloud(tmp_path / "data", **settings) as cloud,
        certifying(cloud, reviewers=0) as office,
    ):
        holder = office.applicant()
        holder.upload(holder.create(), KIND, pdf())
        cloud.clock.offset += timedelta(hours=2)
        figures = figures_of(cloud)
        assert figures["verifield_storage_up"] == {"main": 1, "far": 0}
        assert 7200 <= figures["verifield_storage_lag_seconds"]["far"] < 9000
        assert figures["verifield_storage_lag_seconds"]["main"] == 0
        assert figures["verifield_storage_files"]["far lagging"] == 1
        found = status_of(cloud)
        assert (found["health"], found["stores"][1]["fault"]) == ("degraded", "AWAY")
        assert found["stores"][1]["lag_s"] >= 7200
        (tmp_path / "line").unlink()
        run("storage", "add", "far", "--data", cloud.data)
        found = settled(cloud, stores=2)
        assert (found["health"], found["stores"][1]["lag_s"], found["stores"][1]["ok"]) == ("ok", 0, 1)
        assert objects_in(tmp_path / "line" / "far") == objects_in(cloud.data / "objects")
        in_use = CliRunner().invoke(
            commands, ["storage", "remove", "far", "--yes", "--data", str(cloud.data), "--json"]
        )
        assert (in_use.exit_code, "STORE_REFUSED" in in_use.output) == (6, True)
    with running_cloud(tmp_path / "data") as cloud:
        assert run("storage", "remove", "far", "--yes", "--data", cloud.data)["forgotten"] == 1
        assert objects_in(tmp_path / "line" / "far")
        gone = CliRunner().invoke(commands, ["storage", "remove", "far", "--yes", "--data", str(cloud.data)])
        assert gone.exit_code == 6


@pytest.mark.req("R142")
@pytest.mark.req("R143")
def test_a_site_that_burns_down_comes_back_from_either_provider(site: Site, tmp_path: Path) -> None:
    """Database, keys and files: fetched from a provider, restored and served, with the same digests."""
    data, kept = tmp_path / "data", tmp_path / "kept"
    content = pdf("what the fire took")
    with (
        running_cloud(data, **site.settings(tmp_path)) as cloud,
        certifying(cloud, reviewers=0) as office,
    ):
        holder = office.applicant()
        application_id = holder.create()
        material = holder.upload(application_id, KIND, content)
        settled(cloud)
        before = objects_in(data / "objects")
    kept.mkdir()
    root = Path(shutil.copy(data / "root.pem", kept / "root.pem"))
    config = site.write_config(kept / "cloud.toml", data, tmp_path)
    made = run("backup", "create", tmp_path / "backups", "--plain", "--config", config)
    targets = {one["name"]: (one["provider"], one["files"], one["behind"]) for one in made["targets"]}
    assert targets == {"alpha": ("Alpha Cloud", 1, 0), "beta": ("Beta Storage", 1, 0)}
    pushed = run("storage", "push", made["backup"], "--config", config)["stores"]
    assert [(one["provider"], one["sent"]) for one in pushed] == [("Alpha Cloud", 2), ("Beta Storage", 2)]
    [again, _] = run("storage", "push", made["backup"], "--config", config)["stores"]
    assert again["sent"] == 0
    for path in (data, tmp_path / "second", tmp_path / "backups"):
        shutil.rmtree(path)
    for name in ("alpha", "beta"):
        new = tmp_path / f"new-{name}"
        config = site.write_config(kept / f"{name}.toml", new, tmp_path)
        assert len(run("storage", "backups", name, "--config", config)["backups"]) == 1
        fetched = run("storage", "fetch", name, tmp_path / name, "--root", root, "--config", config)
        assert fetched["lost"] == []
        verified = run("backup", "verify", fetched["backup"], "--root", root)
        assert {one["provider"] for one in verified["targets"]} == {"Alpha Cloud", "Beta Storage"}
        restored = run("restore", fetched["backup"], "--data", new, "--root", root)
        assert (restored["restored"], restored["lost_media"]) == (True, [])
        assert objects_in(new / "objects") == before
        shutil.rmtree(new / "objects")  # and where only the database came back
        done = run("storage", "restore", "--yes", "--config", config)["stores"]
        assert [(one["store"], one["restored"]) for one in done] == [("main", 1), ("second", 1)]
        assert objects_in(new / "objects") == objects_in(tmp_path / "second") == before
        with (
            running_cloud(new, **site.settings(tmp_path)) as cloud,
            certifying(cloud, reviewers=0) as office,
        ):
            settled(cloud)
            request = certification_service_pb2.DownloadFileRequest(
                application_id=application_id, material_id=material.material_id
            )
            assert joined(list(office.again(holder).stub.DownloadFile(request))).read() == content
        shutil.rmtree(tmp_path / "second")


def test_a_backup_takes_from_a_mirror_what_the_first_folder_has_damaged(tmp_path: Path) -> None:
    mirrors = {"second": tmp_path / "second"}
    with (
        running_cloud(tmp_path / "data", object_mirrors=mirrors) as cloud,
        certifying(cloud, reviewers=0) as office,
    ):
        holder = office.applicant()
        holder.upload(holder.create(), KIND, pdf())
    before = objects_in(tmp_path / "data" / "objects")
    [name] = before
    for damage in (lambda path: path.write_bytes(b"damaged"), Path.unlink):
        damage(tmp_path / "data" / "objects" / name[:2] / name)
        config = tmp_path / "cloud.toml"
        config.write_text(
            f'data = "{tmp_path / "data"}"\nobject_mirrors = {{ second = "{tmp_path / "second"}" }}\n'
        )
        made = run("backup", "create", tmp_path / "backups", "--plain", "--config", config)
        assert made["damaged_media"] == 0
        assert objects_in(Path(made["backup"]) / "objects") == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"object_mirrors": {"main": "/x"}}, "main is the name"),
        ({"object_mirrors": {"Second": "/x"}}, "pattern"),
        ({"object_copies": 2}, "more than there are local stores"),
        ({"remote_stores": {"far": {"role": "offsite", "provider": "X"}}}, "either a folder or a bucket"),
        (
            {
                "remote_stores": {
                    "far": {
                        "role": "backup",
                        "provider": "X",
                        "bucket": "b-1",
                        "endpoint": "http://s3.example",
                    }
                }
            },
            "https",
        ),
        (
            {"remote_stores": {"far": {"role": "backup", "provider": "X", "folder": "/x", "secret": "y"}}},
            "extra",
        ),
        (
            {
                "object_mirrors": {"far": "/x"},
                "remote_stores": {"far": FAR},
            },
            "same name",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        StorageSettings.model_validate(settings)
