"""The benchmark's own arithmetic: percentiles, the results file, the picture, whose processor time counts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.accounting import ProcessStat, parse_pss, parse_stat, tree_of, tree_seconds
from bench.driver import Outgoing, drive
from bench.results import Pair, merge, pairs, percentile, read, shown, tidy
from bench.world import World, big

from bench import accounting, plot, results
from everpost.directory.csv_import import read_csv


class TestPercentiles:
    def test_nearest_rank(self):
        values = list(range(1, 101))
        assert percentile(values, 50) == 50
        assert percentile(values, 99) == 99
        assert percentile(values, 100) == 100
        assert percentile([5.0], 99) == 5.0
        assert percentile([3, 1, 2], 50) == 2
        assert percentile([1, 2], 0) == 1

    def test_of_nothing(self):
        with pytest.raises(ValueError):
            percentile([], 50)


class TestResultsFile:
    def test_ratio_is_everpost_by_peer(self):
        assert Pair(10, 4).as_json() == {"everpost": 10, "peer": 4, "ratio": 2.5}
        assert Pair(10).as_json() == {"everpost": 10, "peer": None, "ratio": None}
        assert Pair(10, 0).ratio is None
        assert Pair(None, 3).as_json() == {"everpost": None, "peer": 3, "ratio": None}

    def test_four_digits(self):
        assert tidy(1234.567) == 1235
        assert tidy(0.00123456) == 0.001235
        assert tidy(float("nan")) is None

    def test_other_suites_stay_and_own_is_replaced_whole(self, tmp_path):
        path = tmp_path / "deep" / "results.json"
        merge(path, {"guard": {"rate": Pair(1, 2)}, "flood": {"old": Pair(1, 1)}})
        merged = merge(path, {"flood": {"accepted_per_s": Pair(3000, 400)}})
        assert merged == json.loads(path.read_text()) == read(path)
        assert merged == {
            "guard": {"rate": {"everpost": 1, "peer": 2, "ratio": 0.5}},
            "flood": {"accepted_per_s": {"everpost": 3000, "peer": 400, "ratio": 7.5}},
        }
        assert list(path.parent.iterdir()) == [path]

    def test_a_file_that_is_something_else_is_not_overwritten(self, tmp_path):
        path = tmp_path / "results.json"
        path.write_text("[1]")
        with pytest.raises(ValueError):
            merge(path, {"flood": {"a": Pair(1)}})
        assert path.read_text() == "[1]"

    def test_pairs_keep_what_one_side_alone_has(self):
        assert pairs({"a": 1, "b": 2}, {"a": 4, "c": 5}) == {"a": Pair(1, 4), "b": Pair(2), "c": Pair(None, 5)}

    def test_shown(self):
        assert [shown(value) for value in (None, 1234.5, 123.4, 12.34, 1.234)] == ["–", "1,234", "123", "12.3", "1.23"]


class TestPicture:
    def test_is_well_formed_and_to_scale(self):
        figures = {"flood": {"a<b": Pair(400, 100).as_json(), "none": Pair(1, None).as_json()}, "x": {}}
        root = ET.fromstring(plot.svg(figures, {"flood": ("A & B", "Postfix")}))
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"A & B", "a<b", "Postfix", "× 4.00", "x"} <= set(texts)
        bars = [
            float(bar.get("width"))
            for bar in root.iter("{http://www.w3.org/2000/svg}rect")
            if bar.get("height") == "13"
        ]
        assert len(bars) == 3
        assert bars[0] == pytest.approx(4 * bars[1])

    def test_of_nothing(self):
        ET.fromstring(plot.svg({}, {}))


class TestProcessTrees:
    def test_stat_with_a_name_that_has_brackets(self):
        line = "42 (a (b) c) S 7 42 42 0 -1 0 10 20 30 40 150 50 200 100 20 0 1 0 12345 0 0"
        assert parse_stat(line) == ProcessStat(42, 7, "a (b) c", 200, 300, 12345)
        assert parse_stat(line).seconds == pytest.approx(500 / accounting.TICKS_PER_S)

    @pytest.mark.parametrize("line", ["", "42 (x", "42 (x) S 1"])
    def test_what_is_no_stat(self, line):
        with pytest.raises(ValueError):
            parse_stat(line)

    def test_a_tree_is_what_hangs_below_its_roots_once(self):
        below = [ProcessStat(pid, parent, "", 100, pid) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 1), (5, 4))]
        assert {process.pid for process in tree_of(below, [2])} == {2, 3}
        assert {process.pid for process in tree_of(below, [2, 3, 99])} == {2, 3}
        assert tree_seconds(below, [2, 4]) == pytest.approx((400 + 2 + 3 + 4 + 5) / accounting.TICKS_PER_S)

    def test_a_child_that_has_ended_still_counts(self):
        burn = "import time\nwhile time.process_time() < 0.3: pass"
        script = (
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(1, flush=True); input()"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            parent.stdout.readline()
            spent = accounting.cpu_seconds([parent.pid])
            parent.stdin.close()
        assert 0.25 <= spent < 2  # ticks of 10 ms, rounded down

    def test_pss(self):
        assert parse_pss("Rss:  10 kB\nPss:   3 kB\nPss_Anon: 1 kB\n") == 3072
        assert parse_pss("") == 0
        own = accounting.memory_now([os.getpid()])
        assert own.total > 5_000_000
        assert own.programs == own.total - own.database > 5_000_000  # other tests' database may be a child of ours


class TestWorld:
    def test_people_and_numbers_as_smtp_source_makes_them(self):
        world = World.of(3, 7)
        people = read_csv(world.csv().encode())
        assert len(people.mailboxes) == 3
        aliases = {str(alias): str(box.address) for box in people.mailboxes for alias in box.aliases}
        assert aliases == world.aliases
        assert set(aliases) == {f"{number}.desk@example.org" for number in range(1, 8)}

    def test_messages_are_of_the_size_asked_and_have_proper_line_ends(self):
        messages = World.of(3, 0).plain(10, 10_240, 1)
        assert [message.recipients[0] for message in messages[:4]] == [f"desk{n}@example.org" for n in (0, 1, 2, 0)]
        for message in (*messages, big("desk0@example.org", 1_000_000)):
            assert message.wire.endswith(b"\r\n.\r\n")
            assert message.wire.count(b"\r") == message.wire.count(b"\n") == message.wire.count(b"\r\n")
        assert all(10_000 < len(message.wire) <= 10_260 for message in messages)
        assert 990_000 < len(big("desk0@example.org", 1_000_000).wire) <= 1_000_003

    def test_dots(self):
        assert Outgoing.of("", (), b".a\r\n.\r\nb").wire == b"..a\r\n..\r\nb\r\n.\r\n"
        assert Outgoing.of("", (), b"").wire == b".\r\n"


class TestDriver:
    def test_counts_and_times_what_the_server_says(self):
        """A server that refuses the recipient `no`, the content `bad`, and takes 20 ms for the rest."""
        ready, port, end = threading.Event(), [0], []
        got: list[bytes] = []

        async def talk(reader, writer):
            writer.write(b"220-hello\r\n220 there\r\n")
            while line := await reader.readline():
                if line.startswith(b"EHLO"):
                    writer.write(b"250-me\r\n250 PIPELINING\r\n")
                elif line.startswith(b"RCPT"):
                    wanted = b"<no@" not in line
                    writer.write(b"250 ok\r\n" if wanted else b"550 no\r\n")
                elif line.startswith(b"DATA"):
                    writer.write(b"354 go\r\n" if wanted else b"554 nobody\r\n")
                    if wanted:
                        content = await reader.readuntil(b"\r\n.\r\n")
                        got.append(content)
                        await asyncio.sleep(0.02)
                        writer.write(b"554 bad\r\n" if b"bad" in content else b"250 mine\r\n")
                else:
                    writer.write(b"250 ok\r\n")

        async def serve():
            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            port[0] = server.sockets[0].getsockname()[1]
            end.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await end[0][1].wait()
            server.close()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        ready.wait(5)
        messages = [Outgoing.of("a@example.com", ("yes@example.org",), b"good\r\n")] * 6
        messages += [
            Outgoing.of("a@example.com", ("no@example.org",), b"unseen\r\n"),
            Outgoing.of("a@example.com", ("yes@example.org",), b"bad\r\n"),
        ]
        outcome = drive(port[0], messages, 3)
        end[0][0].call_soon_threadsafe(end[0][1].set)
        thread.join(5)
        assert (outcome.messages, outcome.copies, outcome.refused) == (6, 6, 2)
        assert sorted(outcome.reasons) == ["550 no", "554 bad"]
        assert len(outcome.latencies) == 6
        assert all(0.019 < latency < 1 for latency in outcome.latencies)
        assert got.count(b"good\r\n.\r\n") == 6


def test_the_table_shows_every_figure():
    made = results.table({"flood": {"a": Pair(1, 2)}, "memory": {"b": Pair(3)}}, {"flood": ("Flood", "Postfix")})
    assert made.row_count == 4
