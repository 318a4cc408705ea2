#!/bin/sh
# ci/layers.sh: what the design and the style forbid and no compiler sees. Prints each offence as
# file:line: text. The layers are the folders of src, each may include from itself and from those
# before it.
set -eu
cd "$(dirname "$0")/.."

find src tests -type f '(' -name '*.[ch]' -o -name '*.py' ')' ! -path '*/vectors/*' ! -path '*/node_modules/*' |
    LC_ALL=C sort | LC_ALL=C xargs awk -v layers='base proto loop proc store x509 net http zone daemon bucket access gateway proxy site hub help doctor cmd' '
BEGIN {
    count = split(layers, a, " ")
    for (i = 1; i <= count; i++) rank[a[i]] = i
    # Who may include what of others: header, then the files that own it.
    owner["cJSON.h"] = "^src/base/json[a-z_0-9]*\\.c$"
    owner["yaml.h"] = "^src/base/yaml[a-z_0-9]*\\.c$"
    owner["sodium"] = "^src/base/ed25519\\.c$"
    owner["bearssl_hash.h"] = "^src/base/"
    owner["bearssl_hmac.h"] = "^src/base/"
    owner["bearssl"] = "^src/net/tls[a-z_0-9]*\\.c$|^src/x509/[a-z_0-9]*\\.c$|^src/net/tls_internal\\.h$"
    takes_path = "[^a-z_A-Z0-9.>](l?stat|access|open|openat|opendir|rename|link|symlink|unlink|remove|" \
        "mkdir|mkdtemp|rmdir|readlink|chdir|truncate|utimensat|fstatat|unlinkat|nftw|execv|" \
        "(fs|dirs|newfile|place|text_file|record|paths|hash|voucher|lease|store_make|" \
        "store_open|store_write|log_open|log_check|cause|tree_open|follow_find|trust_use)[a-z_]*) ?[(]"
    owner["poll.h"] = "^src/base/ready\\.c$"
    owner["sys/epoll.h"] = "^src/loop/loop\\.c$"
    owner["sys/select.h"] = "^no file: loop/loop.h waits$"
    owner["pthread.h"] = owner["threads.h"] = "^no file: processes, not threads$"
}
function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; status = 1 }
function starts(text, head) { return substr(text, 1, length(head)) == head }

# The code of a line: no comments, strings and character constants emptied.
function code_of(line,    at, end) {
    if (in_comment) {
        end = index(line, "*/")
        if (!end) return ""
        line = substr(line, end + 2); in_comment = 0
    }
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    gsub(/\047([^\047\\]|\\.)*\047/, "0", line)
    sub(/\/\/.*/, "", line)
    while (at = index(line, "/*")) {
        end = index(substr(line, at + 2), "*/")
        if (!end) { in_comment = 1; return substr(line, 1, at - 1) }
        line = substr(line, 1, at - 1) " " substr(line, at + end + 3)
    }
    return line
}
# A path that is made in a buffer goes through buf_path: what failed there is "" for buf_cstr, and
# "" is not there. What a buffer holds is put into JSON, other buffers and answers with its failure.
function check_buffers(text,    rest, call, depth, i, c, arguments) {
    if (FILENAME ~ /^src\/base\/(buf|json_write)\.c$/) return
    if (text ~ /json_put_(str|path)\([^;]*[^a-z_]buf_str\(/) bad("puts buf_str() into JSON: want json_put_buf")
    if (text ~ /[^a-z_]buf_put\([^,;]*, *buf_str\(/) bad("puts buf_str() into a buffer: want buf_put_buf")
    if (FILENAME ~ /^src\/(http|bucket|gateway|proxy|site|hub)\// && FILENAME !~ /http_out\.c$/ &&
        text ~ /(http_answer\) ?\{[^;]*\.|[^a-z_]answer\.)body =[^;]*[^a-z_]buf_str\(/)
        bad("answers with buf_str(): want .made, the buffer itself")
    rest = text
    while (match(rest, takes_path)) {
        call = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        depth = 1; arguments = ""
        for (i = 1; i <= length(rest) && depth > 0; i++) {
            c = substr(rest, i, 1)
            depth += (c == "(") - (c == ")")
            arguments = arguments c
        }
        if (arguments ~ /[^a-z_]buf_cstr\(/ || arguments ~ /^buf_cstr\(/) {
            sub(/^[^a-z_A-Z0-9]/, "", call)
            bad(call "…buf_cstr()): want buf_path(), which is NULL without memory")
        }
    }
}
function owner_of(header,    h) {
    if (header in owner) return owner[header]
    for (h in owner) if (starts(header, h) && h !~ /\.h$/) return owner[h]
    return ""
}
function check_include(text,    header, folder, who) {
    header = text
    sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", header); sub(/[>"].*/, "", header)
    who = owner_of(header)
    if (who != "" && !is_test && FILENAME !~ who)
        bad("includes " header ", which belongs to " who)
    if (!(here in rank) || text !~ /"/) return
    folder = header
    if (!sub(/\/.*/, "", folder)) bad("includes \"" header "\": want its folder, as in \"" here "/" header "\"")
    else if (!(folder in rank)) bad("includes " header " of no known layer")
    else if (folder == "bucket" && here ~ /^(access|gateway)$/ && header != "bucket/bucket.h")
        bad(here "/ includes " header ": want bucket/bucket.h, which is all that it may know of buckets")
    else if (rank[folder] > rank[here]) bad(here "/ includes " header " of a higher layer")
}

FNR == 1 {
    in_comment = body = 0
    statement = ""
    is_c = FILENAME ~ /\.[ch]$/
    is_test = FILENAME ~ /^tests\//
    here = ""
    if (split(FILENAME, part, "/") > 2) here = part[2]
    if (!is_test && is_c && here != "" && !(here in rank)) bad("src/" here " is no known layer")
    prints = is_test || FILENAME ~ /^src\/(cmd|daemon|hub)\/|^src\/main\.c$|^src\/base\/log\.c$/
}
{
    wide = $0
    gsub(/[\200-\277]/, "", wide)  # the later bytes of a UTF-8 character
    if (is_c && length(wide) > 100) bad("line of " length(wide) " columns, want at most 100")
}
/\t/ && !/^[^"]*"/ { bad("tab: indent with four spaces") }
/[ \t]$/ { bad("white space at the end of the line") }
!is_c { next }
{
    code = code_of($0)
    if (code ~ /^[ \t]*#[ \t]*include/) check_include($0)
    if (code ~ /^\{/) body = FNR
    if (body && code ~ /^\}/) {
        if (FNR - body + 1 > 80) bad("function of " FNR - body + 1 " lines, want at most 80")
        body = 0
    }
    if (is_test) next
    code = " " code
    statement = statement code
    if (code ~ /[;{}]/ || FNR == 1) { check_buffers(statement); statement = "" }
    if (!prints && code ~ /[^a-z_A-Z0-9>.](v?d?printf|puts|putchar|perror|exit) ?\(|[^a-z_A-Z0-9](stdout|stderr)[^a-z_A-Z0-9]/)
        bad("prints or exits below cmd/, daemon/ and hub/")
    if (code ~ /[^a-z_A-Z0-9>.](strcpy|strcat|strncpy|v?sprintf|gets|strtok|alloca|system|popen) ?\(/)
        bad("uses a function that cannot be called safely")
    if (FILENAME !~ /^src\/(base\/ready|loop\/loop)\.c$/ &&
        code ~ /[^a-z_A-Z0-9>.](p?poll|p?select|epoll_p?wait2?|(clock_)?nanosleep|u?sleep) ?\(/)
        bad("waits by itself: want loop/loop.h, or base/ready.h for one descriptor or a sleep")
    if (FILENAME !~ /^src\/(base|proto)\// && code ~ /[^a-z_A-Z0-9]json_get ?\(/)
        bad("reads a member of an object by hand: want a table (base/fields.h)")
    if (code ~ /[^a-z_A-Z0-9>.]exec(ve?|vpe?|le?|lp)? ?\(/)
        bad("executes a program: children are forked only")
}
END { exit status }
'
