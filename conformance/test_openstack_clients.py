"""The last of OpenStack's tests: every function and command of the pinned clients was called by a test that passed.

`docs/coverage/openstack-clients.md` says which; it may only grow. `PARPEN_RENEW_COVERAGE=1` writes it anew from what the
tests before this one noted, and still refuses to lose a row.
"""

import json
import os
import pathlib
import re
import unittest

import harness
import recorder

TABLE = harness.ROOT / "docs/coverage/openstack-clients.md"
RENEW = "PARPEN_RENEW_COVERAGE"
HEAD = """## OpenStack's own clients, row by row

Written by `conformance/test_openstack_clients.py` from what passing tests called (`PARPEN_RENEW_COVERAGE=1` renews it):
the functions of openstacksdk's block-storage proxy, and the commands of the pinned `openstack` and `cinder`. It may only grow.
"""
WORKS = "works"
LINE = re.compile(r"^\| `([^`]+)` \| (.*) \| `([^`]+)` \|$")


def noted():
    """What passing tests called: for each section and row, the tests and how the call ended in each."""
    found = {section: {} for section in recorder.SECTIONS}
    for path in sorted(recorder.FOLDER.glob("test_*.json")):
        if not pathlib.Path(__file__).with_name(f"{path.stem}.py").exists():
            continue
        for test, calls in json.loads(path.read_text()).items():
            for call, refusal in calls.items():
                section, row = call.split(": ", 1)
                found[section].setdefault(row, {})[f"{path.stem}.{test}"] = (refusal, len(calls))
    return found


def words(refusal):
    """A refusal without what differs from run to run."""
    said = re.sub(r"^.*Client Error for url: \S+, ", "", refusal)
    said = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", said.removeprefix("ERROR: "))
    return f"refused as Cinder does: {said.replace('|', '/').strip()}"


def chosen(tests, before):
    """A row's outcome and the test that stands for it: the one in the table, else the one that calls least beside it."""
    good = {test: found for test, found in tests.items() if found[0] is None} or tests
    test = before if before in good else min(good, key=lambda t: (good[t][1], t))
    return WORKS if good[test][0] is None else words(good[test][0]), test


def read():
    """The rows of the table as it is kept: outcome and test by section and row."""
    rows, section = {}, None
    for line in TABLE.read_text().splitlines() if TABLE.exists() else []:
        if line.startswith("### "):
            section = line[4:].split(":")[0]
        elif match := LINE.match(line):
            rows[section, match[1]] = match[2], match[3]
    return rows


def written(found, before):
    """The table that belongs to what was noted."""
    text = HEAD
    for section, rows in recorder.rows().items():
        called = [row for row in rows if row in found[section]]
        text += f"\n### {section}: {len(called)} of {len(rows)}\n\n| row | outcome | test |\n| --- | --- | --- |\n"
        for row in rows:
            if row in called:
                outcome, test = chosen(found[section][row], before.get((section, row), (None, None))[1])
                text += f"| `{row}` | {outcome} | `{test}` |\n"
            else:
                text += f"| `{row}` | not called | |\n"
    return text


class Table(unittest.TestCase):
    def setUp(self):
        self.found, self.before = noted(), read()

    def test_every_function_and_command_is_called(self):
        for section, rows in recorder.rows().items():
            missing = [row for row in rows if row not in self.found[section]]
            self.assertEqual(missing, [], f"{section}: no test that passed called these")

    def test_the_table_only_grows(self):
        for (section, row), (outcome, test) in self.before.items():
            with self.subTest(section=section, row=row):
                tests = self.found[section].get(row, {})
                self.assertTrue(tests, f"{test} covered it, and no test that passed does now")
                works = any(refusal is None for refusal, _ in tests.values())
                self.assertTrue(works or outcome != WORKS, "it worked, and is refused now")

    def test_the_table_tells_what_was_called(self):
        text = written(self.found, self.before)
        lost = [key for key in self.before if key[1] not in self.found[key[0]]]
        if RENEW in os.environ and not lost:
            TABLE.write_text(text)
        if TABLE.read_text() != text:
            self.fail(f"{TABLE.name} is not what the tests called: run OpenStack's tests again with {RENEW}=1")


if __name__ == "__main__":
    harness.main()
