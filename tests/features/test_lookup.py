"""The region lookup: the teacher's own answers, and every kind of damage."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from promptdistill.artifacts import MANIFEST, read_header, read_sealed, write_sealed
from promptdistill.clip.prompted import PromptedClip
from promptdistill.config.models import LookupConfig, Regions
from promptdistill.data.images import draw_region, normalise, open_image, region_pixels
from promptdistill.data.splits import Split
from promptdistill.errors import UserError
from promptdistill.features import lookup_build as build
from promptdistill.features.lookup import RegionLookup, smooth_top_k
from promptdistill.features.rows import Rows, images_sha256
from trainings import sources_in

REGIONS = Regions(count=3, seed=5)
CONFIG = LookupConfig(batch_size=7, shard_images=10)
TEMPLATE = "a photo of a {}."


def build_of(folder, tiny, teacher, **options):
    images, split = tiny
    encoder = build.Encoder(clip=PromptedClip(teacher, []))
    return build.Build(
        items=split.train,
        image_folder=images,
        encoder=encoder,
        regions=REGIONS,
        config=CONFIG,
        folder=folder,
        **options,
    )


def build_in(folder, tiny, teacher, template=TEMPLATE, **options):
    names = tiny[1].class_names(tiny[1].labels)
    build.build_teacher_lookup(build_of(folder, tiny, teacher, **options), template, names)
    return folder


@pytest.fixture(scope="module")
def built(tiny, random_student, tmp_path_factory):
    return build_in(tmp_path_factory.mktemp("lookup"), tiny, random_student)


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "lookup")


def test_answers_equal_the_teacher_online(built, tiny, random_student):
    """Region by region, features and logits of a plain forward pass, up to half precision."""
    folder, split = tiny
    lookup, clip = RegionLookup(built), PromptedClip(random_student, [])
    with torch.no_grad():
        names = split.class_names(split.labels)
        text = clip.sentence_features([f"a photo of a {name}." for name in names])
        for number in (0, 9, 10, 23):
            for crop in range(REGIONS.count):
                item = split.train[number]
                image = open_image(folder / item.path)
                region = draw_region(item.path, crop, REGIONS, image.size)
                pixels = region_pixels(image, region, random_student.size)[None]
                online = clip.image_features(normalise(pixels, random_student.mean, random_student.std))
                index = torch.tensor([number]), torch.tensor([crop])
                torch.testing.assert_close(lookup.features(*index), online, atol=1e-3, rtol=0)
                scale = random_student.logit_scale
                expected = scale * online @ text.T
                torch.testing.assert_close(lookup.logits(*index, scale), expected, atol=2e-2, rtol=0)


def test_batches_of_any_order(built):
    lookup = RegionLookup(built)
    images, regions = torch.tensor([23, 0, 10, 9, 0]), torch.tensor([2, 0, 1, 1, 2])
    together = lookup.features(images, regions)
    single = [lookup.features(i[None], r[None])[0] for i, r in zip(images, regions, strict=True)]
    assert torch.equal(together, torch.stack(single))


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "classifier.safetensors"])
def test_a_flipped_byte_is_named(copy, name):
    path = copy / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=f"{name} is damaged \\(its checksum is wrong\\): delete manifest.json"
    ):
        RegionLookup(copy)


def test_a_truncated_a_missing_and_a_foreign_file_are_named(copy):
    path = copy / "shard-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"shard-00002\.safetensors is damaged"):
        RegionLookup(copy)
    path.unlink()
    with pytest.raises(UserError, match=r"shard-00002\.safetensors is missing: delete manifest\.json"):
        RegionLookup(copy)
    write_sealed(copy / MANIFEST, {})
    with pytest.raises(UserError, match="is not a manifest of a lookup, or is one of an earlier version"):
        RegionLookup(copy)


def test_a_lookup_of_other_images_or_regions_is_refused(built, tiny):
    lookup = RegionLookup(built)
    lookup.require(images_sha256=images_sha256(tiny[1].train))
    with pytest.raises(UserError, match=r"made with images_sha256 = .*, but 'other' is asked for: build it"):
        lookup.require(images_sha256="other")
    lookup.require_regions(REGIONS)
    lookup.require_regions(Regions(count=2, seed=5))  # fewer of the same are there
    for other in (Regions(count=4, seed=5), Regions(count=3, seed=6)):
        with pytest.raises(UserError, match="made with regions = "):
            lookup.require_regions(other)


def test_logits_of_any_label_set(built, student):
    """One matrix product with any text features; by default the data set's classes."""
    lookup = RegionLookup(built)
    images, regions = torch.tensor([3, 4]), torch.tensor([1, 0])
    text = torch.randn(7, 96, generator=torch.Generator().manual_seed(0))
    logits = lookup.logits(images, regions, student.logit_scale, classifier=text)
    expected = student.logit_scale * lookup.features(images, regions) @ text.T
    assert torch.equal(logits, expected)
    assert lookup.logits(images, regions, student.logit_scale).shape == (2, 4)


@given(
    logits=arrays(np.int64, (3, 8), elements=st.integers(-20, 20), unique=True),
    k=st.integers(1, 10),
)
def test_top_logits(logits, k):
    """The k greatest probabilities stay; the others share what is left."""
    logits = torch.from_numpy(logits).float() / 2
    before, after = logits.softmax(1), smooth_top_k(logits, k).softmax(1)
    for old, new in zip(before, after, strict=True):
        top = old.argsort(descending=True)[:k]
        torch.testing.assert_close(new[top], old[top])
        rest = np.setdiff1d(np.arange(8), top)
        if len(rest):
            mean = old[rest].mean().expand(len(rest))
            torch.testing.assert_close(new[rest], mean, atol=1e-6, rtol=1e-4)


def test_another_template_keeps_the_features(copy, tiny, random_student, monkeypatch):
    """Text features are one small file beside them."""
    shards = {path.name: path.read_bytes() for path in copy.glob("shard-*")}
    monkeypatch.setattr(build, "_encode", lambda *_: pytest.fail("nothing may be encoded"))
    build_in(copy, tiny, random_student, template="a drawing of a {}.")
    assert {path.name: path.read_bytes() for path in copy.glob("shard-*")} == shards
    assert RegionLookup(copy).manifest.classifier.template == "a drawing of a {}."


def test_the_manifest_lists_its_inputs(tiny, random_student, tmp_path):
    """Another split that leaves the training images alone changes what is listed, and no shard."""
    written = {}
    for content in "ab":
        used = sources_in(tmp_path, content)
        build_in(tmp_path, tiny, random_student, sources=used)
        assert read_header(tmp_path / MANIFEST)["inputs"] == used.recorded()
        written[content] = {path.name: path.read_bytes() for path in tmp_path.glob("shard-*")}
    assert written["a"] == written["b"]


def test_a_manifest_of_an_earlier_version_is_refused(copy):
    manifest = read_sealed(copy / MANIFEST)
    for older in (manifest | {"format": 3}, {key: manifest[key] for key in manifest if key != "origin"}):
        write_sealed(copy / MANIFEST, older)
        with pytest.raises(UserError, match="is not a manifest of a lookup, or is one of an earlier version"):
            RegionLookup(copy)


def test_rows_of_images(tiny, tmp_path):
    train, other = tiny[1].train, tiny[1].test[0]
    rows = Rows(train, tmp_path)
    assert rows[train[7].path] == 7
    assert rows.of([train[5], train[0]]).tolist() == [5, 0]
    assert rows.of([]).tolist() == []
    with pytest.raises(UserError, match=f"{tmp_path} holds nothing of the image {other.path}, which"):
        rows.of([train[0], other])


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1,)])
def test_parts_make_the_same_lookup(order, built, tiny, random_student, tmp_path):
    """Built part by part, in any order, and even with a part left out: the same bytes."""
    for part in order:
        build.build_part(build_of(tmp_path, tiny, random_student), part, 2)
        assert not (tmp_path / MANIFEST).exists()
    assert len(list(tmp_path.glob("shard-*"))) == sum((2, 1)[part] for part in order)
    build_in(tmp_path, tiny, random_student)
    expected = {path.name: path.read_bytes() for path in built.iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == expected


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, content: path.unlink(),
        lambda path, content: path.write_bytes(content[:50]),
        lambda path, content: path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]),
    ],
    ids=["missing", "cut", "flipped byte"],
)
def test_an_interrupted_build_goes_on(damage, copy, tiny, random_student, monkeypatch):
    """Whole shards are kept; a missing, cut or damaged one is made again, with the same bytes."""
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    (copy / MANIFEST).unlink()
    damage(copy / "shard-00000.safetensors", before["shard-00000.safetensors"])
    encoded = []
    encode = build._encode

    def counting(build, dtype, start, *rest):
        encoded.append(start)
        return encode(build, dtype, start, *rest)

    monkeypatch.setattr(build, "_encode", counting)
    build_in(copy, tiny, random_student)
    assert encoded == [0]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_a_lookup_of_something_else_is_not_reused(copy, tiny, random_student, student):
    """Shards of another teacher, split or geometry are replaced."""
    first = (copy / "shard-00000.safetensors").read_bytes()
    build_in(copy, tiny, student)
    assert (copy / "shard-00000.safetensors").read_bytes() != first
    lookup = RegionLookup(copy)
    assert lookup.manifest.origin.encoder_sha256 == student.weights_sha256


def test_shards_of_other_code_are_not_reused(copy, tiny, random_student, monkeypatch):
    monkeypatch.setattr(build, "fingerprint", lambda *_: "other code")
    encoded = []
    encode = build._encode
    monkeypatch.setattr(build, "_encode", lambda *a: encoded.append(1) or encode(*a))
    build_in(copy, tiny, random_student)
    assert len(encoded) == 3


def test_changed_pictures_are_encoded_again(copy, tiny, random_student, tmp_path):
    """Another picture under the same name: its shard is made again, and no other."""
    folder, split = tiny
    images = shutil.copytree(folder, tmp_path / "images")
    shutil.copy(images / split.train[0].path, images / split.train[12].path)
    before = {path.name: path.read_bytes() for path in copy.glob("shard-*")}
    build_in(copy, (images, split), random_student)
    changed = {path.name for path in copy.glob("shard-*") if path.read_bytes() != before[path.name]}
    assert changed == {"shard-00001.safetensors"}


def test_shards_of_a_larger_lookup_are_removed(copy, tiny, random_student):
    folder, split = tiny
    build_in(copy, (folder, replace(split, train=split.train[:10])), random_student)
    assert [path.name for path in copy.glob("shard-*")] == ["shard-00000.safetensors"]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_undecodable_image_leaves_no_manifest(workers, tiny, random_student, tmp_path):
    folder, split = tiny
    images = shutil.copytree(folder, tmp_path / "images")
    (images / split.train[3].path).write_text("no picture")
    broken = images, Split(train=split.train, val=[], test=[])
    with pytest.raises(UserError, match=f"^The image .*{split.train[3].path} cannot be decoded"):
        build_in(tmp_path / "lookup", broken, random_student, workers=workers)
    assert not (tmp_path / "lookup" / MANIFEST).exists()
