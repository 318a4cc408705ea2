#include "doctor/holder.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "daemon/keeper.h"
#include "daemon/lease.h"

enum { STATUS_BYTES = 1 << 20, OWNER_BYTES = 4096, RENEWED_MS = 60000, STALE_MS = 300000 };

/* The lease's record. */
struct owner_record {
    char resource[HOLDER_NAME_BYTES], host[HOLDER_NAME_BYTES], boot[HOLDER_NAME_BYTES],
        pid_namespace[HOLDER_NAME_BYTES];
    int64_t pid;
};

#define TEXT(name_, member)                                                                        \
    .name = name_, .kind = FIELD_CHARS, .at = offsetof(struct owner_record, member),               \
    .max = HOLDER_NAME_BYTES - 1
static const struct field owner_fields[] = {
    {TEXT("resource", resource), .is_optional = true},
    {TEXT("host", host)},
    {TEXT("boot", boot)},
    {TEXT("pidNamespace", pid_namespace)},
    {.name = "pid", .kind = FIELD_INT, .at = offsetof(struct owner_record, pid)},
    {.name = NULL, .kind = FIELD_OTHERS}};
#undef TEXT

/* The member `proxy` of a status file. */
struct proxy_status {
    struct str state, failure;
};

static const struct field status_fields[] = {
    {.name = "proxy", .kind = FIELD_OBJECT, .at = 0},
    {.name = NULL, .kind = FIELD_OTHERS}};

static const struct field proxy_fields[] = {
    {.name = "state", .kind = FIELD_STRING, .at = offsetof(struct proxy_status, state)},
    {.name = "failure", .kind = FIELD_STRING, .at = offsetof(struct proxy_status, failure),
     .is_optional = true},
    {.name = NULL, .kind = FIELD_OTHERS}};

/* Reads what the daemon says of its line to the proxy; nothing of a file that is none. */
static void read_proxy_status(const char *path, struct holder *out)
{
    struct proxy_status status = {.state = STR(""), .failure = STR("")};
    const struct json *proxy = NULL;
    struct buf text = {0};
    struct json *doc = NULL;

    if (fs_read_file(path, STATUS_BYTES, &text, ERR_IGNORED) == 0)
        doc = json_parse(buf_str(&text), JSON_STRICT, ERR_IGNORED);
    if (doc != NULL && fields_read(status_fields, doc, &proxy, NULL, ERR_IGNORED) == 0 &&
        fields_read(proxy_fields, proxy, &status, NULL, ERR_IGNORED) == 0) {
        out->is_connected = str_equal(status.state, STR("connected"));
        snprintf(out->failure, sizeof out->failure, "%.*s", STR_ARG(status.failure));
    }
    json_free(doc);
    buf_free(&text);
}

static bool is_same_text(const char *path, const char *expected)
{
    struct buf text = {0};
    bool is_same = fs_read_file(path, HOLDER_NAME_BYTES, &text, ERR_IGNORED) == 0 &&
                   str_equal(str_slice(buf_str(&text), 0, str_find(buf_str(&text), '\n')),
                             str_of(expected));

    buf_free(&text);
    return is_same;
}

/* A process of this boot is looked for, another one is judged by the age of its record. */
static enum holder_state judge_owner(const struct owner_record *r, const struct stat *st)
{
    char name[HOLDER_NAME_BYTES] = "";
    ssize_t n = readlink("/proc/self/ns/pid", name, sizeof name - 1);
    int64_t age_ms = clock_wall_ms() - fs_mtime_ms(st);

    if (n > 0 && strcmp(name, r->pid_namespace) == 0 &&
        is_same_text("/proc/sys/kernel/random/boot_id", r->boot))
        return kill((pid_t)r->pid, 0) == 0 || errno == EPERM ? HOLDER_ALIVE : HOLDER_DEAD;
    return age_ms < RENEWED_MS ? HOLDER_ALIVE : age_ms < STALE_MS ? HOLDER_UNCLEAR : HOLDER_DEAD;
}

static int watch_lease(const char *owner_path, struct holder *out, struct err *e)
{
    struct owner_record r = {.pid = 0};
    struct buf text = {0};
    struct stat st;
    struct err why = {0};
    int result = fs_read_stat(owner_path, false, OWNER_BYTES, &text, &st, &why);
    struct json *doc = result == 0 ? json_parse(buf_str(&text), JSON_STRICT, &why) : NULL;

    if (result != 0 && why.code != ERR_NOT_FOUND) {
        err_copy(e, &why);
    } else {
        out->state = result != 0 ? HOLDER_NONE : HOLDER_UNCLEAR;
        result = 0;
    }
    if (doc != NULL && fields_read(owner_fields, doc, &r, NULL, ERR_IGNORED) == 0) {
        snprintf(out->resource, sizeof out->resource, "%s", r.resource);
        snprintf(out->host, sizeof out->host, "%s", r.host);
        out->pid = r.pid;
        out->state = judge_owner(&r, &st);
    }
    json_free(doc);
    buf_free(&text);
    return result;
}

int holder_find(const struct probe *p, struct holder *out, struct err *e)
{
    char real[PATH_MAX];
    const char *config = realpath(p->options->config_path, real) != NULL ? real
                                                                         : p->options->config_path;
    struct buf folder = {0}, status = {0};
    int result = -1;

    *out = (struct holder){.state = HOLDER_NONE};
    config_put_sibling(config, LEASE_FOLDER "/owner", &folder);
    config_put_sibling(config, KEEPER_STATUS_FILE, &status);
    const char *lease_path = buf_path(&folder, e), *status_path = buf_path(&status, e);
    if (lease_path != NULL && status_path != NULL)
        result = watch_lease(lease_path, out, e);
    if (result == 0 && out->state != HOLDER_NONE)
        read_proxy_status(status_path, out);
    buf_free(&folder);
    buf_free(&status);
    return result;
}
