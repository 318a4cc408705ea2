#include "doctor/sample.h"

#include "base/clock.h"
#include "store/manifest_file.h"
#include "store/store.h"

static void count_state(struct sample *s, const struct store_entry *entry)
{
    bool is_bad = true;

    switch (entry->state) {
    case STORE_TOUCHED:
    case STORE_STALE: s->changed++; break;
    case STORE_MISSING: s->gone++; break;
    case STORE_UNREADABLE: s->unreadable++; break;
    default: is_bad = false;
    }
    if (is_bad && s->first_bad.len == 0 && entry->path != NULL)
        buf_puts(&s->first_bad, entry->path);
}

static void count_entry(struct sample *s, const struct store *store, const char *hash,
                        const struct store_entry *entry)
{
    s->looked_at++;
    count_state(s, entry);
    if (entry->state != STORE_OK)
        return;
    enum manifest_file_state manifest = manifest_file_look(store, hash, entry->size);
    s->without_manifest += manifest == MANIFEST_FILE_ABSENT;
    s->damaged_manifests += manifest == MANIFEST_FILE_DAMAGED;
    if (entry->size <= s->largest_bytes)
        return;
    s->largest_bytes = entry->size;
    buf_clear(&s->largest);
    buf_puts(&s->largest, entry->path);
}

/* store_observe_targets */
static void tell_target(void *ctx, const char *path)
{
    probe_look_at(ctx, path);
}

int sample_take(struct probe *p, struct sample *s, int64_t until_ms, struct err *e)
{
    struct store store = {0};
    struct store_list *list = NULL;
    int step = -1;

    *s = (struct sample){.largest_bytes = -1};
    store_observe_targets(tell_target, p);
    if (store_init(&store, e) == 0 && (list = store_list_open(&store, e)) != NULL) {
        do {
            char hash[SHA1_HEX + 1];
            struct store_entry entry = {0};
            struct err why = {0};
            probe_look_at(p, store.dir);
            step = store_list_next(list, hash, &entry, &why);
            if (step > 0)
                count_entry(s, &store, hash, &entry);
            else if (step < 0 && s->failure.code == ERR_NONE)
                err_copy(&s->failure, &why);
            store_entry_deinit(&entry);
        } while (step != 0 && clock_now_ms() < until_ms);
        s->is_whole = step == 0;
        step = 0;
    }
    store_observe_targets(NULL, NULL);
    probe_look_at(p, "");
    store_list_close(list);
    store_deinit(&store);
    return step;
}

void sample_free(struct sample *s)
{
    buf_free(&s->first_bad);
    buf_free(&s->largest);
}
