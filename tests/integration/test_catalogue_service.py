"""The catalogue through the service: what is offered, to everybody and at a device."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support.accounts import as_account, registered
from tests.support.business import may_file
from tests.support.cloud import RunningCloud, refusal, running_cloud
from verifield.v1 import business_service_pb2, catalog_service_pb2
from verifield.v1.business_service_pb2_grpc import BusinessServiceStub
from verifield.v1.catalog_service_pb2_grpc import CatalogServiceStub

GROUPS = {
    1: {
        "COMPANY_REGISTRATION": "公司注册",
        "NAME_CHECK": "企业核名",
        "COMPANY_CHANGE": "公司变更",
        "COMPANY_CANCELLATION": "公司注销",
        "CERTIFICATE_REGISTRATION": "各类证件登记",
        "BUSINESS_LICENCE": "营业执照办理",
        "CHANGE_HANDLING": "变更办理",
        "BUSINESS_CONSULTING": "工商咨询",
        "ANNUAL_INSPECTION_EXECUTION": "年检办理",
        "COMPANY_REGISTRATION_WORK": "公司登记工作",
    },
    2: {
        "SEAL_ENGRAVING_FILING": "刻章备案",
        "COMPANY_TRANSFER": "公司转让",
        "ENTERPRISE_ANNUAL_INSPECTION": "企业年检",
        "INCORPORATION_UNDERTAKING": "承接注册企业",
        "ENTERPRISE_REGISTRATION": "企业登记业务",
        "AGENCY_BUSINESS_LICENCE": "代办营业执照",
        "AGENCY_QUALIFICATION": "代办资质",
        "AGENCY_PERMIT": "代办许可证",
        "EQUITY_CHANGE": "股权变更",
        "EQUITY_TRANSFER": "股权转让",
    },
    3: {
        "ENTERPRISE_OPENING": "企业开户",
        "ENTERPRISE_CANCELLATION": "企业注销",
        "ENTERPRISE_ANNUAL_REVIEW": "企业年审",
        "HIGH_TECH_RECOGNITION": "高新技术企业认定",
        "BLUE_CHIP_REFORM": "蓝筹股改",
        "CAPITAL_CHANGE": "注册资本变更",
        "NAME_CHANGE": "企业名称变更",
        "SCOPE_CHANGE": "经营范围变更",
        "ADDRESS_CHANGE": "地址变更",
        "OTHER_CHANGE": "其他变更",
    },
    4: {
        "LEGAL_REPRESENTATIVE_CHANGE": "法定代表人变更",
        "EQUITY_CHANGE_REGISTRATION": "股权变更登记",
        "LIMITED_COMPANY_REGISTRATION": "有限公司注册",
        "PARTNERSHIP_REGISTRATION": "合伙（合作）企业注册",
        "SOLE_PROPRIETORSHIP_REGISTRATION": "个人独资企业注册",
        "BRANCH_REGISTRATION": "分公司注册",
        "ADDRESS_REGISTRATION": "注册地址登记",
    },
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def catalog(cloud: RunningCloud) -> Iterator[CatalogServiceStub]:
    with cloud.public_channel() as channel:
        yield CatalogServiceStub(channel)


@pytest.fixture(scope="module")
def business(cloud: RunningCloud) -> Iterator[Any]:
    signed_in = registered(cloud)
    may_file(cloud, signed_in)
    with as_account(cloud, signed_in) as stubs:
        yield stubs(BusinessServiceStub)


def listed(catalog: CatalogServiceStub, group: int = 0) -> list[catalog_service_pb2.ServiceType]:
    request = catalog_service_pb2.ListServiceTypesRequest(group=group)
    return list(catalog.ListServiceTypes(request, timeout=20).service_types)


def begin(business: Any, code: str, text: str = "") -> business_service_pb2.BusinessRequest:
    request = business_service_pb2.CreateBusinessRequestRequest(service_code=code, text=text)
    return business.CreateBusinessRequest(request).business  # type: ignore[no-any-return]


@pytest.mark.req("R030", "R031", "R032", "R033")
@pytest.mark.parametrize(("group", "count"), [(1, 10), (2, 10), (3, 10), (4, 7)])
def test_every_kind_of_business_of_a_group_is_listed(
    catalog: CatalogServiceStub, group: int, count: int
) -> None:
    found = listed(catalog, group)
    assert {one.code: one.name.zh for one in found} == GROUPS[group]
    assert len(found) == count
    assert {one.group for one in found} == {group}
    assert [one.number for one in found] == list(range(1, count + 1))
    assert all(one.name.en and one.name.es for one in found)
    assert [one.code for one in found if one.needs_reason] == (["OTHER_CHANGE"] if group == 3 else [])


def test_all_groups_come_together_and_no_code_stands_twice(catalog: CatalogServiceStub) -> None:
    found = listed(catalog)
    assert len(found) == len({one.code for one in found}) == 37
    for language in ("zh", "en", "es"):
        assert len({getattr(one.name, language) for one in found}) == 37


@pytest.mark.req("R030")
def test_a_request_for_an_unknown_code_is_not_found(business: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        begin(business, "NO_SUCH_BUSINESS")
    status, info, hint = refusal(caught.value)
    assert (status, info.reason) == (grpc.StatusCode.NOT_FOUND, "SERVICE_UNKNOWN")
    assert hint


@pytest.mark.req("R032")
def test_another_change_needs_words(business: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        begin(business, "OTHER_CHANGE")
    status, info, _ = refusal(caught.value)
    assert (status, info.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "text")
    assert uuid.UUID(begin(business, "OTHER_CHANGE", "经营期限延长十年").business_id)
    assert uuid.UUID(begin(business, "ADDRESS_CHANGE").business_id)


def test_a_device_shows_the_menu(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        answer = CatalogServiceStub(channel).ListFunctions(
            catalog_service_pb2.ListFunctionsRequest(), timeout=20
        )
    menu = {one.code: {function.code: function for function in one.functions} for one in answer.modules}
    verify = menu["ENTERPRISE"]["COOP_VERIFY"]
    assert (verify.name.zh, verify.reads_card) == ("协同联网核查", True)
    for module in answer.modules:
        assert module.name.zh
        assert module.name.en
        assert module.name.es
        assert all(one.name.zh and one.name.en and one.name.es for one in module.functions)


def test_the_menu_is_for_devices(catalog: CatalogServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        catalog.ListFunctions(catalog_service_pb2.ListFunctionsRequest(), timeout=20)
    assert refusal(caught.value)[0] in {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
