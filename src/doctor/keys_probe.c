/* The client's keys: there, whole, a pair, and its owner's alone. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "doctor/probe.h"
#include "store/store.h"
#include "zone/identity.h"

enum { SHOWN_DIGITS = 16 /* of a client ID */ };

static void fail_keys(struct probe *p, const struct err *e)
{
    if (env_get("KACHERY_CLOUD_CLIENT_ID") != NULL)
        probe_fail(p, CHECK_KEYS,
                   "correct KACHERY_CLOUD_CLIENT_ID and KACHERY_CLOUD_PRIVATE_KEY, or unset both",
                   "%s", e->msg);
    else if (e->code == ERR_NOT_FOUND)
        probe_fail(p, CHECK_KEYS,
                   "run `kachery-resource register` here, with the daemon's environment (is "
                   "KACHERY_CLOUD_DIR the daemon's?)",
                   "%s", e->msg);
    else
        probe_fail(p, CHECK_KEYS,
                   "put both key files back from a copy, readable for this user; or move them away "
                   "and run `kachery-resource register`",
                   "%s", e->msg);
}

/* A reader of the private key can upload in this client's name. */
static void judge_private_key(struct probe *p, const char *key_dir)
{
    char cure[FINDING_MAX_BYTES];
    struct buf path = {0};
    struct err e;
    struct stat st;

    buf_printf(&path, "%s/private.pem", key_dir);
    const char *file = buf_path(&path, &e);
    if (file != NULL && stat(file, &st) == 0) {
        snprintf(cure, sizeof cure, "run `chmod 600 %s`", file);
        if ((st.st_mode & 077) != 0)
            probe_fail(p, CHECK_KEYS, cure, "%s has mode %04o: others can %s the private key", file,
                       (unsigned)(st.st_mode & 07777),
                       (st.st_mode & 044) != 0 ? "read" : "replace");
        snprintf(cure, sizeof cure, "make it yours: `chown %lu %s`, or register keys of your own",
                 (unsigned long)geteuid(), file);
        if (st.st_uid != geteuid() && st.st_uid != 0)
            probe_warn(p, CHECK_KEYS, cure, "%s belongs to user %lu", file,
                       (unsigned long)st.st_uid);
    }
    buf_free(&path);
}

void keys_probe_run(struct probe *p)
{
    struct identity identity = {.client_id = ""};
    struct store store = {0};
    struct err e = {0};

    if (store_init(&store, &e) != 0) {
        probe_fail(p, CHECK_KEYS, "set KACHERY_CLOUD_DIR, or HOME", "%s", e.msg);
        return;
    }
    probe_look_at(p, store.key_dir);
    if (identity_load(&identity, store.key_dir, &e) != 0) {
        fail_keys(p, &e);
    } else if (env_get("KACHERY_CLOUD_CLIENT_ID") != NULL) {
        probe_ok(p, CHECK_KEYS, "client %.*s... of KACHERY_CLOUD_CLIENT_ID", SHOWN_DIGITS,
                 identity.client_id);
    } else {
        judge_private_key(p, store.key_dir);
        probe_ok(p, CHECK_KEYS, "client %.*s... in %s", SHOWN_DIGITS, identity.client_id,
                 store.key_dir);
    }
    identity_wipe(&identity);
    store_deinit(&store);
}
