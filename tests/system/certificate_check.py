"""What our code says of a server's certificate chain, by tests/tools/cert_check.c: no network, any time of day."""
import subprocess

from certificates import NOW
from harness import ROOT

TOOL = ROOT / "build" / "tools" / "cert_check"


def seconds_of(moment):
    return int((moment - moment.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0)).total_seconds())


def check(tmp_path, roots, chain, host="host.example", now=NOW):
    """"ok" or the refusal."""
    return check_all(tmp_path, [(roots, chain, host, now)])[0]


def check_all(tmp_path, cases):
    """The same for many at once: (roots, chain, host, now) each."""
    said, files = [], {}
    for start in range(0, len(cases), 200):
        arguments = []
        for number, (roots, chain, host, now) in enumerate(cases[start:start + 200]):
            for kind, certificates in (("roots", roots), ("chain", chain)):
                text = "".join(c.pem() for c in certificates)
                if text not in files:
                    files[text] = tmp_path / f"{kind}{start + number}.pem"
                    files[text].write_text(text)
                arguments.append(files[text])
            arguments += [host, str(seconds_of(now))]
        done = subprocess.run([TOOL, *arguments], stdout=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode in (0, 1), done
        said += done.stdout.splitlines()
    assert len(said) == len(cases)
    return said
