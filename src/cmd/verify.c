/* verify: read everything in the local store, or what some URIs name, and compare the hashes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/batch_run.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/ending.h"
#include "cmd/entry_list.h"
#include "proto/kachery_uri.h"
#include "store/hash_cache.h"
#include "store/hash_file.h"

enum { LOOK_AHEAD_AT_ONCE = 200, STATE_COUNT = STORE_UNCHECKED + 1 };

/* The meaning of one URI: a copy, a link, a location; or none of them. */
struct named_entry {
    char hash[SHA1_HEX + 1];
    struct store_entry entry;
};

struct verify {
    struct store store;
    struct entry_list list;
    bool is_quiet, has_failed;
    uint64_t counts[STATE_COUNT];
    struct store_list *all, *ahead; /* everything; or: */
    struct named_entry *named;
    size_t named_count, named_cap, next_named;
};

/* Takes the entry over, also when it fails. */
static int add_named(struct verify *v, const char *hash, struct store_entry *entry, struct err *e)
{
    if (v->named_count == v->named_cap) {
        size_t cap = v->named_cap == 0 ? 16 : 2 * v->named_cap;
        struct named_entry *named = realloc(v->named, cap * sizeof *named);
        if (named == NULL) {
            store_entry_deinit(entry);
            return err_set(e, ERR_FAILED, "out of memory");
        }
        v->named = named;
        v->named_cap = cap;
    }
    struct named_entry *n = &v->named[v->named_count++];
    memcpy(n->hash, hash, sizeof n->hash);
    n->entry = *entry;
    *entry = (struct store_entry){0};
    return 0;
}

/* The copy, and each path of the link. */
static int add_stored(struct verify *v, const char *hash, struct err *e)
{
    struct store_entry copy = {0}, *paths;
    size_t count;
    int status = 0;

    if (store_lookup_kind(&v->store, hash, STORE_COPY, &copy, e) != 0)
        return -1;
    if (copy.state != STORE_ABSENT && add_named(v, hash, &copy, e) != 0)
        return -1;
    if (store_lookup_paths(&v->store, hash, &paths, &count, e) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (status == 0)
            status = add_named(v, hash, &paths[i], e);
        else
            store_entry_deinit(&paths[i]);
    free(paths);
    return status;
}

/* The file that `location` means, or where one should be; NULL without a location. Caller frees. */
static char *located_path(const struct kachery_uri *u)
{
    char *path = NULL;

    for (size_t i = 0; i < KACHERY_URI_LOCATIONS; i++) {
        if (u->locations[i].len == 0)
            continue;
        free(path);
        path = strndup(u->locations[i].p, u->locations[i].len);
        if (path == NULL || access(path, F_OK) == 0)
            break;
    }
    return path;
}

static int look_up_uri(struct verify *v, const struct kachery_uri *u, struct err *e)
{
    struct store_entry absent = {.state = STORE_ABSENT};
    const size_t before = v->named_count;

    if (add_stored(v, u->hash, e) != 0)
        return -1;
    struct store_entry at_location = {
        .kind = STORE_LINK, .state = STORE_OK, .path = located_path(u)};
    if (at_location.path != NULL && add_named(v, u->hash, &at_location, e) != 0)
        return -1;
    return v->named_count == before ? add_named(v, u->hash, &absent, e) : 0;
}

/* All URIs are read before any file is: a wrong one is told at once. */
static int look_up_all(struct verify *v, const char *const *texts, size_t count, struct err *e)
{
    struct kachery_uri u;

    for (size_t i = 0; i < count; i++)
        if (kachery_uri_parse(&u, str_of(texts[i]), KACHERY_URI_USER, e) != 0)
            return -1;
    for (size_t i = 0; i < count; i++)
        if (kachery_uri_parse(&u, str_of(texts[i]), KACHERY_URI_USER, e) != 0 ||
            look_up_uri(v, &u, e) != 0)
            return -1;
    return 0;
}

/* The next of the store, telling what cannot be read on the way; false at the end. */
static bool next_of_all(struct verify *v, struct batch_item *item)
{
    struct err e;
    int step;

    while ((step = store_list_next(v->all, item->wanted_hash, &item->about, &e)) < 0) {
        cmd_warn("verify", &e);
        v->has_failed = true;
    }
    return step > 0;
}

static bool next_of_named(struct verify *v, struct batch_item *item)
{
    if (v->next_named == v->named_count)
        return false;
    struct named_entry *n = &v->named[v->next_named++];
    memcpy(item->wanted_hash, n->hash, sizeof n->hash);
    item->about = n->entry;
    n->entry = (struct store_entry){0};
    return true;
}

/* Also what cannot be read: the attempt tells why. */
static bool is_to_be_read(const struct store_entry *entry)
{
    return entry->path != NULL && (entry->state == STORE_OK || entry->state == STORE_TOUCHED ||
                                   entry->state == STORE_UNREADABLE);
}

static enum batch_run_step next_entry(void *owner, struct batch_item *item)
{
    const struct err nothing_to_read = {ERR_FAILED, ""};
    struct verify *v = owner;

    if (!(v->all != NULL ? next_of_all(v, item) : next_of_named(v, item)))
        return BATCH_RUN_END;
    item->size = item->about.size;
    if (is_to_be_read(&item->about))
        item->path = strdup(item->about.path);
    if (item->path == NULL)
        batch_item_fail(item, &nothing_to_read);
    return BATCH_RUN_ITEM;
}

static bool count_entries(void *owner, uint64_t *files, uint64_t *bytes)
{
    struct verify *v = owner;

    for (int i = 0; i < LOOK_AHEAD_AT_ONCE; i++) {
        char hash[SHA1_HEX + 1];
        struct store_entry entry = {0};
        int step = store_list_next(v->ahead, hash, &entry, ERR_IGNORED);
        if (step > 0) {
            *files += 1;
            *bytes += is_to_be_read(&entry) ? (uint64_t)entry.size : 0;
        }
        store_entry_deinit(&entry);
        if (step == 0)
            return true;
    }
    return false;
}

static void read_again(struct verify *v, struct batch_item *item)
{
    static const struct hash_options checking = {.flags = HASH_CHECK_MANIFEST};
    struct hash_result hashed;
    struct err e = {0};

    if (hash_file(&v->store, item->about.path, &checking, &hashed, &e) != 0) {
        batch_item_fail(item, &e);
        return;
    }
    memcpy(item->hash, hashed.hash, sizeof item->hash);
    item->size = hashed.size;
    item->mtime = hashed.mtime;
    item->id = hashed.id;
    item->manifest = hashed.manifest_state;
    item->code = ERR_NONE;
}

/* Looks up the store's entry at the same path now, else the first of its hash. */
static int look_up_again(struct verify *v, const struct batch_item *item, struct store_entry *out)
{
    const struct store_entry *old = &item->about;
    struct store_entry *paths;
    size_t count, same = 0;

    if (old->kind == STORE_COPY)
        return store_lookup_kind(&v->store, item->wanted_hash, STORE_COPY, out, ERR_IGNORED);
    if (store_lookup_paths(&v->store, item->wanted_hash, &paths, &count, ERR_IGNORED) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (paths[i].path != NULL && strcmp(paths[i].path, old->path) == 0)
            same = i;
    *out = (struct store_entry){.state = STORE_ABSENT};
    for (size_t i = 0; i < count; i++)
        if (i == same)
            *out = paths[i];
        else
            store_entry_deinit(&paths[i]);
    free(paths);
    return 0;
}

/* Others change the store while it is read. For an entry of it that was not as it should be: false
 * when there is no such entry any more. An entry that was replaced is read now, and a target that
 * is gone is missing, as if all had been so before. */
static bool look_again(struct verify *v, struct batch_item *item)
{
    struct store_entry *old = &item->about, now = {0};
    char *path = old->path;

    if (v->all == NULL || look_up_again(v, item, &now) != 0)
        return true;
    bool is_absent = now.state == STORE_ABSENT;
    bool is_replaced = !is_absent && now.path != NULL &&
                       (strcmp(now.path, path) != 0 ||
                        (now.kind == STORE_COPY &&
                         (now.size != old->size || now.mtime != old->mtime)));
    bool is_missing = now.state == STORE_MISSING;
    if (is_replaced || is_missing) {
        struct store_entry swapped = *old;
        *old = now;
        now = swapped;
    }
    store_entry_deinit(&now);
    if (is_replaced && is_to_be_read(old))
        read_again(v, item);
    return !is_absent;
}

static bool is_as_wanted(const struct batch_item *item)
{
    return item->code == ERR_NONE && strcmp(item->hash, item->wanted_hash) == 0;
}

/* Takes the result of reading the file into the entry. */
static void judge_entry(struct verify *v, struct batch_item *item)
{
    struct store_entry *entry = &item->about;
    struct err e;

    if (item->code != ERR_NONE) {
        err_set(&e, item->code, "%s", item->error == NULL ? "out of memory" : item->error);
        cmd_warn_file("verify", entry->path, &e);
        entry->state = item->code == ERR_CHANGED ? STORE_STALE : STORE_UNREADABLE;
        return;
    }
    entry->size = item->size;
    if (strcmp(item->hash, item->wanted_hash) != 0) {
        entry->state = entry->kind == STORE_COPY ? STORE_DAMAGED : STORE_STALE;
        hash_cache_forget(&v->store, entry->path); /* or linking again would believe it */
        return;
    }
    /* If it cannot be remembered, it is hashed again next time. */
    if (entry->state == STORE_TOUCHED || entry->is_other_file)
        (void)!store_refresh_link(&v->store, item->hash, entry->path, item->size, item->mtime,
                                  &item->id, &e);
    entry->state = STORE_OK;
    if (item->manifest == MANIFEST_FILE_UNKNOWN) {
        v->has_failed = true;
        err_set(&e, ERR_FAILED, "its manifest cannot be read now");
        cmd_warn_file("verify", entry->path, &e);
    }
    if (item->manifest != MANIFEST_FILE_DAMAGED)
        return;
    entry->state = STORE_DAMAGED;
    hash_cache_forget(&v->store, entry->path); /* linking again reads it again */
    err_set(&e, ERR_CHANGED, "its manifest is damaged: %s it again",
            entry->kind == STORE_COPY ? "store" : "link");
    cmd_warn_file("verify", entry->path, &e);
}

/* Of what was read it is known; of others it is looked at. */
static enum manifest_file_state manifest_of(const struct verify *v, const struct batch_item *item)
{
    return is_as_wanted(item)
               ? item->manifest
               : manifest_file_look(&v->store, item->wanted_hash, item->about.size);
}

static void report_entry(void *owner, struct batch_item *item)
{
    struct verify *v = owner;

    if (is_to_be_read(&item->about) && !is_as_wanted(item) && !look_again(v, item))
        return;
    if (is_to_be_read(&item->about))
        judge_entry(v, item);
    v->counts[item->about.state]++;
    if (!v->is_quiet || item->about.state != STORE_OK)
        entry_list_add(&v->list, item->wanted_hash, &item->about, manifest_of(v, item));
}

static int sum_up_entries(struct verify *v)
{
    uint64_t total = 0, stale = v->counts[STORE_STALE] + v->counts[STORE_TOUCHED];

    for (size_t i = 0; i < STATE_COUNT; i++)
        total += v->counts[i];
    uint64_t missing = total - v->counts[STORE_OK] - stale - v->counts[STORE_DAMAGED];
    int status = entry_list_end(
        &v->list, v->has_failed || total > v->counts[STORE_OK] ? CMD_FAILED : CMD_OK);
    if (!v->is_quiet)
        fprintf(stderr, "%llu ok, %llu stale, %llu damaged, %llu missing\n",
                (unsigned long long)v->counts[STORE_OK], (unsigned long long)stale,
                (unsigned long long)v->counts[STORE_DAMAGED], (unsigned long long)missing);
    return status;
}

static int run_verify(struct verify *v, const struct cmd_args *args, struct err *e)
{
    struct batch_run run = {.what = "verifying",
                            .is_quiet = args->is_quiet,
                            .store = &v->store,
                            .work = BATCH_HASH,
                            .owner = v,
                            .next = next_entry,
                            .wait_fd = -1,
                            .on_result = report_entry};

    if (args->operand_count > 0) {
        if (look_up_all(v, args->operands, args->operand_count, e) != 0)
            return cmd_fail("verify", e);
    } else {
        v->all = store_list_open(&v->store, e);
        v->ahead = v->all == NULL ? NULL : store_list_open(&v->store, e);
        if (v->ahead == NULL)
            return cmd_fail("verify", e);
        run.look_ahead = count_entries;
        store_list_tidy(v->all);
    }
    int status = batch_run(&run, e);
    if (status < 0)
        return cmd_fail("verify", e);
    if (status > 0)
        ending_die(status);
    return sum_up_entries(v);
}

int cmd_verify(int argc, char **argv)
{
    struct verify v = {.list = {.name = "verify"}};
    const struct cmd_option options[] = {
        {.name = "json", .flag = &v.list.is_json},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options, .max_operands = SIZE_MAX};
    struct err e;

    int status = cmd_parse("verify", argc, argv, &args);
    if (status >= 0)
        return status;
    v.is_quiet = args.is_quiet;
    if (store_init(&v.store, &e) != 0)
        return cmd_fail("verify", &e);
    status = run_verify(&v, &args, &e);
    for (size_t i = 0; i < v.named_count; i++)
        store_entry_deinit(&v.named[i].entry);
    free(v.named);
    store_list_close(v.all);
    store_list_close(v.ahead);
    store_deinit(&v.store);
    return status;
}
