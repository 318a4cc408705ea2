"""Every allocation and every system call of `doctor` fails once: no crash, and no check is better than it is."""
import json

import pytest
from fault_board import PROGRAM
from fault_desk import drawn, run

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="ci/faults.sh was not run")
DRAWN = 3  # each takes a second; --all-faults takes all


def test_doctor_with_every_failure(fault_board, lab, request):
    lab.write_config(secret="not the secret")
    env = {**lab.host, "KACHERY_RESOURCE_TEST_DOCTOR": "answer_ms=2000,all_ms=5000"}
    command = ["doctor", "--json", "--config", str(lab.config)]
    fault_board.note()
    reference = {line["check"]: line["level"] for line in json.loads(run(fault_board, command, env).stdout)}
    assert {check for check, level in reference.items() if level == "FAIL"} == {"secret"}
    wrong = []
    for place, kind in drawn(request, fault_board.faults(), DRAWN):
        fault_board.arm(place, kind)
        done = run(fault_board, command, env)
        lines = json.loads(done.stdout) if done.stdout else []
        better = [line for line in lines if line["level"] == "ok" != reference[line["check"]]]
        is_told = len(lines) == len(reference) if lines else len(done.stderr) > 10
        if fault_board.reports() or done.returncode != 1 or better or not is_told:
            wrong.append((fault_board.describe(), done, fault_board.reports()))
            fault_board.forget_reports()
    assert wrong == [], f"{len(wrong)} failures are not survived: {wrong[:3]}"
