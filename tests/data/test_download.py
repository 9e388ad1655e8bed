"""Downloads from a real local server, unpacking, and the data sets' entries in config/datasets."""

import gzip
import hashlib
import io
import tarfile
import tempfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from promptdistill.config.entries import DatasetConfig, Source, load_dataset
from promptdistill.data.download import fetch
from promptdistill.errors import UserError
from promptdistill.files import sha256
from promptdistill.validation import known_names

CONFIG = Path(__file__).parents[2] / "config"
PICTURE = np.random.default_rng(0).bytes(300_000)  # does not compress, so archives stay long
SPLIT = b'{"train": [["cat/1.jpg", 0, "cat"]]}'
FILES = {"pets/images/cat/1.jpg": PICTURE, "pets/README": b"hello"}


class Handler(BaseHTTPRequestHandler):
    """GET of one file, whole or from a byte on; `server` holds the files and the switches."""

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        body = self.server.files.get(self.path)
        if body is None:
            return self.send_error(404)
        etag = f'"{hashlib.md5(body).hexdigest()}"' if self.server.etags else None
        fresh = self.headers.get("If-Range", etag) == etag
        start = int(wanted[6:-1]) if wanted and self.server.ranges and fresh else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if etag:
            self.send_header("ETag", etag)
        for header in self.server.headers.items():
            self.send_header(*header)
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[start:end])  # HTTP/1.0: the connection closes here

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server on the loopback; `cuts`: bytes after which it hangs up, one for each request to come."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.files, served.headers, served.requests, served.cuts = {}, {}, [], []
        served.ranges = served.etags = True
        served.url = f"http://127.0.0.1:{served.server_port}"
        threading.Thread(target=served.serve_forever, args=[0.01], daemon=True).start()
        yield served
        served.shutdown()


def tar(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            body = b"" if member is content else content
            member.name, member.size = name, len(body)
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


def zipped(files, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def link(target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


def zip_link():
    member = zipfile.ZipInfo("pets/images/link")
    member.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "/etc")
    return buffer.getvalue()


def hash_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def offer(server, archive=None, hashed=True, **changes):
    """The sources of the data set "pets": its split file, and an archive with its images."""
    archive = tar(FILES) if archive is None else archive
    server.files |= {"/split.json": SPLIT, "/pets.tar.gz": archive}
    options = {"extract_to": "pets", "strip": 1, "hash": hash_of(archive) if hashed else None} | changes
    return [
        Source(name="split.json", url=f"{server.url}/split.json", hash=hash_of(SPLIT)),
        Source(name="pets.tar.gz", url=f"{server.url}/pets.tar.gz", **options),
    ]


def pets(sources, fallback=(), **changes):
    options = {"folder": "pets", "images": "images", "split": "split.json", "template": "{}."} | changes
    return DatasetConfig(sources=sources, fallback=list(fallback), **options)


def assert_complete(data_root, picture=PICTURE):
    assert (data_root / "pets/split.json").read_bytes() == SPLIT
    assert (data_root / "pets/images/cat/1.jpg").read_bytes() == picture
    assert sorted(path.name for path in data_root.iterdir()) == [".downloads", "pets"]


def assert_nothing_placed(data_root):
    assert [path.name for path in data_root.iterdir()] == [".downloads"]


def test_fresh_download(server, tmp_path):
    fetch("pets", pets(offer(server)), tmp_path)
    assert_complete(tmp_path)
    assert server.requests == [("/split.json", None), ("/pets.tar.gz", None)]
    kept = sorted(path.name for path in (tmp_path / ".downloads/pets").iterdir())
    assert kept == ["pets.tar.gz", "split.json"]


def test_a_kept_download_is_not_requested_again(server, tmp_path):
    dataset = pets(offer(server))
    fetch("pets", dataset, tmp_path)
    (tmp_path / "pets").rename(tmp_path / "elsewhere")
    fetch("pets", dataset, tmp_path)
    assert (tmp_path / "pets/split.json").exists()
    assert len(server.requests) == 2


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("etags", [True, False])
def test_a_cut_download_goes_on_where_it_broke_off(server, tmp_path, hashed, etags):
    server.etags = etags
    server.cuts = [len(SPLIT), 200_000]
    fetch("pets", pets(offer(server, hashed=hashed)), tmp_path)
    assert_complete(tmp_path)
    assert [path for path, _ in server.requests] == ["/split.json", "/pets.tar.gz", "/pets.tar.gz"]
    asked = server.requests[2][1]
    if hashed or etags:  # else nothing would tell whether the parts belong together
        assert 100_000 < int(asked.removeprefix("bytes=").removesuffix("-")) <= 200_000
    else:
        assert asked is None


@pytest.mark.parametrize("ranges", [True, False])
def test_a_later_run_goes_on_or_starts_anew(server, tmp_path, ranges):
    dataset = pets(offer(server))
    server.cuts = [len(SPLIT), 200_000, 0]
    with pytest.raises(UserError, match="no connection, or it broke off"):
        fetch("pets", dataset, tmp_path)
    assert_nothing_placed(tmp_path)
    server.requests.clear()
    server.ranges = ranges
    fetch("pets", dataset, tmp_path)
    assert_complete(tmp_path)
    assert [path for path, _ in server.requests] == ["/pets.tar.gz"]
    assert server.requests[0][1] is not None


def test_a_file_that_changed_meanwhile_is_taken_whole(server, tmp_path):
    dataset = pets(offer(server, hashed=False))
    server.cuts = [len(SPLIT), 200_000, 0]
    with pytest.raises(UserError):
        fetch("pets", dataset, tmp_path)
    other = PICTURE[::-1]
    server.files["/pets.tar.gz"] = tar({"pets/images/cat/1.jpg": other})
    fetch("pets", dataset, tmp_path)
    assert_complete(tmp_path, picture=other)


@pytest.mark.parametrize("surplus", [b"", b"of an older file"])
def test_a_part_as_long_as_the_file_or_longer(server, tmp_path, surplus):
    dataset = pets(offer(server))
    partial = tmp_path / ".downloads/pets/pets.tar.gz.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.files["/pets.tar.gz"] + surplus)
    fetch("pets", dataset, tmp_path)
    assert_complete(tmp_path)
    assert len(server.requests) == (3 if surplus else 2)


def test_an_archive_labelled_as_an_encoding_arrives_as_stored(server, tmp_path):
    server.headers = {"Content-Encoding": "gzip"}
    split = gzip.compress(SPLIT)
    sources = offer(server)
    server.files["/split.json"] = split
    sources[0] = sources[0].model_copy(update={"hash": hash_of(split)})
    fetch("pets", pets(sources), tmp_path)
    assert (tmp_path / "pets/split.json").read_bytes() == split


def test_wrong_bytes_fall_back_to_the_mirror(server, tmp_path, caplog):
    server.files["/mirror.zip"] = zipped(FILES | {"pets/split.json": SPLIT, "__MACOSX/pets/._x": b"junk"})
    mirror = Source(name="mirror.zip", url=f"{server.url}/mirror.zip", extract_to="pets", strip=1)
    fetch("pets", pets(offer(server, hash=hash_of(b"else")), [mirror]), tmp_path)
    assert_complete(tmp_path)
    assert sorted(path.name for path in (tmp_path / "pets").iterdir()) == ["README", "images", "split.json"]
    assert f"{server.url}/pets.tar.gz is not the published file, its hash differs" in caplog.text


def test_when_all_fail_one_sentence_says_what_to_do(server, tmp_path):
    mirror = Source(name="mirror.zip", url=f"{server.url}/mirror.zip", extract_to="pets")
    dataset = pets(offer(server, hash=hash_of(b"else")), [mirror], page="https://example.org/pets")
    with pytest.raises(UserError) as error:
        fetch("pets", dataset, tmp_path)
    assert str(error.value) == (
        f"Data set pets is not in {tmp_path}/pets and could not be downloaded ("
        f"{server.url}/pets.tar.gz is not the published file, its hash differs; "
        f"{server.url}/mirror.zip failed: the server answered 404 Not Found): "
        "get it from https://example.org/pets by hand, and place in that folder split.json, "
        "and in images the images that it names."
    )
    assert_nothing_placed(tmp_path)
    assert [path.name for path in (tmp_path / ".downloads/pets").iterdir()] == ["split.json"]


def test_size_is_checked(server, tmp_path):
    with pytest.raises(UserError, match=r"pets.tar.gz has \d+ bytes instead of 7"):
        fetch("pets", pets(offer(server, hashed=False, size=7)), tmp_path)
    assert not (tmp_path / ".downloads/pets/pets.tar.gz").exists()


def test_a_web_page_is_no_file(server, tmp_path):
    sources = offer(server)
    server.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(UserError, match="answered with a web page instead of the file"):
        fetch("pets", pets(sources), tmp_path)


def test_no_server_at_all(server, tmp_path):
    sources = offer(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"split.json failed: there is no connection"):
        fetch("pets", pets(sources), tmp_path)


def test_a_full_or_closed_disk_is_named(server, tmp_path):
    (tmp_path / ".downloads").write_text("in the way")
    with pytest.raises(UserError, match="Data set pets cannot be stored in"):
        fetch("pets", pets(offer(server)), tmp_path)


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz", "zip"])
def test_archive_formats(server, tmp_path, mode):
    archive = zipped(FILES) if mode == "zip" else tar(FILES, mode)
    fetch("pets", pets(offer(server, archive)), tmp_path)
    assert_complete(tmp_path)


def encrypted_zip():
    archive = bytearray(zipped(FILES))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + flags] |= 1
    return bytes(archive)


def zip_with(**fields):
    """A zip whose first member's entry says something else: offsets are those of both of its headers."""
    archive = bytearray(zipped(FILES))
    local, central = archive.index(b"PK\x03\x04"), archive.index(b"PK\x01\x02")
    for name, value in fields.items():
        width, in_local, in_central = {"method": (2, 8, 10), "date": (4, 10, 12), "size": (4, 22, 24)}[name]
        for start in (local + in_local, central + in_central):
            archive[start : start + width] = value.to_bytes(width, "little")
    return bytes(archive)


def zip_named(name, flags=0x800):
    """A zip with a member of any bytes as its name."""
    archive = zipped({"x" * len(name): b"x"}).replace(b"x" * len(name), name)
    archive = bytearray(archive)
    archive[archive.index(b"PK\x01\x02") + 8 : archive.index(b"PK\x01\x02") + 10] = flags.to_bytes(
        2, "little"
    )
    return bytes(archive)


def dated(time):
    member = tarfile.TarInfo()
    member.mtime = time
    return member


def sparse():
    member = tarfile.TarInfo()
    member.type = tarfile.GNUTYPE_SPARSE
    return member


def several(*members):
    """A tar with members of any names, also twice."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


UNSAFE = {
    "tar, ..": tar(FILES | {"pets/../../evil": b"x"}),
    "tar, absolute path": tar(FILES | {"/evil": b"x"}),
    "tar, link outside": tar(FILES | {"pets/images/evil": link("../../../evil")}),
    "tar, link outside once stripped": tar(FILES | {"pets/images/evil": link("../../evil")}),
    "tar, absolute link": tar(FILES | {"pets/images/evil": link("/etc")}),
    "tar, hard link outside": tar(FILES | {"pets/evil": link("../evil", tarfile.LNKTYPE)}),
    "tar, device": tar(FILES | {"pets/evil": link("", tarfile.CHRTYPE)}),
    "zip, ..": zipped(FILES | {"pets/../../evil": b"x"}),
    "zip, absolute path": zipped(FILES | {"/evil": b"x"}),
    "zip, link": zip_link(),
    "tar, link inside": tar(FILES | {"pets/images/soft.jpg": link("cat/1.jpg")}),
    "tar, hard link inside": tar(FILES | {"pets/hard.jpg": link("pets/images/cat/1.jpg", tarfile.LNKTYPE)}),
    "tar, fifo": tar(FILES | {"pets/evil": link("", tarfile.FIFOTYPE)}),
    "tar, sparse": tar(FILES | {"pets/evil": sparse()}),
    "tar, name that is not UTF-8": tar(FILES | {"pets/\udcff.jpg": b"x"}),
    "tar, long name": tar(FILES | {f"pets/{'a' * 300}.jpg": b"x"}),
    "tar, long path": tar(FILES | {f"pets/{'a/' * 3000}1.jpg": b"x"}),
    "tar, backslash": tar(FILES | {"pets\\images\\1.jpg": b"x"}),
    "tar, twice": several(*FILES.items(), *FILES.items()),
    "tar, twice but for case": tar(FILES | {"pets/images/Cat/1.jpg": b"x"}),
    "tar, twice but for Unicode's form": tar(FILES | {"pets/\u00e9": b"x", "pets/e\u0301": b"x"}),
    "tar, file and folder": tar(FILES | {"pets/images": b"x"}),
    "tar, folder and file": several(("pets/images", b"x"), *FILES.items()),
    "zip, encrypted": encrypted_zip(),
    "zip, deflate64": zip_with(method=9),
    "zip, unknown compression": zip_with(method=4711),
    "zip, name that is not UTF-8": zip_named(b"pets/\xff\xfe.jpg"),
    "zip, long name": zipped(FILES | {f"pets/{'a' * 300}.jpg": b"x"}),
    "zip, twice but for case": zipped(FILES | {"pets/images/CAT/1.jpg": b"x"}),
    "zip, file and folder": zipped({"pets/images": b"x"} | FILES),
    "zip, another size": zip_with(size=1000),
}


@pytest.mark.parametrize("archive", UNSAFE.values(), ids=UNSAFE)
def test_unsafe_archives_are_refused(server, tmp_path, archive):
    data_root = tmp_path / "deep/data"
    with pytest.raises(UserError, match=r"pets\.tar\.gz is damaged or unsafe \("):
        fetch("pets", pets(offer(server, archive)), data_root)
    assert_nothing_placed(data_root)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["data"]


NEIGHBOURS = {
    "tar of year -1": tar({"pets/README": dated(-(10**10))} | FILES),
    "tar of a time that no clock shows": tar({"pets/README": dated(10**20)} | FILES),
    "zip without a date": zip_with(date=0),
    "zip of month 15": zip_with(date=0xFFFFFFFF),
    "folder twice": several(("pets/images/", b""), ("pets/images/", b""), *FILES.items()),
    "other letters": tar(FILES | {"pets/Ünïcode (1) & [2].jpg": b"x", "pets/猫.jpg": b"x"}),
    "same name in two folders": tar(FILES | {"pets/images/dog/1.jpg": b"x"}),
    "dots in a name": tar(FILES | {"./pets/..a/b..jpg": b"x"}),
}


@pytest.mark.parametrize("archive", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_odd_archives_that_do_no_harm(server, tmp_path, archive):
    fetch("pets", pets(offer(server, archive)), tmp_path)
    assert_complete(tmp_path)


def test_rights_of_members_are_not_taken_over(server, tmp_path):
    member = tarfile.TarInfo()
    member.mode = 0o4000
    fetch("pets", pets(offer(server, tar(FILES | {"pets/set-uid": member}))), tmp_path)
    assert (tmp_path / "pets/set-uid").stat().st_mode & 0o7400 == 0o400


@pytest.mark.parametrize("packed", ["tar", "zip"])
def test_an_archive_that_grows(server, tmp_path, packed):
    """Ten times the stated size is the most; without one, what the disk has."""
    files = FILES | {"pets/zeros": bytes(10**7)}
    archive = tar(files) if packed == "tar" else zipped(files, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"unpacks to more than 10 times its \d+ bytes"):
        fetch("pets", pets(offer(server, archive, size=len(archive))), tmp_path / "stated")
    assert_nothing_placed(tmp_path / "stated")
    fetch("pets", pets(offer(server, archive)), tmp_path / "free")
    assert_complete(tmp_path / "free")


def test_an_archive_that_needs_more_than_the_disk(server, tmp_path):
    member = tarfile.TarInfo("pets/all")
    member.size = 10**17
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(member)
    with pytest.raises(UserError, match=r"cannot be stored in .*more than the \d+ bytes that are free"):
        fetch("pets", pets(offer(server, buffer.getvalue())), tmp_path)
    assert_nothing_placed(tmp_path)


@pytest.mark.parametrize("field", ["folder", "images", "split"])
@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../b", "a\0b"])
def test_entries_lead_nowhere_else(field, path):
    with pytest.raises(ValueError, match="must be a path below"):
        pets([], **{field: path})
    assert pets([], **{field: "a..b/c"})


@pytest.mark.parametrize("field", ["name", "extract_to", "inner"])
def test_sources_lead_nowhere_else(field):
    with pytest.raises(ValueError, match="must be a path below"):
        Source(**{"name": "a.zip", "url": "http://127.0.0.1/a.zip", field: "../evil"})


def flipped(archive):
    """The archive with one byte in its middle changed."""
    middle = len(archive) // 2
    return archive[:middle] + bytes([archive[middle] ^ 1]) + archive[middle + 1 :]


DAMAGED = {
    "gzip, cut": tar(FILES)[:-50_000],
    "gzip": flipped(tar(FILES)),
    "bzip2": flipped(tar(FILES, "w:bz2")),
    "xz": flipped(tar(FILES, "w:xz")),
    "zip": flipped(zipped(FILES)),
    "text": b"neither a tar nor a zip file",
}


@pytest.mark.parametrize("archive", DAMAGED.values(), ids=DAMAGED)
def test_damaged_archives_place_nothing(server, tmp_path, archive):
    with pytest.raises(UserError, match=r"pets.tar.gz is (damaged|neither)"):
        fetch("pets", pets(offer(server, archive)), tmp_path)
    assert_nothing_placed(tmp_path)


def test_a_damaged_download_without_a_hash_is_taken_anew(server, tmp_path):
    dataset = pets(offer(server, flipped(tar(FILES)), hashed=False))
    with pytest.raises(UserError, match=r"pets.tar.gz is damaged"):
        fetch("pets", dataset, tmp_path)
    server.files["/pets.tar.gz"] = tar(FILES)
    fetch("pets", dataset, tmp_path)
    assert_complete(tmp_path)


def test_archive_without_the_images_places_nothing(server, tmp_path):
    with pytest.raises(UserError, match=r"pets.tar.gz brought no images"):
        fetch("pets", pets(offer(server, tar({"pets/README": b"hello"}))), tmp_path)
    assert_nothing_placed(tmp_path)


def test_archive_inside_an_archive(server, tmp_path):
    inner = tar({"images/cat/1.jpg": PICTURE})
    outer = zipped({"pets-1.0/images.tar.gz": inner, "pets-1.0/other.tar": b"unused"})
    options = {"inner": "pets-1.0/images.tar.gz", "strip": 0}
    fetch("pets", pets(offer(server, outer, **options)), tmp_path)
    assert_complete(tmp_path)
    assert sorted(path.name for path in (tmp_path / "pets").iterdir()) == ["images", "split.json"]


def test_missing_inner_archive(server, tmp_path):
    with pytest.raises(UserError, match=r"pets.tar.gz holds no images.tar"):
        fetch("pets", pets(offer(server, inner="images.tar")), tmp_path)
    assert_nothing_placed(tmp_path)


def test_leftovers_of_a_killed_run_are_cleared(server, tmp_path):
    leftover = tmp_path / ".pets.unpacking/pets/images/dog/half.jpg"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    fetch("pets", pets(offer(server)), tmp_path)
    assert_complete(tmp_path)
    assert [path.name for path in (tmp_path / "pets/images").iterdir()] == ["cat"]


def test_a_folder_that_is_there_is_left_alone(server, tmp_path):
    (tmp_path / "pets/images").mkdir(parents=True)
    (tmp_path / "pets/split.json").write_text("mine")
    fetch("pets", pets(offer(server)), tmp_path)
    assert server.requests == []
    assert (tmp_path / "pets/split.json").read_text() == "mine"
    assert not (tmp_path / ".downloads").exists()


def test_only_the_split_file_is_missing(server, tmp_path):
    (tmp_path / "pets/images").mkdir(parents=True)
    fetch("pets", pets(offer(server)), tmp_path)
    assert server.requests == [("/split.json", None)]
    assert (tmp_path / "pets/split.json").read_bytes() == SPLIT


@pytest.fixture
def disk(tmp_path):
    """An empty folder, on another file system where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder) / "pets"


def test_a_linked_folder_is_completed_and_nothing_in_it_replaced(server, tmp_path, disk):
    (disk / "cat").mkdir(parents=True)
    (disk / "cat/1.jpg").write_bytes(b"mine")
    (tmp_path / "pets").symlink_to(disk)
    files = {"cat/1.jpg": PICTURE, "cat/2.jpg": PICTURE, "dog/1.jpg": PICTURE}
    fetch("pets", pets(offer(server, tar(files), strip=0), images=""), tmp_path)
    assert (disk / "cat/1.jpg").read_bytes() == b"mine"
    for name in ("cat/2.jpg", "dog/1.jpg", "split.json"):
        assert (disk / name).is_file()


def test_imagenet_has_to_be_placed_by_hand(tmp_path):
    with pytest.raises(UserError) as error:
        fetch("imagenet", load_dataset("imagenet", CONFIG), tmp_path)
    message = str(error.value)
    assert message.startswith(f"Data set imagenet is not in {tmp_path}/imagenet")
    assert "image-net.org/download.php (it needs an account)" in message
    assert "classnames.txt" in message
    assert "images/train and images/val with one folder a WordNet id" in message


def test_two_sources_of_one_name_are_refused():
    source = Source(name="a.zip", url="http://127.0.0.1/a.zip", extract_to="pets")
    with pytest.raises(ValueError, match="two sources have one name"):
        pets([source], [source])


PUBLISHED = {  # of the published splits: folder, classes, train, val, test
    "imagenet": ("imagenet", 1000, 1281167, 0, 50000),
    "caltech101": ("caltech-101", 100, 4128, 1649, 2465),
    "oxford_pets": ("oxford_pets", 37, 2944, 736, 3669),
    "stanford_cars": ("stanford_cars", 196, 6509, 1635, 8041),
    "oxford_flowers": ("oxford_flowers", 102, 4093, 1633, 2463),
    "food101": ("food-101", 101, 50500, 20200, 30300),
    "fgvc_aircraft": ("fgvc_aircraft", 100, 3334, 3333, 3333),
    "sun397": ("sun397", 397, 15880, 3970, 19850),
    "dtd": ("dtd", 47, 2820, 1128, 1692),
    "eurosat": ("eurosat", 10, 13500, 5400, 8100),
    "ucf101": ("ucf101", 101, 7639, 1898, 3783),
    "imagenetv2": ("imagenetv2", 1000, 0, 0, 10000),
    "imagenet_sketch": ("imagenet-sketch", 1000, 0, 0, 50889),
    "imagenet_a": ("imagenet-adversarial", 200, 0, 0, 7500),
    "imagenet_r": ("imagenet-rendition", 200, 0, 0, 30000),
    "mini_shapes": ("mini_shapes", 16, 512, 64, 640),
    "mini_emblems": ("mini_emblems", 24, 768, 96, 960),
    "mini_patterns": ("mini_patterns", 12, 384, 48, 480),
    "mini_sketches": ("mini_sketches", 16, 512, 64, 640),
    "mini_night": ("mini_night", 20, 640, 80, 800),
    "mini_shapes_sketch": ("mini_shapes_sketch", 16, 0, 0, 640),
    "mini_shapes_noisy": ("mini_shapes_noisy", 16, 0, 0, 640),
    "mini_shapes_mosaic": ("mini_shapes_mosaic", 16, 0, 0, 640),
}
TEMPLATES = {  # as CoOp and CLIP word them
    "oxford_pets": "a photo of a {}, a type of pet.",
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
    "dtd": "{} texture.",
    "mini_patterns": "{} texture.",
    "eurosat": "a centered satellite photo of {}.",
    "food101": "a photo of {}, a type of food.",
    "ucf101": "a photo of a person doing {}.",
}


@pytest.mark.parametrize("name", known_names(CONFIG / "datasets"))
def test_entries_state_the_published_figures(name):
    dataset = load_dataset(name, CONFIG)
    sizes = (dataset.sizes["train"], dataset.sizes["val"], dataset.sizes["test"])
    assert (dataset.folder, dataset.classes, *sizes) == PUBLISHED[name]
    assert dataset.template == TEMPLATES.get(name, "a photo of a {}.")
    assert dataset.miniature == (name if name.startswith("mini_") else None)
    for source in (*dataset.sources, *dataset.fallback):
        assert (source.extract_to or dataset.folder).split("/")[0] == dataset.folder
        algorithm, _, digest = (source.hash or "md5:" + 32 * "0").partition(":")
        assert len(bytes.fromhex(digest)) == {"md5": 16, "sha256": 32}[algorithm]


def test_every_data_set_has_an_entry():
    assert known_names(CONFIG / "datasets") == sorted(PUBLISHED)


def test_hashes_of_published_splits(shared):
    checked = 0
    for name in PUBLISHED:
        for source in load_dataset(name, CONFIG).sources:
            published = shared / "splits" / source.name
            if published.is_file():
                assert source.hash == f"sha256:{sha256(published)}"
                checked += 1
    assert checked == 6


@pytest.mark.parametrize("name", ["caltech101", "dtd", "eurosat", "oxford_pets", "stanford_cars", "ucf101"])
def test_real_layouts_are_recognised(shared, name):
    fetch(name, load_dataset(name, CONFIG), shared / "data")
