#include "daemon/lookup_worker.h"

#include <string.h>

#include "base/json.h"
#include "daemon/config.h"
#include "daemon/reason.h"
#include "proc/frame.h"
#include "store/store.h"

/* Bytes that are no UTF-8 take three each. */
enum { MAX_NOTE_BYTES = (ERR_MESSAGE_SIZE - 1) / 3 };

struct worker {
    int fd;
    struct store store;
    struct buf in, out;
    int64_t first;  /* the sequence number of the first answer that is not sent */
    int64_t count;  /* of those in `out` */
    bool is_alone;  /* nobody reads the answers */
};

static void begin(struct worker *w)
{
    buf_clear(&w->out);
    json_open(&w->out, '{');
    json_put_int(&w->out, "first", w->first);
    json_open_member(&w->out, "found", '[');
    w->count = 0;
}

/* Sends the answers so far. */
static void flush(struct worker *w)
{
    if (w->count == 0)
        return;
    json_close(&w->out, ']');
    json_close(&w->out, '}');
    if (w->out.failed || frame_send(w->fd, buf_str(&w->out), -1, NULL) != IO_DONE)
        w->is_alone = true;
    w->first += w->count;
    begin(w);
}

static void put_entry(struct worker *w, const struct store_entry *entry)
{
    const char *reason = reason_of_state(entry->state);

    if (reason != NULL) {
        json_put_str(&w->out, NULL, str_of(reason));
    } else if (entry->state == STORE_ABSENT && entry->refusal != NULL) {
        json_open_member(&w->out, NULL, '[');
        json_put_str(&w->out, NULL, str_cut(str_of(entry->refusal), MAX_NOTE_BYTES));
        json_close(&w->out, ']');
    } else if (entry->state == STORE_ABSENT) {
        json_put_null(&w->out, NULL);
    } else {
        json_put_int(&w->out, NULL, entry->size);
    }
}

/* A link's target may be on storage that hangs: what is known is said before it is touched. */
static void look_up(struct worker *w, const char *hash)
{
    struct store_entry entry = {0};

    if (store_lookup_record(&w->store, hash, &entry, NULL) != 0) {
        json_put_str(&w->out, NULL, STR(REASON_STORE));
        w->count++;
        return;
    }
    if (entry.state == STORE_UNCHECKED) {
        flush(w);
        store_check_target(&entry);
    }
    put_entry(w, &entry);
    w->count++;
    store_entry_deinit(&entry);
}

static bool do_frame(struct worker *w, const struct json *message)
{
    char text[SHA1_HEX + 1];
    struct str hash;

    if (!json_int(json_get(message, "first"), &w->first))
        return false;
    begin(w);
    for (const struct json *v = json_first(json_get(message, "hashes")); v != NULL;
         v = json_next(v)) {
        if (!json_str(v, &hash) || hash.len != SHA1_HEX)
            return false;
        memcpy(text, hash.p, SHA1_HEX);
        text[SHA1_HEX] = '\0';
        look_up(w, text);
    }
    flush(w);
    return !w->is_alone;
}

int lookup_worker_run(int fd, void *ctx)
{
    struct worker w = {.fd = fd};
    bool is_good = store_init(&w.store, NULL) == 0;

    w.store.vouchers = ctx;
    while (is_good && frame_receive(fd, &w.in, NULL, NULL) == IO_DONE) {
        struct json *message = json_parse(buf_str(&w.in), JSON_STRICT, NULL);
        is_good = message != NULL && do_frame(&w, message);
        json_free(message);
    }
    store_deinit(&w.store);
    buf_free(&w.in);
    buf_free(&w.out);
    return is_good ? 0 : 1;
}
