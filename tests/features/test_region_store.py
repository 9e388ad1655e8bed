"""Stored regions: the very pixels of the image files, a disk budget, damage, and resumed builds."""

import os
import shutil
import time
from dataclasses import replace

import pytest
import torch

from promptdistill.artifacts import MANIFEST, read_header, read_sealed, write_sealed
from promptdistill.config.models import LookupConfig, Regions
from promptdistill.errors import UserError
from promptdistill.features import loading, region_build, region_store
from promptdistill.features.loading import AllRegions
from promptdistill.features.lookup_build import Build, build_student_lookup, frozen_encoder
from promptdistill.features.region_build import store_regions
from promptdistill.features.region_store import find_store, open_store
from trainings import sources_in

REGIONS, SIZE = Regions(count=3, seed=5), (32, 24)


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    return build_in(tmp_path_factory.mktemp("store"), tiny)


def build_in(folder, tiny, max_gb=1.0, workers=0):
    images, split = tiny
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_build, "_SHARD_BYTES", 70_000)  # ten images
        store_regions(split.train, images, REGIONS, SIZE, max_gb, folder, workers)
    return folder


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "store")


def test_stored_regions_equal_those_cut_from_files(built, tiny):
    folder, split = tiny
    store = open_store(built, split.train, REGIONS, SIZE)
    assert len(list(built.glob("shard-*"))) == 3
    for number, item in enumerate(split.train):
        pixels, geometry = AllRegions(split.train, folder, REGIONS, SIZE)[number]
        for crops in ([0, 1, 2], [2], [1, 1]):
            read, drawn = store.read(item.path, crops)
            assert torch.equal(read, pixels[crops])
            assert torch.equal(drawn, geometry[crops].int())


def test_beyond_the_budget_nothing_is_kept(tiny, tmp_path):
    _, split = tiny
    needed = len(split.train) * REGIONS.count * 3 * 32 * 24 / 1e9
    build_in(tmp_path / "a", tiny, max_gb=needed)
    assert open_store(tmp_path / "a", split.train, REGIONS, SIZE) is not None
    build_in(tmp_path / "b", tiny, max_gb=needed * 0.99)
    assert open_store(tmp_path / "b", split.train, REGIONS, SIZE) is None
    assert not list((tmp_path / "b").glob("shard-*"))


def test_no_store_for_another_size(built, tiny):
    """A teacher with larger pictures cuts its own."""
    assert open_store(built, tiny[1].train, REGIONS, (48, 48)) is None
    assert open_store(None, tiny[1].train, REGIONS, SIZE) is None


def test_other_images_and_more_regions_are_refused(built, tiny):
    train = tiny[1].train
    assert open_store(built, train, Regions(count=2, seed=5), SIZE) is not None
    for items, regions in (
        (train[1:], REGIONS),
        (train, REGIONS.model_copy(update={"count": 4})),
        (train, REGIONS.model_copy(update={"seed": 6})),
    ):
        with pytest.raises(UserError, match="holds regions of other images, or another geometry"):
            open_store(built, items, regions, SIZE)


def test_damage_is_named(copy, tiny):
    train = tiny[1].train
    path = copy / "shard-00001.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1  # in the pixels of the shard's last region
    path.write_bytes(content)
    store = open_store(copy, train, REGIONS, SIZE)
    last = train[19].path
    store.read(last, [0])
    with pytest.raises(UserError, match=r"shard-00001\.safetensors is damaged .*: delete the file"):
        store.read(last, [2])
    path.write_bytes(content[:300])
    with pytest.raises(UserError, match=r"shard-00001\.safetensors is missing or damaged: delete it and the"):
        open_store(copy, train, REGIONS, SIZE).read(last, [0])
    with pytest.raises(UserError, match=r"holds nothing of the image elsewhere\.png"):
        store.read("elsewhere.png", [0])
    path.unlink()
    with pytest.raises(UserError, match=r"shard-00001\.safetensors is missing: delete manifest\.json"):
        open_store(copy, train, REGIONS, SIZE)
    write_sealed(copy / MANIFEST, {})
    with pytest.raises(UserError, match="is not a manifest of stored regions, or is one of an earlier"):
        open_store(copy, train, REGIONS, SIZE)


def test_an_interrupted_build_goes_on(copy, tiny, monkeypatch):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    (copy / MANIFEST).unlink()
    path = copy / "shard-00002.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    cut = []
    monkeypatch.setattr(
        region_build, "AllRegions", lambda items, *rest: cut.append(items) or AllRegions(items, *rest)
    )
    build_in(copy, tiny, workers=2)
    assert cut == [tiny[1].train[20:]]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_a_killed_change_of_the_store_leaves_none_that_is_mixed(copy, tiny, monkeypatch):
    """Other regions are cut into the same folder; killed in the middle, no manifest describes the mixture."""
    folder, split = tiny
    left = iter(range(1))

    def cut_one(*given):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return AllRegions(*given)

    monkeypatch.setattr(region_build, "_SHARD_BYTES", 70_000)
    monkeypatch.setattr(region_build, "AllRegions", cut_one)
    with pytest.raises(KeyboardInterrupt):
        store_regions(split.train, folder, Regions(count=3, seed=6), SIZE, 1.0, copy)
    assert not (copy / MANIFEST).exists()


def test_an_undecodable_image_leaves_no_manifest(tiny, tmp_path):
    folder, split = tiny
    images = shutil.copytree(folder, tmp_path / "images")
    (images / split.train[3].path).write_text("no picture")
    with pytest.raises(UserError, match=f"^The image .*{split.train[3].path} cannot be decoded"):
        build_in(tmp_path / "store", (images, replace(split, val=[])))
    assert not (tmp_path / "store" / MANIFEST).exists()


def test_the_manifest_lists_its_inputs_and_an_older_one_is_refused(tiny, tmp_path):
    folder, split = tiny
    used = sources_in(tmp_path)
    store_regions(split.train, folder, REGIONS, SIZE, 1.0, tmp_path, sources=used)
    assert read_header(tmp_path / MANIFEST)["inputs"] == used.recorded()
    write_sealed(tmp_path / MANIFEST, read_sealed(tmp_path / MANIFEST) | {"format": 1})
    with pytest.raises(UserError, match="is not a manifest of stored regions, or is one of an earlier"):
        open_store(tmp_path, split.train, REGIONS, SIZE)


@pytest.fixture
def found_in(copy, tiny):
    """Looks for stored regions in folders, a copy of the built ones unless told otherwise."""

    def find(folders=(copy,), split=tiny[1], regions=REGIONS, size=SIZE, images=()):
        return find_store([folder / MANIFEST for folder in folders], split, regions, size, list(images))

    return find


def test_regions_that_happen_to_be_there_are_found(found_in, copy, tiny, tmp_path):
    """Past what cannot be read, with as many regions or more."""
    folder, split = tiny
    images = [folder / item.path for item in split.train]
    for name, content in {"broken": b"{}", "no_json": b"\xff"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST).write_bytes(content)
    folders = [tmp_path / "missing", tmp_path / "broken", tmp_path / "no_json", copy]
    for count in (3, 2):
        assert found_in(folders, regions=Regions(count=count, seed=5), images=images).folder == copy
    assert found_in(folders[:-1]) is None


def test_other_regions_are_not_taken(found_in, copy, tiny, monkeypatch):
    """Of other images, another geometry or size, too few, cut by other code, or with a shard missing."""
    split = tiny[1]
    assert found_in() is not None
    assert found_in(regions=Regions(count=4, seed=5)) is None
    assert found_in(regions=Regions(count=3, seed=6)) is None
    assert found_in(regions=Regions(count=3, seed=5, scale=(0.5, 1))) is None
    assert found_in(size=(24, 24)) is None
    assert found_in(split=replace(split, train=split.train[1:])) is None
    with monkeypatch.context() as patch:
        patch.setattr(region_store, "fingerprint", lambda *_: "other code")
        assert found_in() is None
    (copy / "shard-00001.safetensors").unlink()
    assert found_in() is None


def test_regions_of_images_that_changed_since_are_not_taken(found_in, copy, tiny, tmp_path):
    image = tmp_path / "image.png"
    shutil.copy2(tiny[0] / tiny[1].train[0].path, image)  # as old as the original by its own account
    os.utime(copy / MANIFEST, (0, 0))
    assert found_in(images=[image]) is None
    later = time.time() + 10
    os.utime(copy / MANIFEST, (later, later))
    assert found_in(images=[image]) is not None


def test_features_are_the_same_from_stored_regions(copy, tiny, student, tmp_path, monkeypatch):
    """The same bytes, and no image is opened."""
    folder, split = tiny
    few = split.train[::3]
    store_regions(split.train, folder, REGIONS, student.size, 1.0, copy)
    images = [folder / item.path for item in few]
    found = find_store([copy / MANIFEST], split, REGIONS, student.size, images)
    written = {}
    for name, store in {"files": None, "stored": found}.items():
        build = Build(
            items=few,
            image_folder=folder,
            encoder=frozen_encoder(student, None),
            regions=REGIONS,
            config=LookupConfig(shard_images=3),
            folder=tmp_path / name,
            store=store,
        )
        build_student_lookup(build)
        written[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        monkeypatch.setattr(loading, "open_image", None)
    assert written["files"] == written["stored"]
    assert len(written["files"]) == 4
