"""ci/layers.sh: each rule finds what breaks it and nothing in what does not."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BAD = {
    "upward include": ("net/a.c", '#include "http/b.h"\n', "higher layer"),
    "unknown layer": ("net/a.c", '#include "other/b.h"\n', "no known layer"),
    "no folder": ("net/a.c", '#include "b.h"\n', "want its folder"),
    "new folder": ("misc/a.c", "int a;\n", "no known layer"),
    "cJSON outside json.c": ("store/a.c", "#include <cJSON.h>\n", "belongs to"),
    "cJSON in a header": ("base/json.h", "#include <cJSON.h>\n", "belongs to"),
    "yaml outside yaml.c": ("daemon/config.c", "#include <yaml.h>\n", "belongs to"),
    "sodium outside ed25519.c": ("zone/a.c", "#include <sodium/crypto_sign.h>\n", "belongs to"),
    "hashing outside base": ("proto/a.c", "#include <bearssl_hash.h>\n", "belongs to"),
    "TLS engine outside tls.c": ("http/a.c", "#include <bearssl_ssl.h>\n", "belongs to"),
    "TLS engine in base": ("base/sha1.c", "#include <bearssl.h>\n", "belongs to"),
    "poll": ("zone/a.c", "void f(void) { poll(&p, 1, 0); }\n", "waits by itself"),
    "ppoll": ("daemon/a.c", "int f(void) { return ppoll(&p, 1, &t, &m); }\n", "waits by itself"),
    "epoll_wait": ("net/a.c", "void f(void) { n = epoll_wait(fd, v, 9, -1); }\n", "waits by itself"),
    "select": ("cmd/a.c", "void f(void) { if (select(9, &r, 0, 0, &t) > 0) g(); }\n", "waits by itself"),
    "sleep": ("store/a.c", "void f(void) { nanosleep(&t, NULL); }\n", "waits by itself"),
    "poll's header": ("http/a.c", "#include <poll.h>\n", "belongs to"),
    "epoll's header": ("http/a.c", "#include <sys/epoll.h>\n", "belongs to"),
    "threads": ("gateway/a.c", "#include <pthread.h>\n", "belongs to"),
    "printf": ("store/a.c", 'void f(void) { printf("x"); }\n', "prints or exits"),
    "stderr": ("net/a.c", 'void f(void) { fprintf(stderr, "x"); }\n', "prints or exits"),
    "exit": ("proto/a.c", "void f(void) { exit(1); }\n", "prints or exits"),
    "after a comment": ("proto/a.c", "/* a */ void f(void) { exit(1); }\n", "prints or exits"),
    "sprintf": ("cmd/a.c", 'void f(char *p) { sprintf(p, "x"); }\n', "cannot be called safely"),
    "exec": ("proc/a.c", "void f(char **v) { execv(v[0], v); }\n", "executes a program"),
    "path of a failed buffer": ("zone/a.c", "int f(void) { return open(buf_cstr(&b), 0); }\n", "want buf_path"),
    "path, further in": ("cmd/a.c", "int f(void) { return x && lstat(buf_cstr(&b) + 1, &st) == 0; }\n", "want buf_path"),
    "path, second": ("store/a.c", "int f(void) { return rename(p, buf_cstr(&b)); }\n", "want buf_path"),
    "path across lines": ("gateway/a.c", "int f(void)\n{\n    return newfile_put_below(root,\n"
                                        "        buf_cstr(&b), x, 0, e);\n}\n", "want buf_path"),
    "path of a record": ("store/a.c", "int f(void) { return record_read(buf_cstr(&b), &r, e); }\n", "want buf_path"),
    "value of a failed buffer": ("gateway/a.c", 'void f(void) { json_put_str(o, "k", buf_str(&b)); }\n', "want json_put_buf"),
    "value across lines": ("daemon/a.c", 'void f(void)\n{\n    json_put_str(o, "k",\n        buf_str(&b));\n}\n',
                           "want json_put_buf"),
    "buffer into buffer": ("proto/a.c", "void f(void) { buf_put(o, buf_str(&b)); }\n", "want buf_put_buf"),
    "answer of a failed buffer": ("gateway/a.c", "void f(void) { answer.body = buf_str(&b); }\n", "want .made"),
    "wide line": ("base/a.c", "/* " + "x" * 96 + " */\n", "102 columns"),
    "tab": ("base/a.c", "void f(void)\n{\n\treturn;\n}\n", "tab"),
    "trailing space": ("base/a.c", "int a; \n", "white space"),
    "long function": ("base/a.c", "int f(void)\n{\n" + "    f();\n" * 79 + "}\n", "81 lines"),
}

GOOD = {
    "own and lower layers": ("net/a.c", '#include "net/a.h"\n#include "proto/url.h"\n'),
    "owners": ("base/json.c", "#include <cJSON.h>\n"),
    "TLS engine": ("net/tls.c", "#include <bearssl.h>\n"),
    "hashing": ("base/sha1.c", "#include <bearssl_hash.h>\n"),
    "one file looks": ("base/ready.c", "#include <poll.h>\nvoid f(void) { poll(&p, 1, 0); }\n"),
    "one file waits": ("loop/loop.c", "#include <sys/epoll.h>\nvoid f(void) { epoll_wait(fd, v, 9, -1); }\n"),
    "names of others that wait": ("cmd/a.c", "void f(void) { ready_sleep(1); pool_poll(p); t.poll(1); tar_select(2); }\n"),
    "commands print": ("cmd/a.c", 'void f(void) { printf("x"); exit(1); }\n'),
    "the log prints": ("base/log.c", 'void f(void) { fprintf(stderr, "x"); }\n'),
    "only said": ("net/a.c", '/* exit(1)\n * printf() */\nconst char *a = "exit(1)"; // exit(1)\n'),
    "others' names": ("net/a.c", "int snprintf_f(void); void f(void) { _exit(1); on_exit_f(); }\n"),
    "a buffer in words": ("cmd/a.c", 'void f(void) { printf("%s", buf_cstr(&b)); stat(p, &st); }\n'),
    "names that only end so": ("store/a.c", "void f(void) { look_at_access(buf_cstr(&b)); e.stat(buf_cstr(&b)); }\n"),
    "the right ways": ("gateway/a.c", 'void f(void) { open(buf_path(&b, e), 0); json_put_buf(o, "k", &b); }\n'),
    "part of a buffer": ("proto/a.c", "void f(void) { buf_put(o, str_slice(buf_str(&b), 0, 1)); }\n"),
    "wide in bytes": ("base/a.c", "/* " + "…" * 94 + " */\n"),
    "function of 80 lines": ("base/a.c", "int f(void)\n{\n" + "    f();\n" * 78 + "}\n"),
    "long table": ("base/roots_table.c", "int a;\n" * 501),
}


def check(tmp_path, name, text):
    (tmp_path / "ci").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy2(ROOT / "ci/layers.sh", tmp_path / "ci/layers.sh")
    path = tmp_path / "src" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return subprocess.run([tmp_path / "ci/layers.sh"], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("case", BAD)
def test_refuses(tmp_path, case):
    name, text, complaint = BAD[case]
    result = check(tmp_path, name, text)
    assert result.returncode != 0
    lines = result.stdout.splitlines()
    assert len(lines) == 1, result.stdout
    assert lines[0].startswith(f"src/{name}:") and complaint in lines[0]


@pytest.mark.parametrize("case", GOOD)
def test_accepts(tmp_path, case):
    result = check(tmp_path, *GOOD[case])
    assert (result.returncode, result.stdout) == (0, "")
