"""The conversation with the module: the good path, every status, loss of step, stale records, prompts."""

from __future__ import annotations

import pytest

from edge.model import Prompt
from edge.reader.dialogue import (
    ASKS,
    DEFAULTS,
    DRAIN_LIMIT_S,
    MAX_RESTARTS,
    POLL_S,
    PROMPT_TURN_S,
    QUIET_S,
    TRANSITIONS,
    Dialogue,
    Outcome,
    State,
    judge_reply,
)
from edge.reader.faults import FAULTS, fault
from edge.reader.link import Reply
from edge.reader.messages import (
    ClearLink,
    Command,
    Event,
    Failed,
    Got,
    Heard,
    Open,
    Opened,
    Read,
    Record,
    Send,
    Show,
    Tick,
)
from edge.reader.sam_id import parse_sam_id
from edge.reader.status import FAILURES, Retry
from tests.support.id_reader import frame, reply

SAM_ID = "05.03-20240115-0000123456-0987654321"
NAME_OF_REQUEST = {
    frame(f"req_{name}"): name
    for name in ("status", "maxrf_80", "sam_id", "find", "select", "read_base", "read_newaddr", "reset")
}
GOOD = {
    "status": "rep_ok",
    "maxrf_80": "rep_ok",
    "sam_id": "rep_sam_id",
    "find": "rep_find_ok",
    "select": "rep_select_ok",
    "read_base": "rep_base_resident",
    "read_newaddr": "rep_newaddr",
    "reset": "rep_ok",
}


class Driver:
    """Plays the module: answers each command from a script, else as a good one; keeps what came out."""

    def __init__(self, *, timeout_s: float = 60.0) -> None:
        self.dialogue = Dialogue(baud=115200)
        self.now = 100.0
        self.asked: list[str] = []
        self.other: list[Command] = []
        self.script: dict[str, list[str | None]] = {}
        self._timeout_s = timeout_s

    def open(self) -> Driver:
        self.handle(Open())
        self.run()
        return self

    def read(self) -> Driver:
        self.handle(Read(self.now + self._timeout_s))
        self.run()
        return self

    def handle(self, event: Event) -> None:
        queue = self.dialogue.handle(event, self.now)
        while queue:
            command = queue.pop(0)
            if isinstance(command, Send):
                name = NAME_OF_REQUEST[command.frame]
                self.asked.append(name)
                answers = self.script.get(name, [])
                answer = answers.pop(0) if answers else GOOD[name]
                if answer is not None:
                    queue += self.dialogue.handle(Heard(), self.now)
                    queue += self.dialogue.handle(Got(reply(answer)), self.now)
            elif not isinstance(command, ClearLink):
                self.other.append(command)

    def run(self) -> None:
        """Let time pass until nothing is under way."""
        for _ in range(20_000):
            if self.dialogue.state in (State.READY, State.FAILED):
                return
            self.now += 0.01
            self.handle(Tick())
        raise AssertionError(f"hangs in {self.dialogue.state}")

    def take(self) -> list[Command]:
        taken, self.other, self.asked = self.other, [], []
        return taken


@pytest.fixture
def driver() -> Driver:
    opened = Driver().open()
    assert opened.take() == [Opened(SAM_ID)]
    return opened


def record_of(commands: list[Command]) -> bytes:
    (record,) = [command for command in commands if isinstance(command, Record)]
    return bytes(record.data)


RECORD = frame("rep_base_resident")[10:-1]


def test_opening_listens_first_and_then_asks_status_max_rf_and_sam_id() -> None:
    driver = Driver()
    driver.handle(Open())
    assert driver.asked == []
    driver.run()
    assert driver.asked == ["status", "maxrf_80", "sam_id"]
    assert driver.now >= 100.0 + QUIET_S
    assert driver.other == [Opened(SAM_ID)]


def test_a_good_read_is_find_select_read_and_is_confirmed_by_one_more_find(driver: Driver) -> None:
    driver.script = {"find": ["rep_find_ok", "rep_80"]}
    driver.read()
    assert driver.asked == ["find", "select", "read_base", "read_newaddr", "find"]
    assert record_of(driver.take()) == RECORD


def test_a_module_that_finds_the_same_card_again_is_accepted_too(driver: Driver) -> None:
    assert record_of(driver.read().take()) == RECORD


def test_the_second_read_asks_to_lift_the_card_that_was_not_lifted(driver: Driver) -> None:
    driver.script = {"find": ["rep_find_ok", "rep_80", "rep_80", "rep_80"]}
    driver.read().take()
    driver.read()
    assert driver.other[0] == Show(Prompt.LIFT_CARD)
    assert record_of(driver.take()) == RECORD


def test_without_a_card_the_prompts_take_turns_until_the_time_is_over() -> None:
    driver = Driver(timeout_s=3 * PROMPT_TURN_S).open()
    driver.take()
    driver.script = {"find": ["rep_80"] * 100}
    started = driver.now
    driver.read()
    prompts = [Prompt.PLACE_CARD, Prompt.LIFT_CARD, Prompt.PLACE_CARD]
    assert driver.other == [*(Show(prompt) for prompt in prompts), Failed("NO_CARD")]
    assert driver.now - started == pytest.approx(3 * PROMPT_TURN_S, abs=POLL_S + 0.05)
    assert set(driver.asked) == {"find"}


def test_a_time_that_is_over_already_asks_nothing(driver: Driver) -> None:
    driver.handle(Read(driver.now))
    assert driver.asked == []
    assert driver.other == [Failed("NO_CARD")]


@pytest.mark.parametrize("code", ["24", "41", "47", "81"])
@pytest.mark.parametrize("step", ["select", "read_base"])
def test_statuses_that_restart_do_so_three_times(driver: Driver, step: str, code: str) -> None:
    driver.script = {step: [f"rep_{code}"] * MAX_RESTARTS}
    assert record_of(driver.read().take()) == RECORD
    driver.script = {step: [f"rep_{code}"] * (MAX_RESTARTS + 1)}
    assert driver.read().take() == [Failed("CARD_NOT_READABLE")]


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("31", "CARD_NOT_READABLE"),
        ("32", "CARD_NOT_GENUINE"),
        ("33", "CARD_NOT_GENUINE"),
        ("3F", "CARD_NOT_READABLE"),
    ],
)
def test_statuses_that_want_the_card_lifted_get_one_more_chance(
    driver: Driver, code: str, failure: str
) -> None:
    driver.script = {
        "select": [f"rep_{code}", "rep_select_ok"],
        "find": ["rep_find_ok", "rep_find_ok", "rep_80", "rep_80", "rep_find_ok"],
    }
    driver.read()
    assert driver.other[:2] == [Show(Prompt.LIFT_CARD), Show(Prompt.PLACE_CARD)]
    assert record_of(driver.take()) == RECORD
    driver.script = {"read_base": [f"rep_{code}"] * 2, "find": ["rep_find_ok", "rep_80", "rep_find_ok"]}
    assert driver.read().take()[-1] == Failed(failure)
    assert driver.dialogue.state is State.READY


def test_a_type_that_the_module_does_not_know_is_not_tried_again(driver: Driver) -> None:
    driver.script = {"select": ["rep_40"]}
    assert driver.read().take() == [Failed("CARD_TYPE_UNKNOWN")]


def test_a_bad_host_checksum_is_resent_once(driver: Driver) -> None:
    driver.script = {"find": ["rep_10"]}
    driver.read()
    assert driver.asked[:2] == ["find", "find"]
    assert record_of(driver.take()) == RECORD
    driver.script = {"find": ["rep_10", "rep_10"]}
    assert driver.read().take() == [Failed("READER_REFUSED")]


@pytest.mark.parametrize("code", ["11", "21", "23"])
def test_refused_commands_end_the_read(driver: Driver, code: str) -> None:
    driver.script = {"select": [f"rep_{code}"]}
    assert driver.read().take() == [Failed("READER_REFUSED")]


def test_old_firmware_may_refuse_max_rf() -> None:
    driver = Driver()
    driver.script = {"maxrf_80": ["rep_21"]}
    assert driver.open().other == [Opened(SAM_ID)]


def test_a_failed_self_test_is_reset_once_and_then_out_of_service() -> None:
    driver = Driver()
    driver.script = {"status": ["rep_60"]}
    assert driver.open().other == [Opened(SAM_ID)]
    assert driver.asked[:3] == ["status", "reset", "status"]
    driver = Driver()
    driver.script = {"status": ["rep_60", "rep_60"]}
    assert driver.open().other == [Failed("READER_OUT_OF_SERVICE")]


def test_an_unauthorised_module_is_out_of_service() -> None:
    driver = Driver()
    driver.script = {"status": ["rep_66"]}
    assert driver.open().other == [Failed("READER_OUT_OF_SERVICE")]
    assert driver.asked == ["status"]


def test_a_silent_module_is_asked_a_few_times_reset_once_and_given_up() -> None:
    driver = Driver()
    driver.script = {"status": [None] * 100, "reset": [None] * 100}
    driver.open()
    assert driver.other == [Failed("READER_SILENT")]
    assert driver.asked.count("reset") == 1
    assert 4 <= driver.asked.count("status") <= 8
    assert driver.now - 100.0 < 6.0


def test_a_module_that_only_answers_status_does_not_keep_us_for_ever() -> None:
    driver = Driver()
    driver.script = {"sam_id": [None] * 100}
    assert driver.open().other == [Failed("READER_SILENT")]


def test_a_line_that_is_never_quiet_is_garbled() -> None:
    driver = Driver()
    driver.handle(Open())
    while driver.dialogue.state is State.DRAIN:
        driver.now += 0.1
        driver.handle(Heard())
        driver.handle(Tick())
    assert driver.other == [Failed("READER_GARBLED")]
    assert driver.now - 100.0 == pytest.approx(DRAIN_LIMIT_S, abs=0.2)


def test_after_a_failure_the_next_read_starts_from_the_beginning(driver: Driver) -> None:
    driver.script = {"find": ["rep_66"]}
    assert driver.read().take() == [Failed("READER_OUT_OF_SERVICE")]
    driver.read()
    assert driver.asked[:4] == ["status", "maxrf_80", "sam_id", "find"]
    opened, record = driver.take()
    assert opened == Opened(SAM_ID)
    assert isinstance(record, Record)


def test_a_time_out_resynchronises_and_needs_an_exact_ok(driver: Driver) -> None:
    driver.script = {"read_base": [None], "status": ["rep_24", "rep_ok"]}
    driver.read()
    expected = ["find", "select", "read_base", "status", "status", "find", "select", "read_base"]
    expected += ["read_newaddr", "find"]
    assert driver.asked == expected
    assert record_of(driver.take()) == RECORD


def test_reads_that_always_time_out_end(driver: Driver) -> None:
    driver.script = {"read_base": [None] * 100}
    assert driver.read().take() == [Failed("CARD_NOT_READABLE")]
    assert driver.dialogue.state is State.READY


@pytest.mark.parametrize("stale", ["rep_base_J", "rep_select_ok", "rep_sam_id", "rep_ok", "rep_91"])
def test_an_answer_of_another_shape_is_a_loss_of_step(driver: Driver, stale: str) -> None:
    driver.script = {"find": [stale]}
    driver.read()
    assert driver.asked[:3] == ["find", "status", "find"]
    assert record_of(driver.take()) == RECORD


def test_a_late_record_in_front_of_the_true_one_reaches_nobody(driver: Driver) -> None:
    """Another person's record arrives just as this person's is awaited: neither may be handed out."""
    driver.script = {"find": ["rep_find_ok", None], "read_base": [None]}
    driver.handle(Read(driver.now + 60))
    assert driver.dialogue.state is State.READ
    driver.handle(Got(reply("rep_base_J")))
    assert driver.dialogue.state is State.CONFIRM
    driver.handle(Got(reply("rep_base_resident")))
    assert driver.dialogue.state is State.DRAIN
    assert driver.other == []
    driver.run()
    assert record_of(driver.take()) == RECORD


def test_the_same_record_twice_is_used_once(driver: Driver) -> None:
    driver.script = {"find": ["rep_find_ok", None]}
    driver.handle(Read(driver.now + 60))
    driver.handle(Got(reply("rep_base_resident")))
    assert driver.dialogue.state is State.CONFIRM
    driver.handle(Got(reply("rep_80")))
    assert record_of(driver.take()) == RECORD


def test_a_record_that_is_not_confirmed_is_thrown_away(driver: Driver) -> None:
    driver.script = {"find": ["rep_find_ok", None, "rep_80"] + ["rep_80"] * 1000}
    driver.read()
    assert not any(isinstance(command, Record) for command in driver.other)
    assert driver.other[-1] == Failed("NO_CARD")


@pytest.mark.parametrize("waiting", ["rep_base_J", "rep_find_ok", "rep_ok"])
def test_a_reply_that_nobody_asked_for_is_a_loss_of_step(driver: Driver, waiting: str) -> None:
    driver.handle(Got(reply(waiting)))
    assert driver.dialogue.state is State.DRAIN
    driver.run()
    assert driver.dialogue.state is State.READY
    driver.script = {"find": ["rep_80"]}
    driver.handle(Read(driver.now + 60))
    assert driver.dialogue.state is State.POLL_WAIT
    driver.handle(Got(reply(waiting)))
    assert driver.dialogue.state is State.DRAIN


def test_what_arrives_while_draining_is_wiped_and_keeps_the_line_unquiet(driver: Driver) -> None:
    driver.dialogue.handle(Got(reply("rep_ok")), driver.now)
    driver.now += QUIET_S - 0.01
    driver.handle(Heard())
    stale = reply("rep_base_J")
    driver.handle(Got(stale))
    driver.now += QUIET_S - 0.01
    driver.handle(Tick())
    assert driver.dialogue.state is State.DRAIN
    assert not any(stale.data)


def test_a_read_that_was_broken_off_is_followed_by_one_that_resynchronises(driver: Driver) -> None:
    driver.script = {"read_base": [None]}
    driver.handle(Read(driver.now + 60))
    driver.take()
    driver.read()
    assert driver.asked[:2] == ["status", "find"]
    assert record_of(driver.take()) == RECORD


def test_reading_before_opening_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        Dialogue(baud=115200).handle(Read(1.0), 0.0)


def test_deadlines_grow_with_the_wire_time(driver: Driver) -> None:
    waits = {}
    for baud in (9600, 115200):
        dialogue = Dialogue(baud=baud)
        dialogue.handle(Open(), 0.0)
        dialogue.handle(Tick(), QUIET_S)
        now = QUIET_S
        while dialogue.state is State.STATUS:
            now += 0.001
            dialogue.handle(Tick(), now)
        waits[baud] = now - QUIET_S
    assert waits[115200] == pytest.approx(0.3 + 21 * 10 / 115200 * 1.2, abs=0.002)
    assert waits[9600] == pytest.approx(0.3 + 21 * 10 / 9600 * 1.2, abs=0.002)


def test_judgement_of_replies() -> None:
    find, status = ASKS[State.FIND], ASKS[State.STATUS]
    assert judge_reply(find, reply("rep_find_ok")) is Outcome.OK
    assert judge_reply(find, reply("rep_80")) is Outcome.NO_CARD
    assert judge_reply(find, reply("rep_ok")) is Outcome.MISFIT
    assert judge_reply(find, Reply(0, 0, 0x80, bytearray(4))) is Outcome.MISFIT
    assert judge_reply(find, Reply(0, 0, 0xEE, bytearray())) is Outcome.NEVER
    assert judge_reply(find, Reply(0x69, 0x82, 0x41, bytearray())) is Outcome.RESTART
    assert judge_reply(status, Reply(0, 1, 0x90, bytearray())) is Outcome.MISFIT


def test_the_tables_are_whole() -> None:
    assert {Retry(outcome.value) for outcome in Outcome if outcome.value in set(Retry)} == set(Retry)
    handled = {outcome for _, outcome in TRANSITIONS} | set(DEFAULTS) | {Outcome.RESEND}
    assert handled == set(Outcome)
    reached = {*TRANSITIONS.values(), *DEFAULTS.values(), State.CLOSED}
    assert reached == set(State)
    assert all(
        state in ASKS or state in (State.DRAIN, State.POLL_WAIT, State.AWAY_WAIT) for state, _ in TRANSITIONS
    )


@pytest.mark.parametrize("code", sorted(FAILURES))
@pytest.mark.parametrize("step", ["status", "maxrf_80", "sam_id", "find", "select", "read_base"])
def test_every_status_at_every_step_ends_in_a_record_or_a_known_fault(step: str, code: int) -> None:
    driver = Driver(timeout_s=20)
    driver.script = {step: [f"rep_{code:02X}"] * 1000}
    driver.open()
    if driver.dialogue.state is State.READY:
        driver.read()
    last = driver.other[-1]
    assert isinstance(last, Record) or (isinstance(last, Failed) and last.code in FAULTS)


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_every_fault_has_a_sentence_and_a_hint(code: str) -> None:
    error = fault(code, "detail")
    assert error.code == code
    assert error.message.endswith("(detail)")
    assert error.hint.endswith(".")


def test_sam_ids() -> None:
    data = reply("rep_sam_id").data
    assert parse_sam_id(data) == SAM_ID
    assert parse_sam_id(data[:15]) is None
    assert parse_sam_id(bytes(16)) is None  # no date
    assert parse_sam_id(b"\x64\x00" + data[2:]) is None  # a kind of three digits


def address_of(commands: list[Command]) -> bytes:
    (record,) = [command for command in commands if isinstance(command, Record)]
    return bytes(record.address)


@pytest.mark.parametrize("answer", ["rep_91", "rep_21", "rep_41"])
def test_a_card_or_a_module_without_a_newest_address(driver: Driver, answer: str) -> None:
    driver.script = {"read_newaddr": [answer], "find": ["rep_find_ok", "rep_80"]}
    driver.read()
    assert driver.asked == ["find", "select", "read_base", "read_newaddr", "find"]
    assert address_of(driver.take()) == b""


def test_the_newest_address_comes_with_its_record(driver: Driver) -> None:
    driver.read()
    assert address_of(driver.take()) == frame("rep_newaddr")[10:-1]


def test_a_module_that_is_deaf_to_the_address_is_not_asked_again(driver: Driver) -> None:
    driver.script = {"read_newaddr": [None, None]}
    driver.read()
    assert driver.asked.count("read_newaddr") == 2
    assert driver.asked.count("read_base") == 3
    assert address_of(driver.take()) == b""
    driver.read()
    assert driver.asked == ["find", "select", "read_base", "find"]


def test_one_lost_answer_does_not_cost_the_address(driver: Driver) -> None:
    for _ in range(3):
        driver.script = {"read_newaddr": [None]}
        driver.read()
        assert address_of(driver.take()) == frame("rep_newaddr")[10:-1]


def test_an_address_of_the_wrong_shape_is_a_loss_of_step(driver: Driver) -> None:
    driver.script = {"read_newaddr": ["rep_select_ok"]}
    driver.read()
    assert driver.asked[:5] == ["find", "select", "read_base", "read_newaddr", "status"]
    assert address_of(driver.take()) == frame("rep_newaddr")[10:-1]
