"""Images: whether they are there, and whether their terms were accepted."""

from hpc_operator.preflight import images
from hpc_operator.subscription import Image

from .conftest import partition, surroundings

URN = "microsoft-dsvm:ubuntu-hpc:2204:22.4.1"
ALMA = "almalinux:almalinux-hpc:8_7-hpc-gen2:22.4.1"
PLAN = ("almalinux", "almalinux-hpc", "8_7-hpc-gen2")


def alma():
    return surroundings(partitions=[partition(image={"urn": ALMA.replace("22.4.1", "latest")})])


def test_every_image_is_asked_for_once():
    site = surroundings(partitions=[partition("a"), partition("b")])
    assert images.needed(site) == [
        "Canonical:ubuntu-24_04-lts:server:latest",
        "microsoft-dsvm:ubuntu-hpc:2204:latest",
        URN,
    ]


def test_machines_that_are_there_need_no_image():
    shown = {"virtualmachines/scheduler": {"properties": {}}, "virtualmachines/login-1": {"properties": {}}}
    assert images.needed(surroundings(shown=shown)) == [URN]


def test_an_image_that_the_region_does_not_have():
    site = surroundings()
    assert list(images.check(site, {URN: Image(exists=True)})) == []
    (finding,) = images.check(site, {URN: Image(exists=False)})
    assert finding.message == (
        f"Partition climate-hpc is made from image {URN}, which westeurope does not have: write another image"
    )
    assert finding.blocks == {site.node_sets[0].scale_set_id.lower()}


def test_terms_have_to_be_accepted():
    (finding,) = images.check(alma(), {ALMA: Image(exists=True, plan=PLAN, terms_accepted=False)})
    assert finding.reason == "ImageTermsNotAccepted"
    assert f"run `az vm image terms accept --urn {ALMA}`" in finding.message
    assert finding.blocks


def test_terms_that_nobody_can_tell_of_are_no_finding():
    for accepted in (True, None):
        assert list(images.check(alma(), {ALMA: Image(exists=True, plan=PLAN, terms_accepted=accepted)})) == []


def test_machines_have_to_order_the_plan_that_the_image_has():
    (finding,) = images.check(surroundings(), {URN: Image(exists=True, plan=PLAN, terms_accepted=True)})
    assert (finding.reason, bool(finding.blocks)) == ("ImagePlanMismatch", True)
    assert "which is sold by almalinux/almalinux-hpc/8_7-hpc-gen2, and the operator orders another" in finding.message
    (finding,) = images.check(alma(), {ALMA: Image(exists=True)})
    assert (finding.reason, "which is sold by no plan" in finding.message) == ("ImagePlanMismatch", True)
    shouted = tuple(map(str.upper, PLAN))
    assert list(images.check(alma(), {ALMA: Image(exists=True, plan=shouted, terms_accepted=True)})) == []


def test_an_image_of_a_gallery_is_a_resource_and_not_asked_for():
    site = surroundings()
    (nodes,) = site.node_sets
    nodes.body["properties"]["storageProfile"]["imageReference"] = {"id": "/gallery/image"}
    assert URN not in images.needed(site)
    assert list(images.check(site, {})) == []
