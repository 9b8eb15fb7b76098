"""A vendor's library in its own process: good, hanging, crashing, lying, greedy. Compiled here in C."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.errors import InputError, SetupError
from edge.reader import memory_folder
from edge.reader.vendor_photo import VendorPhotoDecoder

FIELD = bytes.fromhex("574C66007E00320000FF85").ljust(1024, b"\x07")

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
enum { ROW = 102 * 3, SIZE = 102 * 126 * 3 };
int good(char *in, char *out, int flag) {
    for (int i = 0; i < SIZE; i++) out[i] = (char)(i / ROW);
    return in[0] == 'W' && flag == 0;
}
int refuses(char *in, char *out, int flag) { return -5; }
int blank(char *in, char *out, int flag) { return 1; }
int hangs(char *in, char *out, int flag) { for (;;) pause(); }
int spins(char *in, char *out, int flag) { for (volatile int i = 0;; i++); }
int crashes(char *in, char *out, int flag) { return *(volatile int *)0; }
int leaves(char *in, char *out, int flag) { _exit(0); }
int overruns(char *in, char *out, int flag) { memset(out, 1, SIZE + 40000); return 1; }
int greedy(char *in, char *out, int flag) {
    char *all = malloc((size_t)2 << 30);
    if (!all) return -1;
    memset(all, 1, (size_t)2 << 30);
    memset(out, 1, SIZE);
    return 1;
}
int babbles(char *in, char *out, int flag) {
    static char line[65536];
    for (int i = 0; i < 1000; i++) if (write(1, line, sizeof line) < 0) break;
    memset(out, 1, SIZE);
    return 1;
}
static int bmp(const char *path, int size) {
    char name[4096];
    strncpy(name, path, sizeof name - 1);
    strcpy(strrchr(name, '.'), ".bmp");
    FILE *file = fopen(name, "wb");
    if (!file) return -3;
    fwrite("BM", 1, 2, file);
    for (int i = 2; i < size; i++) fputc(i < 54 ? 0 : 1 + (i - 54) / 308, file);
    fclose(file);
    return 1;
}
int GetBmp(const char *path, int port) { return bmp(path, 54 + 308 * 126); }
int ShortBmp(const char *path, int port) { return bmp(path, 1000); }
int NoBmp(const char *path, int port) { return 1; }
static void seen(const char *path) {
    char folder[4096];
    struct stat found;
    bmp(path, 1000);
    strncpy(folder, path, sizeof folder - 1);
    *strrchr(folder, '/') = 0;
    stat(folder, &found);
    FILE *file = fopen(SEEN, "w");
    fprintf(file, "%o %s", found.st_mode & 0777, folder);
    fclose(file);
}
int CrashBmp(const char *path, int port) { seen(path); abort(); }
int HangBmp(const char *path, int port) { seen(path); for (;;) pause(); }
int RefuseBmp(const char *path, int port) { seen(path); return -5; }
"""

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="a C compiler (gcc) is missing")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendor")
    (folder / "vendor.c").write_text(SOURCE)
    target = folder / "libvendor.so"
    seen = f'-DSEEN="{folder / "seen"}"'
    subprocess.run(
        [str(COMPILER), "-shared", "-fPIC", "-O0", "-w", seen, "-o", str(target), str(folder / "vendor.c")],
        check=True,
    )
    return target


def decoder(library: Path, symbol: str, *, timeout_s: float = 8.0) -> VendorPhotoDecoder:
    abi = "getbmp" if symbol.endswith("Bmp") else "unpack"
    return VendorPhotoDecoder(library, abi, symbol, timeout_s)


@pytest.mark.parametrize(("symbol", "first"), [("good", 0), ("GetBmp", 1)])
def test_a_photo_comes_out_the_right_way_up(library: Path, symbol: str, first: int) -> None:
    photo = decoder(library, symbol).decode(FIELD)
    assert photo is not None
    assert photo.shape == (126, 102, 3)
    rows = np.arange(126, dtype=np.uint8)[::-1] + first
    assert (photo == rows[:, None, None]).all()


@pytest.mark.req("E035")
@pytest.mark.parametrize(
    "symbol", ["refuses", "blank", "crashes", "leaves", "greedy", "babbles", "ShortBmp", "NoBmp"]
)
def test_what_is_no_photo_harms_nothing(library: Path, symbol: str) -> None:
    assert decoder(library, symbol).decode(FIELD) is None


@pytest.mark.req("E035")
def test_a_library_that_writes_too_much_hits_its_own_process(library: Path) -> None:
    assert decoder(library, "overruns").decode(FIELD) is not None


@pytest.mark.req("E035")
@pytest.mark.parametrize("symbol", ["hangs", "spins"])
def test_a_library_that_never_returns_is_ended(library: Path, symbol: str) -> None:
    assert decoder(library, symbol, timeout_s=0.5).decode(FIELD) is None


@pytest.mark.parametrize("symbol", ["CrashBmp", "HangBmp", "RefuseBmp"])
def test_files_that_a_library_writes_lie_in_memory_and_go_however_it_ends(library: Path, symbol: str) -> None:
    assert decoder(library, symbol, timeout_s=1).decode(FIELD) is None
    seen = library.with_name("seen")
    mode, folder = seen.read_text().split(" ", 1)
    seen.unlink()
    kind = subprocess.run(["stat", "-f", "-c", "%T", Path(folder).parent], check=True, capture_output=True)
    assert (mode, kind.stdout.strip()) == ("700", b"tmpfs")
    assert not Path(folder).exists()


def test_a_library_that_would_write_to_a_disk_is_not_used(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").touch()
    monkeypatch.setattr(memory_folder, "MOUNT_TABLE", tmp_path / "mountinfo")
    with pytest.raises(SetupError, match="no folder in memory") as caught:
        decoder(library, "GetBmp").decode(FIELD)
    assert caught.value.code == "PHOTO_LIBRARY"
    assert decoder(library, "good").decode(FIELD) is not None  # writes none


@pytest.mark.parametrize("symbol", ["NoSuchFunction"])
def test_a_library_that_does_not_fit_is_told(library: Path, symbol: str) -> None:
    with pytest.raises(SetupError) as caught:
        decoder(library, symbol).decode(FIELD)
    assert caught.value.code == "PHOTO_LIBRARY"
    with pytest.raises(SetupError):
        VendorPhotoDecoder(library.with_name("nowhere.so"), "unpack", "good").decode(FIELD)


def test_other_formats_and_lengths_do_not_reach_it(library: Path) -> None:
    assert decoder(library, "crashes").decode(b"XY".ljust(1024, b"\0")) is None
    with pytest.raises(InputError):
        decoder(library, "good").decode(FIELD[:-1])
