"""Pages as pictures from limited processes: what one document does harms nothing else."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pikepdf
import pytest
from PIL import Image

from cloud.pdf import preview as module
from cloud.pdf.intake import PdfRefused, Why
from cloud.pdf.preview import NoPreview, PreviewFailed, Previews
from tests.support import pdf_samples as samples


@asynccontextmanager
async def previews(workers: int = 2) -> AsyncIterator[Previews]:
    made = Previews(workers=workers)
    try:
        yield made
    finally:
        await made.close()


def run(work: Callable[[Previews], Awaitable[None]], *, workers: int = 2) -> None:
    async def main() -> None:
        async with previews(workers) as made:
            await work(made)

    asyncio.run(main())


async def begun(made: Previews) -> None:
    """The only worker was taken."""
    while made._idle:  # noqa: ASYNC110  the pool tells nobody
        await asyncio.sleep(0)


def bomb(megabytes: int) -> bytes:
    """A page whose content unpacks to far more than it is."""

    def fill(pdf: pikepdf.Pdf) -> None:
        packer = zlib.compressobj(1)
        packed = b"".join(packer.compress(b" " * 2**20) for _ in range(megabytes)) + packer.flush()
        pdf.pages[0].obj.Contents = pikepdf.Stream(pdf, packed, Filter=pikepdf.Name.FlateDecode)

    output = io.BytesIO()
    with pikepdf.open(io.BytesIO(samples.plain())) as pdf:
        fill(pdf)
        pdf.save(output, compress_streams=False)
    return output.getvalue()


def test_pages_are_pictures_of_the_width_that_was_asked_for() -> None:
    async def work(made: Previews) -> None:
        content = samples.rotated(90, pages=2)
        for number, width in ((1, 64), (2, 400), (1, 1200)):
            picture = Image.open(io.BytesIO(await made.page(content, number, width_px=width)))
            assert picture.format == "PNG"
            assert picture.width == pytest.approx(width, abs=1)
            assert picture.width / picture.height == pytest.approx(842 / 595, rel=0.03)
            assert picture.convert("L").getextrema()[0] < 250, "something is drawn"

    run(work)


def test_pages_that_are_not_there() -> None:
    async def work(made: Previews) -> None:
        for number in (0, 2, 501):
            with pytest.raises(PreviewFailed) as caught:
                await made.page(samples.plain(), number, width_px=100)
            assert caught.value.why is NoPreview.NO_PAGE
        for width in (0, 31, 3001):
            with pytest.raises(ValueError, match="wide"):
                await made.page(samples.plain(), 1, width_px=width)
        with pytest.raises(PreviewFailed) as caught:
            await made.page(b"%PDF-1.7 and no more", 1, width_px=100)
        assert caught.value.why is NoPreview.DAMAGED

    run(work)


def test_checks_say_the_same_as_in_this_process() -> None:
    async def work(made: Previews) -> None:
        document = await made.check(samples.cropped(degrees=90))
        assert [(page.width, page.height) for page in document.pages] == [(620.0, 400.0)]
        for word, content in samples.refused():
            with pytest.raises(PdfRefused) as caught:
                await made.check(content)
            assert caught.value.why is Why(word)
            assert caught.value.message

    run(work)


def test_several_calls_at_once_are_all_answered() -> None:
    async def work(made: Previews) -> None:
        contents = [samples.plain(3, text=f"Contract {number}") for number in range(4)]
        asked = [
            made.page(content, number, width_px=100 + number) for content in contents for number in (1, 2, 3)
        ]
        sizes = [Image.open(io.BytesIO(one)).width for one in await asyncio.gather(*asked)]
        assert sizes == pytest.approx([101, 102, 103] * 4, abs=1)

    run(work)


def test_a_worker_that_is_killed_is_replaced() -> None:
    async def work(made: Previews) -> None:
        content = samples.plain()
        first = await made.page(content, 1, width_px=100)
        (worker,) = made._idle
        os.kill(worker.process.pid, signal.SIGKILL)
        await worker.process.wait()
        assert await made.page(content, 1, width_px=100) == first

    run(work)


def test_a_worker_that_ends_while_it_works_gives_a_clear_error() -> None:
    async def work(made: Previews) -> None:
        content = samples.plain()
        await made.page(content, 1, width_px=100)
        (worker,) = made._idle
        os.kill(worker.process.pid, signal.SIGSTOP)
        waiting = asyncio.create_task(made.page(content, 1, width_px=100))
        await begun(made)
        os.kill(worker.process.pid, signal.SIGKILL)
        with pytest.raises(PreviewFailed) as caught:
            await waiting
        assert caught.value.why is NoPreview.LIMIT
        await made.page(content, 1, width_px=100)

    run(work, workers=1)


def test_a_worker_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(made: Previews) -> None:
        content = samples.plain()
        await made.page(content, 1, width_px=100)
        (worker,) = made._idle
        os.kill(worker.process.pid, signal.SIGSTOP)
        monkeypatch.setattr(module, "TIME_S", 0.05)
        with pytest.raises(PreviewFailed):
            await made.page(content, 1, width_px=100)
        assert worker.process.returncode == -signal.SIGKILL
        monkeypatch.undo()
        await made.page(content, 1, width_px=100)

    run(work, workers=1)


def test_a_document_that_unpacks_without_end_harms_nobody_else() -> None:
    """It takes more memory than a worker has; another call goes on, and the next one is answered."""

    async def work(made: Previews) -> None:
        heavy, plain = bomb(700), samples.plain()
        results = await asyncio.gather(
            made.page(heavy, 1, width_px=100), made.page(plain, 1, width_px=100), return_exceptions=True
        )
        assert isinstance(results[0], PreviewFailed)
        assert isinstance(results[1], bytes)
        assert await made.page(plain, 1, width_px=100) == results[1]

    run(work)


def test_a_call_that_is_given_up_leaves_no_half_answer() -> None:
    async def work(made: Previews) -> None:
        content = samples.plain(2)
        first = await made.page(content, 1, width_px=100)
        waiting = asyncio.create_task(made.page(content, 2, width_px=900))
        await begun(made)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await made.page(content, 1, width_px=100) == first

    run(work, workers=1)


def test_two_documents_never_meet_in_one_worker() -> None:
    async def work(made: Previews) -> None:
        seen = {}
        for number in range(4):
            content = samples.plain(text=f"Contract {number}")
            for _ in range(2):
                await made.page(content, 1, width_px=64)
                seen.setdefault(made._idle[-1].process.pid, set()).add(number)
        assert [len(numbers) for numbers in seen.values()] == [1, 1, 1, 1]
        assert len(made._idle) == 1

    run(work, workers=1)


def test_too_many_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)

    async def work(made: Previews) -> None:
        asked = [made.page(samples.plain(), 1, width_px=64) for _ in range(6)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        busy = [one for one in results if isinstance(one, PreviewFailed)]
        assert {one.why for one in busy} == {NoPreview.BUSY}
        assert 0 < len(busy) < 6

    run(work, workers=1)


def test_a_closed_pool_answers_nobody() -> None:
    async def main() -> None:
        made = Previews()
        await made.page(samples.plain(), 1, width_px=64)
        await made.close()
        with pytest.raises(PreviewFailed):
            await made.page(samples.plain(), 1, width_px=64)

    asyncio.run(main())
