"""Every client of test_range_clients.py with every fault (range_clients.py), all clients at once: the outcome of each. Beside it
the same clients without a fault. Never wrong data, or the exit status is 1. `BENCH_CLIENTS=a,b` takes those alone."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import range_clients  # noqa: E402

FAULTS = [name for name in range_clients.FAULTS if name in os.environ.get("BENCH_FAULTS", "daemon,line,hub,changed").split(",")]


def start(host, client, folder, seed, hold_after=None):
    path = client.make(folder / client.name, seed)
    return range_clients.Reading(host, client, path, host.share(path), folder / client.name / f"out{seed}", hold_after)


def row(name, cells):
    print(f"{name:<17}" + "".join(f"{cell:<8}" for cell in cells), flush=True)


def main(folder):
    names = os.environ.get("BENCH_CLIENTS", "").split(",") if os.environ.get("BENCH_CLIENTS") else list(range_clients.CLIENTS)
    clients = [range_clients.CLIENTS[name] for name in names]
    for client in clients:
        if client.missing():
            sys.exit(f"{client.name}: not on this machine: {' '.join(client.missing())}")
        (folder / client.name).mkdir()
    outcomes = {name: {} for name in names}
    with bench.lab(folder) as lab:
        host = range_clients.Host(lab)
        readings = [start(host, client, folder, 1) for client in clients]
        for reading in readings:
            outcomes[reading.client.name]["none"] = reading.outcome(170)
        for n, fault in enumerate(FAULTS):
            held = [start(host, was.client, folder, n + 2, max(1, was.pipe.down // 2)) for was in readings
                    if fault in was.client.faults]
            for reading, outcome in zip(held, range_clients.run_fault(host, fault, held)):
                outcomes[reading.client.name][fault] = outcome
            host.daemon.stop()  # the next one begins with a new one
            host.daemon = lab.share()
        host.stop()
    print("What each client came to: the right bytes, or its own error.")
    row("fault:", ["none", *FAULTS])
    for name in names:
        row(name, [outcomes[name][fault].verdict if fault in outcomes[name] else "-" for fault in ["none", *FAULTS]])
    for name in names:
        for fault, outcome in outcomes[name].items():
            if outcome.detail:
                print(f"  {name}, {fault}: {outcome.detail}")
    every = [outcome.verdict for of in outcomes.values() for outcome in of.values()]
    print(f"{every.count('right')} right, {every.count('error')} errors, {every.count('WRONG')} wrong")
    return "WRONG" in every or any(of["none"].verdict != "right" for of in outcomes.values())


with bench.scratch() as scratch:
    status = main(scratch)
sys.exit(status)
