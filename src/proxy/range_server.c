#include "proxy/range_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/authorization.h"
#include "access/links.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/sha1.h"
#include "http/cors.h"
#include "http/http_select.h"
#include "proto/extensions.h"
#include "proto/manifest.h"
#include "proto/url.h"
#include "proxy/block_cache.h"
#include "proxy/folder_cache.h"
#include "proxy/folder_page.h"
#include "proxy/range_judge.h"
#include "proxy/range_keep.h"
#include "proxy/range_path.h"

enum {
    SMALL_BYTES = 1 << 20,       /* a range above it follows the reader */
    UNREADABLE_MS = 800,         /* of a request, before hosts that cannot read are believed */
    MAX_WINDOW_BYTES = 8 << 20,  /* fetched ahead of such a reader */
    AHEAD_PLACES = 16,           /* readers that are known to read on */
    MAX_AHEAD_BLOCKS = 16,       /* 4 MiB */
    AHEAD_MS = 10000,
    DENIAL_MS = 10, /* until a token that opens nothing is answered: longer than looking takes */
    MAX_HEADERS = 16,
    ETAG_BYTES = SHA1_HEX + 40
};

static const char no_rights[] = "sandbox; default-src 'none'";
static const char empty_sha1[] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/* A reader that came back for what follows: what it will want next is fetched. */
struct reading_ahead {
    struct relay_reader reader;
    bool is_used;
    int64_t next; /* byte behind its last request */
    int64_t run;  /* blocks that it came to by going on */
    uint32_t blocks; /* that are fetched ahead: half as many, within a limit */
    int64_t until_ms;
};

struct range_server {
    struct range_server_options options;
    struct folder_cache *folders;
    struct authorization_memory settings; /* of the own zone */
    struct range_answer *answers;
    struct reading_ahead ahead[AHEAD_PLACES];
    struct loop_timer ahead_timer;
    struct range_keeps keeps;
    struct range_judges judges;
};

/* One request, from its head to the last byte of its answer. */
struct range_answer {
    struct range_server *server;
    struct range_answer *previous, *next;
    struct http_conn *conn;
    struct relay_reader reader;
    struct http_wish wish;
    struct buf name;
    char sha1[SHA1_HEX + 1];
    bool is_head, is_started, is_waiting; /* waiting: its body had nothing */
    bool is_object;                       /* of the bucket, not of a host */
    bool is_empty;                        /* known without a host */
    bool is_manifest;                     /* the file's manifest is asked for, and not the file */
    int64_t size, start, position, end;
    struct loop_timer timer; /* a host is waited for, or the time of a denial */
    int64_t asked_ms;
    struct relay_info info;
    unsigned char manifest_head[MANIFEST_HEAD_BYTES];
    bool is_judged; /* all of it is sent, and hashed */
    struct range_keep *keep; /* all of it becomes an object of the bucket; or NULL */
    struct range_judge judge;
    int64_t hashed; /* the judge has the bytes before this one */
    struct str lent; /* to the connection, while it writes */
    struct err e; /* of the bucket's calls */
    struct zone_reading settings;
    bool is_shared; /* asked for by a share link */
    struct links_use use;
    struct buf key;
    struct bucket_file file;
    struct bucket_head head; /* where the bucket's objects are no files */
    struct bucket_read read;
    /* Below /d/: */
    bool is_in_folder; /* the rest says how it is asked for, until the file in it is known */
    bool is_bare;      /* its address does not end with '/' */
    bool wants_json;
    struct folder_reader folder;
    struct folder_page page;
};

/* ---- headers ---- */

struct headers {
    struct http_header items[MAX_HEADERS];
    size_t count;
    char etag[ETAG_BYTES + 2], range[HTTP_CONTENT_RANGE_BYTES], building[64];
    struct buf disposition;
};

static void add_header(struct headers *h, const char *name, struct str value)
{
    h->items[h->count++] = (struct http_header){str_of(name), value};
}

/* The headers of every answer below /f/ and /d/. */
static void add_common_headers(struct headers *h, const char *policy)
{
    add_header(h, "X-Content-Type-Options", STR("nosniff"));
    add_header(h, "Content-Security-Policy", str_of(policy));
    add_header(h, "Referrer-Policy", STR("no-referrer"));
    add_header(h, "X-Robots-Tag", STR("noindex"));
    add_header(h, "X-Accel-Buffering", STR("no"));
}

/* A name in a quoted string: what would end it, and what is no ASCII, is left to filename*. */
static void put_disposition(struct buf *out, struct str name)
{
    buf_puts(out, "attachment; filename*=UTF-8''");
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_';
        buf_printf(out, is_plain ? "%c" : "%%%02X", c);
    }
}

static void add_content_headers(struct headers *h, struct str name, bool is_shared)
{
    add_header(h, "ETag", str_of(h->etag));
    add_header(h, "Accept-Ranges", STR("bytes"));
    add_header(h, "Cache-Control",
               is_shared ? STR("private, no-store")
                         : STR("public, max-age=31536000, immutable, no-transform"));
    if (range_path_is_active(name)) {
        put_disposition(&h->disposition, name);
        if (!h->disposition.failed)
            add_header(h, "Content-Disposition", buf_str(&h->disposition));
    }
    if (h->range[0] != '\0')
        add_header(h, "Content-Range", str_of(h->range));
}

/* The words of a file that does not exist are those of one that may not be read. */
static void answer_absent(struct http_conn *conn)
{
    struct headers h = {.count = 0};

    add_common_headers(&h, no_rights);
    add_header(&h, "Cache-Control", STR("no-store"));
    http_conn_answer(conn, &(struct http_answer){.status = 404,
                                                 .content_type = "application/json",
                                                 .body = STR("{\"message\":\"File not found\"}"),
                                                 .headers = h.items,
                                                 .header_count = h.count});
}

static void answer_later(struct http_conn *conn, struct str body)
{
    struct headers h = {.count = 0};

    add_common_headers(&h, no_rights);
    add_header(&h, "Cache-Control", STR("no-store"));
    add_header(&h, "Retry-After", STR("10"));
    http_conn_answer(conn, &(struct http_answer){.status = 503,
                                                 .content_type = "application/json",
                                                 .body = body,
                                                 .headers = h.items,
                                                 .header_count = h.count});
}

/* A file that its folder lists, and no connected host has: of a 404 clients would make an empty
 * part of an array. */
static void answer_missing(struct http_conn *conn)
{
    answer_later(conn, STR("{\"message\":\"no connected host has this file of the folder now\"}"));
}

/* Storage that fails for a moment costs a reader a second: the host is asked twice. */
static bool is_unreadable(const struct range_answer *answer)
{
    int64_t asked_ms = relay_reader_unreadable_ms(&answer->reader);

    return asked_ms != 0 &&
           (answer->wish.waits_not || asked_ms - answer->asked_ms >= UNREADABLE_MS);
}

static void answer_server_failure(struct http_conn *conn, const char *why)
{
    log_line(LOG_WARN, "a file cannot be sent: %s", why);
    http_conn_answer_message(conn, 500, "%s", "the server cannot tell now; its log has the reason");
}

static void answer_building(const struct range_server *server, struct http_conn *conn,
                            const struct relay_info *info)
{
    struct headers h = {.count = 0};

    add_common_headers(&h, no_rights);
    add_header(&h, EXTENSIONS_ZONE_HEADER, server->options.zone.name);
    snprintf(h.building, sizeof h.building, "%lld/%lld",
             (long long)(info->done < 0 ? 0 : info->done), (long long)info->size);
    add_header(&h, "Kachery-Building", str_of(h.building));
    add_header(&h, "Retry-After", STR("10"));
    http_conn_answer(
        conn, &(struct http_answer){
                  .status = 503,
                  .content_type = "application/json",
                  .body = STR("{\"message\":\"the host is preparing this file, try again\"}"),
                  .headers = h.items,
                  .header_count = h.count});
}

static const struct zone *zone_of_answer(const struct range_answer *answer)
{
    return answer->is_shared ? &answer->use.zone : &answer->server->options.zone;
}

/* ---- reading on ---- */

static void ignore_ahead_change(void *owner)
{
    (void)owner;
}

static void end_ahead(struct reading_ahead *a)
{
    if (a->is_used)
        relay_reader_stop(&a->reader);
    a->is_used = false;
}

static void on_ahead_time(void *owner)
{
    struct range_server *server = owner;
    int64_t now = loop_now_ms(server->options.loop);
    bool is_any = false;

    for (size_t n = 0; n < AHEAD_PLACES; n++) {
        if (server->ahead[n].is_used && server->ahead[n].until_ms <= now)
            end_ahead(&server->ahead[n]);
        is_any = is_any || server->ahead[n].is_used;
    }
    if (is_any)
        loop_set_timer(server->options.loop, &server->ahead_timer, now + AHEAD_MS);
}

/* The place of a reader that goes on where one of its requests ended; else the one to be reused. */
static struct reading_ahead *find_ahead(struct range_server *server, const struct relay_file *file,
                                        int64_t start, bool *goes_on)
{
    struct reading_ahead *best = &server->ahead[0];

    for (size_t n = 0; n < AHEAD_PLACES; n++) {
        struct reading_ahead *a = &server->ahead[n];
        *goes_on = a->is_used && a->next == start && a->reader.file == file;
        if (*goes_on)
            return a;
        if (best->is_used && (!a->is_used || a->until_ms < best->until_ms))
            best = a;
    }
    return best;
}

/* A request for [start, end) is answered. Only who comes to a new block by going on is expected to
 * go on. */
static void note_request(struct range_answer *answer)
{
    struct range_server *server = answer->server;
    int64_t now = loop_now_ms(server->options.loop), last = (answer->end - 1) / BLOCK_BYTES;
    bool goes_on, is_new_block = answer->start % BLOCK_BYTES == 0 ||
                                 answer->start / BLOCK_BYTES != last;
    struct reading_ahead *a = find_ahead(server, answer->reader.file, answer->start, &goes_on);

    if (!goes_on) {
        end_ahead(a);
        *a = (struct reading_ahead){
            .reader = {.on_change = ignore_ahead_change,
                       .read_class = RANGE_BULK,
                       .only_prefetches = true}};
        if (!relay_reader_start(server->options.relay, &a->reader, zone_of_answer(answer),
                                str_of(answer->sha1)))
            return;
        a->is_used = true;
    } else if (is_new_block) {
        a->run += last - answer->start / BLOCK_BYTES + (answer->start % BLOCK_BYTES == 0);
        a->blocks = a->run / 2 > MAX_AHEAD_BLOCKS ? MAX_AHEAD_BLOCKS : (uint32_t)(a->run / 2);
    }
    a->next = answer->end;
    a->until_ms = now + AHEAD_MS;
    for (int64_t i = last + 1; i <= last + a->blocks && i * BLOCK_BYTES < answer->size; i++)
        relay_reader_prefetch(&a->reader, (uint32_t)i);
    if (loop_timer_at_ms(&server->ahead_timer) == CLOCK_NEVER_MS)
        loop_set_timer(server->options.loop, &server->ahead_timer, now + AHEAD_MS);
}

/* ---- an answer ---- */

static void free_answer(struct range_answer *answer)
{
    struct range_server *server = answer->server;

    range_keep_end(answer->keep, false);
    range_judge_end(&answer->judge);
    relay_reader_stop(&answer->reader);
    loop_clear_timer(server->options.loop, &answer->timer);
    zone_files_free_reading(&answer->settings);
    links_end_use(&answer->use);
    bucket_cancel(&answer->file.call);
    bucket_cancel(&answer->head.call);
    bucket_cancel(&answer->read.call);
    folder_page_free(&answer->page);
    folder_reader_stop(&answer->folder);
    if (answer->file.fd >= 0)
        close(answer->file.fd);
    if (answer->file.manifest_fd >= 0)
        close(answer->file.manifest_fd);
    buf_free(&answer->read.bytes);
    buf_free(&answer->key);
    *(answer->previous != NULL ? &answer->previous->next : &server->answers) = answer->next;
    if (answer->next != NULL)
        answer->next->previous = answer->previous;
    http_wish_deinit(&answer->wish);
    buf_free(&answer->name);
    free(answer);
}

static void wait_for_host(struct range_answer *answer)
{
    struct loop *loop = answer->server->options.loop;

    if (loop_timer_at_ms(&answer->timer) == CLOCK_NEVER_MS)
        loop_set_timer(loop, &answer->timer, loop_now_ms(loop) + answer->server->options.wait_ms);
}

/* How far ahead of the reader blocks are fetched, in bytes: as much as it has taken, within limits;
 * of a small range all of it. */
static int64_t window_of(const struct range_answer *answer)
{
    int64_t taken = answer->position - answer->start;

    if (answer->end - answer->start <= SMALL_BYTES)
        return answer->end - answer->position;
    return taken < BLOCK_BYTES ? BLOCK_BYTES : taken > MAX_WINDOW_BYTES ? MAX_WINDOW_BYTES : taken;
}

static void fetch_ahead(struct range_answer *answer)
{
    int64_t until = answer->position + window_of(answer);

    if (until > answer->end)
        until = answer->end;
    for (int64_t i = answer->position / BLOCK_BYTES; i * BLOCK_BYTES < until; i++)
        relay_reader_prefetch(&answer->reader, (uint32_t)i);
}

/* All bytes of a whole file are hashed. Leaves those that are not sent yet if they may be; none
 * while the hash is waited for. False: they must not be sent. */
static bool take_verdict(struct range_answer *answer, struct str *bytes)
{
    enum range_verdict verdict = range_judge_decide(&answer->judge, answer->sha1);

    if (verdict == RANGE_JUDGE_WAIT) {
        *bytes = STR("");
        return true;
    }
    if (verdict == RANGE_JUDGE_LOST) {
        log_line(LOG_WARN, "sha1://%s is not sent to its end: the process that hashed it was lost",
                 answer->sha1);
        return false;
    }
    answer->is_judged = false;
    relay_reader_judge(&answer->reader, verdict == RANGE_JUDGE_RIGHT);
    return verdict == RANGE_JUDGE_RIGHT;
}

/* The next bytes of a whole file are hashed, once. Leaves those that may be sent now. False: these
 * are the last ones, and the file is not what its address says. */
static bool judge_bytes(struct range_answer *answer, struct str *bytes)
{
    const int64_t behind = answer->position + (int64_t)bytes->len;
    const size_t room = range_judge_room(&answer->judge);
    size_t more = behind > answer->hashed ? (size_t)(behind - answer->hashed) : 0;

    if (more > room) {
        bytes->len -= more - room;
        more = room;
    }
    range_judge_add(&answer->judge, str_slice(*bytes, bytes->len - more, bytes->len));
    answer->hashed += (int64_t)more;
    return answer->hashed < answer->end || take_verdict(answer, bytes);
}

/* The next bytes of the body, at most `room`, as far as they are in one block; none while they are
 * waited for. False: there are none to come. */
static bool look_at_body(struct range_answer *answer, size_t room, struct str *bytes)
{
    const uint32_t i = (uint32_t)(answer->position / BLOCK_BYTES);
    const size_t offset = (size_t)(answer->position % BLOCK_BYTES);

    *bytes = STR("");
    answer->is_waiting = range_keep_is_busy(answer->keep);
    if (answer->is_waiting)
        return true;
    enum relay_answer got = relay_reader_block(&answer->reader, i, bytes);
    if (got == RELAY_WAIT) {
        fetch_ahead(answer);
        wait_for_host(answer);
        answer->is_waiting = true;
        return true;
    }
    if (got != RELAY_READY || offset >= bytes->len)
        return false;
    loop_clear_timer(answer->server->options.loop, &answer->timer);
    *bytes = str_slice(*bytes, offset, bytes->len);
    if ((int64_t)bytes->len > answer->end - answer->position)
        bytes->len = (size_t)(answer->end - answer->position);
    *bytes = str_slice(*bytes, 0, room);
    if (answer->is_judged && !judge_bytes(answer, bytes))
        return false;
    answer->is_waiting = bytes->len == 0;
    if (answer->is_waiting)
        wait_for_host(answer);
    return true;
}

/* These next bytes of the body are sent. */
static void pass_bytes(struct range_answer *answer, struct str bytes)
{
    if (bytes.len == 0)
        return;
    range_keep_add(answer->keep, bytes);
    answer->position += (int64_t)bytes.len;
    if (answer->position % BLOCK_BYTES == 0)
        relay_reader_pass(&answer->reader, (uint32_t)(answer->position / BLOCK_BYTES - 1));
    if (answer->position < answer->end)
        fetch_ahead(answer);
}

static bool make_range_body(void *ctx, struct http_conn *conn, struct buf *out, size_t room)
{
    struct range_answer *answer = ctx;
    struct str bytes;

    (void)conn;
    if (!look_at_body(answer, room < HTTP_SERVER_MADE_BYTES ? room : HTTP_SERVER_MADE_BYTES,
                      &bytes))
        return false;
    buf_put(out, bytes);
    pass_bytes(answer, bytes);
    return true;
}

static bool lend_range_body(void *ctx, struct http_conn *conn, struct str *bytes)
{
    struct range_answer *answer = ctx;

    (void)conn;
    bool is_good = look_at_body(answer, SIZE_MAX, bytes);
    answer->lent = *bytes;
    return is_good;
}

static void on_range_body_taken(void *ctx, size_t count)
{
    struct range_answer *answer = ctx;

    pass_bytes(answer, str_slice(answer->lent, 0, count));
}

/* The bytes of the manifest from the position on, as far as they are in one piece. */
static enum relay_answer take_manifest(struct range_answer *answer, struct str *bytes)
{
    const struct relay_info *info = &answer->info;
    struct str hashes = relay_reader_hashes(&answer->reader);
    int64_t leaves = manifest_page_offset(info->size, 0), at = answer->position - leaves;
    enum relay_answer got = RELAY_READY;
    struct manifest_head head = {.size = info->size};

    if (hashes.len != (size_t)(leaves - MANIFEST_HEAD_BYTES))
        return RELAY_ABSENT;
    if (at >= 0) {
        got = relay_reader_page(&answer->reader, (uint32_t)(at / MANIFEST_PAGE_BYTES), bytes);
        *bytes = str_slice(*bytes, (size_t)(at % MANIFEST_PAGE_BYTES), bytes->len);
    } else if (answer->position >= MANIFEST_HEAD_BYTES) {
        *bytes = str_slice(hashes, (size_t)answer->position - MANIFEST_HEAD_BYTES, hashes.len);
    } else {
        memcpy(head.root, info->root, sizeof head.root);
        hex_decode(str_of(answer->sha1), head.sha1, sizeof head.sha1);
        manifest_put_head(&head, answer->manifest_head);
        *bytes = str_slice((struct str){(const char *)answer->manifest_head, MANIFEST_HEAD_BYTES},
                           (size_t)answer->position, MANIFEST_HEAD_BYTES);
    }
    return got;
}

static bool make_manifest_body(void *ctx, struct http_conn *conn, struct buf *out, size_t room)
{
    struct range_answer *answer = ctx;
    struct str bytes;

    (void)conn;
    enum relay_answer got = take_manifest(answer, &bytes);
    if (got == RELAY_WAIT) {
        wait_for_host(answer);
        answer->is_waiting = true;
        return true;
    }
    if (got != RELAY_READY || bytes.len == 0)
        return false;
    loop_clear_timer(answer->server->options.loop, &answer->timer);
    if ((int64_t)bytes.len > answer->end - answer->position)
        bytes.len = (size_t)(answer->end - answer->position);
    bytes = str_slice(bytes, 0, room < HTTP_SERVER_MADE_BYTES ? room : HTTP_SERVER_MADE_BYTES);
    buf_put(out, bytes);
    answer->position += (int64_t)bytes.len;
    return true;
}

static void on_range_body_end(void *ctx, bool is_whole)
{
    struct range_answer *answer = ctx;

    range_keep_end(answer->keep, answer->position == answer->end);
    answer->keep = NULL;
    if (is_whole && !answer->is_object && !answer->is_manifest && !answer->is_head &&
        answer->end > answer->start)
        note_request(answer);
    free_answer(answer);
}

static void put_etag(const struct range_answer *answer, char etag[ETAG_BYTES + 2])
{
    char root[2 * 8 + 1];

    hex_encode(answer->info.root, 8, root);
    if (answer->info.has_root)
        snprintf(etag, ETAG_BYTES + 2, "\"%s-%s%s\"", answer->sha1, root,
                 answer->is_manifest ? "-manifest" : "");
    else
        snprintf(etag, ETAG_BYTES + 2, "\"%s\"", answer->sha1);
}

/* The head of an answer; without a content type it has no body. */
static struct http_answer fill_answer_head(struct range_answer *answer, struct headers *h,
                                           int status)
{
    const struct str name = answer->is_manifest ? STR("") : buf_str(&answer->name);
    bool has_body = status == 200 || status == 206;

    add_common_headers(h, no_rights);
    if (!answer->is_shared) /* else of any zone */
        add_header(h, EXTENSIONS_ZONE_HEADER, answer->server->options.zone.name);
    add_content_headers(h, name, answer->is_shared);
    answer->is_started = true;
    return (struct http_answer){
        .status = status,
        .content_type = has_body ? range_path_type(name) : NULL,
        .headers = h->items,
        .header_count = h->count};
}

/* The bucket, or the judge, takes bytes again. */
static void on_sink_ready(void *owner)
{
    struct range_answer *answer = owner;

    if (answer->is_waiting) {
        answer->is_waiting = false;
        http_conn_resume_answer(answer->conn);
    }
}

/* findFile found it for a client that cannot ask for an upload: a reader of all of it makes that
 * needless for the others. */
static void keep_whole_file(struct range_answer *answer)
{
    struct range_server *server = answer->server;
    bool is_found_url = answer->is_shared ? answer->use.is_pass : answer->name.len == 0;

    if (server->options.keeps_whole_files && is_found_url && !answer->is_in_folder &&
        !answer->is_head && !answer->is_object && !answer->is_manifest && answer->start == 0 &&
        answer->end == answer->size && answer->size > 0)
        answer->keep = range_keep_begin(&server->keeps, zone_of_answer(answer),
                                        str_of(answer->sha1), answer->size, on_sink_ready, answer);
}

/* The status and the bytes to send are decided; the first block is here, or none is needed. */
static void send_range_answer(struct range_answer *answer, struct headers *h, int status)
{
    struct http_conn *conn = answer->conn;
    const struct http_source source = {
        .make = answer->is_manifest ? make_manifest_body : make_range_body,
        .on_end = on_range_body_end,
        .ctx = answer,
        .lend = answer->is_manifest ? NULL : lend_range_body,
        .took = on_range_body_taken};
    const struct http_answer a = fill_answer_head(answer, h, status);

    loop_clear_timer(answer->server->options.loop, &answer->timer);
    answer->is_judged = answer->start == 0 && answer->end == answer->size &&
                        answer->info.has_root && !answer->info.is_proven;
    if (answer->is_judged && !answer->is_head && a.content_type != NULL)
        range_judge_begin(&answer->judge, &answer->server->judges, answer->size, on_sink_ready,
                          answer);
    if (a.content_type != NULL) {
        keep_whole_file(answer);
        http_conn_answer_made(conn, &a, answer->end - answer->start, &source);
    } else {
        free_answer(answer);
        http_conn_answer(conn, &a);
    }
}

static int select_bytes(struct range_answer *answer, struct headers *h)
{
    const struct http_content content = {.etag = h->etag, .modified_ms = -1, .size = answer->size};
    int status;

    put_etag(answer, h->etag);
    status = http_select(&answer->wish, &content, &answer->start, &answer->end);
    answer->position = answer->start;
    http_select_format_range(status, answer->start, answer->end, answer->size, h->range);
    return status;
}

/* Whether what the body begins with is here. */
static enum relay_answer look_at_start(struct range_answer *answer)
{
    struct str bytes;

    if (answer->is_manifest)
        return take_manifest(answer, &bytes);
    return relay_reader_block(&answer->reader, (uint32_t)(answer->start / BLOCK_BYTES), &bytes);
}

/* The content is known: sends its head when its first block is here. */
static void begin_range_answer(struct range_answer *answer)
{
    struct headers h = {.count = 0};
    enum relay_answer got = RELAY_READY;
    int status = select_bytes(answer, &h);

    if ((status == 200 || status == 206) && !answer->is_head && answer->end > answer->start)
        got = look_at_start(answer);
    if (got == RELAY_WAIT && !answer->is_manifest)
        fetch_ahead(answer);
    else if (got == RELAY_WAIT)
        return;
    else if (got == RELAY_READY)
        send_range_answer(answer, &h, status);
    else if (got == RELAY_ABSENT) {
        struct http_conn *conn = answer->conn;
        free_answer(answer);
        answer_absent(conn);
    } else {
        struct http_conn *conn = answer->conn;
        free_answer(answer);
        answer_server_failure(conn, "out of memory");
    }
    buf_free(&h.disposition);
}

/* The file is not known yet: its first block comes with what it is, if the request says which that
 * is. */
static void want_first_block(struct range_answer *answer)
{
    const struct http_content content = {
        .etag = "\"\"", .modified_ms = -1, .size = MANIFEST_MAX_SIZE};
    struct str bytes;
    int64_t start, end;
    int status = http_select(&answer->wish, &content, &start, &end);

    if (!answer->is_head && (status == 200 || status == 206) && start < MANIFEST_MAX_SIZE / 2)
        (void)relay_reader_block(&answer->reader, (uint32_t)(start / BLOCK_BYTES), &bytes);
}

/* A step of an answer whose head is not sent. */
static void advance_answer(struct range_answer *answer)
{
    const struct range_server *server = answer->server;
    struct http_conn *conn = answer->conn;
    const bool is_listed = answer->is_in_folder;
    struct relay_info info;

    if (answer->is_empty) {
        begin_range_answer(answer);
        return;
    }
    switch (relay_reader_info(&answer->reader, &info)) {
    case RELAY_READY:
        answer->info = info;
        answer->size = answer->is_manifest ? manifest_length(info.size) : info.size;
        if (!answer->is_manifest || info.has_root) {
            begin_range_answer(answer);
            return;
        }
        free_answer(answer);
        answer_absent(conn); /* a block has none */
        return;
    case RELAY_ABSENT:
        free_answer(answer);
        if (is_listed)
            answer_missing(conn);
        else
            answer_absent(conn);
        return;
    case RELAY_BUILDING:
        if (answer->is_head || !answer->wish.has_range) {
            free_answer(answer);
            answer_building(server, conn, &info);
        }
        return;
    case RELAY_WAIT:
        if (answer->wish.waits_not && relay_reader_is_denied(&answer->reader)) {
            free_answer(answer);
            answer_absent(conn);
            return;
        }
        if (is_unreadable(answer)) {
            free_answer(answer);
            answer_later(conn, STR("{\"message\":\"the file's host cannot read it now\"}"));
            return;
        }
        want_first_block(answer);
        return;
    default: return;
    }
}

static void on_reader_change(void *owner)
{
    struct range_answer *answer = owner;

    if (!answer->is_started) {
        advance_answer(answer);
    } else if (answer->is_waiting) {
        answer->is_waiting = false;
        http_conn_resume_answer(answer->conn);
    }
}

/* Nothing came for too long: clients take the end of a connection for what it is, and come again;
 * of an error answer some make file content. */
static void on_wait_end(void *owner)
{
    struct range_answer *answer = owner;

    http_conn_cut(answer->conn); /* frees the answer */
}

static void on_range_client_gone(void *ctx)
{
    free_answer(ctx);
}

/* NULL without memory. */
static void put_reader_asker(struct http_conn *conn, struct relay_reader *reader)
{
    struct buf asker = {0};

    http_conn_put_asker(conn, &asker);
    snprintf(reader->asker, sizeof reader->asker, "%s", asker.failed ? "" : buf_cstr(&asker));
    buf_free(&asker);
}

static struct range_answer *new_answer(struct range_server *server, struct http_conn *conn,
                                       const struct http_head *head, struct str sha1)
{
    struct range_answer *answer = calloc(1, sizeof *answer);

    if (answer == NULL)
        return NULL;
    *answer = (struct range_answer){
        .server = server,
        .next = server->answers,
        .conn = conn,
        .is_head = str_equal(head->method, STR("HEAD")),
        .reader = {.on_change = on_reader_change, .owner = answer, .read_class = RANGE_BULK},
        .timer = {.call = on_wait_end, .owner = answer},
        .asked_ms = loop_now_ms(server->options.loop),
        .file = {.fd = -1, .manifest_fd = -1}};
    if (server->answers != NULL)
        server->answers->previous = answer;
    server->answers = answer;
    if (sha1.len > 0)
        memcpy(answer->sha1, sha1.p, SHA1_HEX);
    put_reader_asker(conn, &answer->reader);
    if (!http_wish_init(&answer->wish, head)) {
        free_answer(answer);
        return NULL;
    }
    if (answer->is_head || http_wish_is_small(&answer->wish, SMALL_BYTES))
        answer->reader.read_class = RANGE_SMALL;
    return answer;
}

static void fail_answer(struct range_answer *answer, const char *why)
{
    struct http_conn *conn = answer->conn;
    struct err e;

    err_set(&e, ERR_FAILED, "%s", why); /* it may be the answer's own */
    free_answer(answer);
    answer_server_failure(conn, e.msg);
}

/* Nothing is there but what hosts have. */
static void seek_on_hosts(struct range_answer *answer)
{
    struct range_server *server = answer->server;
    bool is_empty = strcmp(answer->sha1, empty_sha1) == 0;

    if (answer->is_manifest && is_empty) {
        struct http_conn *conn = answer->conn;
        free_answer(answer);
        answer_absent(conn);
        return;
    }
    if (!relay_reader_start(server->options.relay, &answer->reader, zone_of_answer(answer),
                            str_of(answer->sha1))) {
        fail_answer(answer, "out of memory");
        return;
    }
    answer->is_empty = is_empty;
    wait_for_host(answer);
    advance_answer(answer);
}

/* ---- an object of the bucket ---- */

static void on_object_part(void *owner)
{
    struct range_answer *answer = owner;

    http_conn_resume_answer(answer->conn);
}

/* Where the bucket's objects are no files. */
static bool make_object_part(void *ctx, struct http_conn *conn, struct buf *out, size_t room)
{
    struct range_answer *answer = ctx;
    struct buf *bytes = &answer->read.bytes;

    (void)conn;
    if (answer->read.call.result != 0)
        return false;
    if (bytes->len == 0) {
        answer->read.start = answer->position;
        answer->read.length = answer->end - answer->position < BLOCK_BYTES
                                  ? answer->end - answer->position
                                  : BLOCK_BYTES;
        answer->read.key = buf_str(&answer->key);
        answer->read.call.on_done = on_object_part;
        answer->read.call.owner = answer;
        answer->read.call.e = &answer->e;
        bucket_read(answer->server->options.bucket, &answer->read);
        return true;
    }
    if (room > HTTP_SERVER_MADE_BYTES)
        room = HTTP_SERVER_MADE_BYTES;
    struct str part = str_slice(buf_str(bytes), 0, room);
    buf_put(out, part);
    answer->position += (int64_t)part.len;
    buf_consume(bytes, part.len);
    return true;
}

static void send_object(struct range_answer *answer, int64_t size)
{
    const struct http_source source = {
        .make = make_object_part, .on_end = on_range_body_end, .ctx = answer};
    struct http_conn *conn = answer->conn;
    struct headers h = {.count = 0};
    int status;

    answer->is_object = true;
    answer->size = size;
    status = select_bytes(answer, &h);
    struct http_answer a = fill_answer_head(answer, &h, status);
    if (a.content_type == NULL) {
        free_answer(answer);
        http_conn_answer(conn, &a);
    } else if (answer->file.fd >= 0) {
        int fd = answer->file.fd;
        int64_t start = answer->start, length = answer->end - answer->start;
        answer->file.fd = -1;
        free_answer(answer);
        http_conn_answer_file(conn, &a, fd, start, length);
    } else {
        http_conn_answer_made(conn, &a, answer->end - answer->start, &source);
    }
    buf_free(&h.disposition);
}

static void on_bucket_answer(struct range_answer *answer, const struct bucket_call *call,
                             int64_t size)
{
    if (call->result == 0 && !answer->is_manifest)
        send_object(answer, size);
    else if (call->result == 0 || answer->e.code == ERR_NOT_FOUND)
        seek_on_hosts(answer);
    else
        fail_answer(answer, answer->e.msg);
}

/* Sends the object by its blocks, each of which is checked. False when it has no manifest. */
static bool read_object_blocks(struct range_answer *answer)
{
    struct relay_object_file object = {answer->file.fd, answer->file.manifest_fd};
    enum relay_answer got =
        relay_reader_start_object(answer->server->options.relay, &answer->reader,
                                  zone_of_answer(answer), str_of(answer->sha1), &object);

    answer->file.fd = object.fd;
    answer->file.manifest_fd = object.manifest_fd;
    if (got == RELAY_BUILDING && !answer->is_manifest)
        return false;
    if (got == RELAY_READY) {
        answer->is_object = true;
        wait_for_host(answer); /* if a block is wrong */
        advance_answer(answer);
    } else if (got == RELAY_NO_MEMORY) {
        fail_answer(answer, "out of memory");
    } else {
        seek_on_hosts(answer);
    }
    return true;
}

static void on_object_opened(void *owner)
{
    struct range_answer *answer = owner;

    if (answer->file.call.result == 0 && answer->file.size_bytes > 0 && read_object_blocks(answer))
        return;
    on_bucket_answer(answer, &answer->file.call, answer->file.size_bytes);
}

static void on_object_found(void *owner)
{
    struct range_answer *answer = owner;

    on_bucket_answer(answer, &answer->head.call, answer->head.size_bytes);
}

static void look_in_bucket(struct range_answer *answer)
{
    struct bucket *bucket = answer->server->options.bucket;

    zone_files_put_object_key(zone_of_answer(answer), str_of(answer->sha1), &answer->key);
    if (answer->key.failed) {
        fail_answer(answer, "out of memory");
        return;
    }
    answer->file.call =
        (struct bucket_call){.on_done = on_object_opened, .owner = answer, .e = &answer->e};
    answer->file.key = buf_str(&answer->key);
    answer->file.believed_s = BUCKET_NEVER_S;
    answer->file.wants_manifest = true;
    if (bucket_open_file(bucket, &answer->file))
        return;
    answer->head.call =
        (struct bucket_call){.on_done = on_object_found, .owner = answer, .e = &answer->e};
    answer->head.key = buf_str(&answer->key);
    bucket_head(bucket, &answer->head);
}

/* ---- in a folder ---- */

static bool make_folder_page(void *ctx, struct http_conn *conn, struct buf *out, size_t room)
{
    struct range_answer *answer = ctx;

    (void)conn;
    return folder_page_make(&answer->page, out,
                            room < HTTP_SERVER_MADE_BYTES ? room : HTTP_SERVER_MADE_BYTES);
}

static void on_folder_page_end(void *ctx, bool is_whole)
{
    (void)is_whole;
    free_answer(ctx);
}

/* Browsers may follow its links. */
static void send_folder_page(struct range_answer *answer)
{
    const struct http_source source = {
        .make = make_folder_page, .on_end = on_folder_page_end, .ctx = answer};
    struct headers h = {.count = 0};
    int64_t length = folder_page_length(&answer->page);

    if (length < 0) {
        fail_answer(answer, "out of memory");
        return;
    }
    add_common_headers(&h, "sandbox allow-downloads allow-top-navigation; default-src 'none'");
    add_header(&h, "Cache-Control",
               answer->is_shared ? STR("private, no-store")
                                 : STR("public, max-age=31536000, immutable, no-transform"));
    add_header(&h, "Vary", STR("Accept"));
    answer->is_started = true;
    http_conn_answer_made(
        answer->conn,
        &(struct http_answer){.status = 200,
                              .content_type = answer->wants_json ? "application/json"
                                                                 : "text/html; charset=utf-8",
                              .headers = h.items,
                              .header_count = h.count},
        length, &source);
}

/* The file is the one to be sent from now on, as one below /f/ is. */
static void set_answer_file(struct range_answer *answer, const struct folder_file *file)
{
    struct str path = buf_str(&answer->name);
    size_t base = path.len;

    hex_encode(file->sha1, sizeof file->sha1, answer->sha1);
    while (base > 0 && path.p[base - 1] != '/')
        base--;
    buf_consume(&answer->name, base);
    folder_reader_stop(&answer->folder);
    look_in_bucket(answer);
}

/* Whether it is the name of a folder, but for the '/'. */
static bool is_folder_name(const struct folder_index *index, struct str path)
{
    struct buf folder = {0};
    size_t first, end;

    buf_put(&folder, path);
    buf_putc(&folder, '/');
    bool is = path.len > 0 && !folder.failed &&
              folder_index_range(index, buf_str(&folder), &first, &end);
    buf_free(&folder);
    return is;
}

/* Clients list a folder without the '/' at its end and expect to be sent to the one with it. The
 * target is relative to the address: a front may have put something before it. */
static void send_to_folder(struct range_answer *answer)
{
    struct str path = answer->is_bare ? str_of(answer->sha1) : buf_str(&answer->name);
    struct http_conn *conn = answer->conn;
    struct headers h = {.count = 0};
    struct buf target = {0};
    size_t base = path.len;

    while (base > 0 && path.p[base - 1] != '/')
        base--;
    url_put_encoded(&target, str_slice(path, base, path.len), "");
    buf_putc(&target, '/');
    if (target.failed) {
        fail_answer(answer, "out of memory");
    } else {
        add_common_headers(&h, no_rights);
        add_header(&h, "Location", buf_str(&target));
        free_answer(answer);
        http_conn_answer(conn, &(struct http_answer){
                                   .status = 301, .headers = h.items, .header_count = h.count});
    }
    buf_free(&target);
}

static void find_in_folder(struct range_answer *answer, const struct folder_index *index)
{
    struct http_conn *conn = answer->conn;
    const struct str path = buf_str(&answer->name);
    const struct folder_file *file = folder_index_find(index, path);

    loop_clear_timer(answer->server->options.loop, &answer->timer);
    if (file != NULL) {
        set_answer_file(answer, file);
        return;
    }
    answer->page = (struct folder_page){.index = index,
                                        .folder = path,
                                        .is_json = answer->wants_json};
    if (answer->is_bare || is_folder_name(index, path)) {
        send_to_folder(answer);
    } else if (folder_page_begin(&answer->page)) {
        send_folder_page(answer);
    } else {
        free_answer(answer);
        answer_absent(conn);
    }
}

static void on_folder_change(void *owner)
{
    struct range_answer *answer = owner;
    struct http_conn *conn = answer->conn;
    const struct folder_index *index;

    switch (folder_reader_look(&answer->folder, &index)) {
    case FOLDER_WAIT: wait_for_host(answer); return;
    case FOLDER_READY: find_in_folder(answer, index); return;
    case FOLDER_FAILED: http_conn_cut(conn); return; /* frees the answer */
    case FOLDER_ABSENT:
    case FOLDER_NONE: break;
    }
    free_answer(answer);
    answer_absent(conn);
}

static void look_in_folder(struct range_answer *answer)
{
    answer->folder.on_change = on_folder_change;
    answer->folder.owner = answer;
    if (folder_reader_start(answer->server->folders, &answer->folder, zone_of_answer(answer),
                            str_of(answer->sha1)))
        on_folder_change(answer);
    else
        fail_answer(answer, "out of memory");
}

/* ---- requests ---- */

/* The permission is decided before anything is looked at. */
static void on_zone_settings(void *owner)
{
    struct range_answer *answer = owner;
    struct http_conn *conn = answer->conn;
    const struct authorization *settings;
    struct err e = answer->e;

    if (authorization_recall(&answer->settings, &answer->server->settings, &settings, &e) != 0) {
        fail_answer(answer, e.msg);
        return;
    }
    bool is_public = settings->allow_public_download;
    if (is_public && answer->is_in_folder) {
        look_in_folder(answer);
    } else if (is_public) {
        look_in_bucket(answer);
    } else {
        free_answer(answer);
        answer_absent(conn);
    }
}

static void on_denial_time(void *owner)
{
    struct range_answer *answer = owner;
    struct http_conn *conn = answer->conn;

    free_answer(answer);
    answer_absent(conn);
}

/* The same 404 at the same time for a token that never was, that is over or revoked, whose maker
 * may not read any more, and for another name. */
static void deny_request(struct range_answer *answer)
{
    answer->timer.call = on_denial_time;
    loop_set_timer(answer->server->options.loop, &answer->timer, answer->asked_ms + DENIAL_MS);
}

/* A link to a folder covers what is in it; its name ends with '/'. */
static bool is_named(const struct range_answer *answer, struct str name)
{
    if (answer->is_in_folder)
        return str_ends_with(name, STR("/"));
    return str_equal(name, buf_str(&answer->name));
}

static void on_share_link(void *owner)
{
    struct range_answer *answer = owner;
    const struct links_use *use = &answer->use;

    if (use->result != 0) {
        fail_answer(answer, answer->e.msg);
    } else if (!use->is_good || !is_named(answer, use->link.name)) {
        deny_request(answer);
    } else if (answer->is_in_folder) {
        memcpy(answer->sha1, use->link.hash.p, SHA1_HEX);
        look_in_folder(answer);
    } else {
        memcpy(answer->sha1, use->link.hash.p, SHA1_HEX);
        look_in_bucket(answer);
    }
}

/* Asks for what the permission depends on. */
static void ask_permission(struct range_answer *answer, struct str token)
{
    const struct range_server_options *options = &answer->server->options;
    int result;

    answer->is_shared = token.len > 0;
    if (answer->is_shared) {
        answer->use = (struct links_use){.bucket = options->bucket,
                                         .own_zone = options->zone.name.p,
                                         .key = options->pass_key,
                                         .now_ms = clock_wall_ms(),
                                         .on_done = on_share_link,
                                         .owner = answer,
                                         .e = &answer->e};
        result = links_start_use(&answer->use, token, &answer->e);
    } else {
        answer->settings.file.call =
            (struct bucket_call){.on_done = on_zone_settings, .owner = answer, .e = &answer->e};
        result = authorization_ask(options->bucket, &options->zone, &answer->settings, &answer->e);
    }
    if (result == 0)
        return;
    if (answer->is_shared && answer->e.code == ERR_NOT_FOUND)
        deny_request(answer);
    else
        fail_answer(answer, answer->e.msg);
}

static bool wants_json(const struct http_head *head)
{
    const struct str *accept = http_head_get(head, "Accept");

    return accept != NULL && memmem(accept->p, accept->len, "application/json", 16) != NULL &&
           memmem(accept->p, accept->len, "text/html", 9) == NULL;
}

static void on_range_request(struct http_conn *conn, const struct http_request *request,
                             void *owner)
{
    struct range_server *server = owner;
    struct range_path path;
    struct range_answer *answer = NULL;
    bool is_in_folder = str_starts_with(request->path, STR("/d/")), is_bare = false;

    if (!(is_in_folder ? range_path_parse_folder(&path, request->path, &is_bare)
                       : range_path_parse(&path, request->path))) {
        answer_absent(conn);
    } else if ((answer = new_answer(server, conn, request->head, path.sha1)) == NULL) {
        answer_server_failure(conn, "out of memory");
    } else {
        answer->name = path.name;
        path.name = (struct buf){0};
        answer->is_in_folder = is_in_folder;
        answer->is_bare = is_bare;
        answer->wants_json = is_in_folder && wants_json(request->head);
        answer->is_manifest = str_equal(request->query, STR("manifest"));
        http_conn_wait(conn, on_range_client_gone, answer);
        ask_permission(answer, path.token);
    }
    range_path_deinit(&path);
}

void range_server_put_routes(struct range_server *server,
                             struct http_route routes[RANGE_SERVER_ROUTES])
{
    routes[0] = (struct http_route){.method = "GET",
                                    .path = "/f/",
                                    .on_head = on_range_request,
                                    .is_public = true,
                                    .owner = server};
    routes[1] = cors_route("/f/");
    routes[2] = routes[0];
    routes[2].path = "/d/";
    routes[3] = cors_route("/d/");
}

uint32_t range_server_key(struct str path)
{
    unsigned char first;
    struct str part;

    range_path_is_shared(str_slice(path, 3, path.len), &part);
    return hex_decode(str_slice(part, 0, 2), &first, 1) ? first : 0;
}

struct range_server *range_server_new(const struct range_server_options *options, struct err *e)
{
    struct range_server *server = calloc(1, sizeof *server);

    if (server == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    server->options = *options;
    const struct folder_cache_options folders = {.loop = options->loop,
                                                 .relay = options->relay,
                                                 .bucket = options->bucket};
    if ((server->folders = folder_cache_new(&folders, e)) == NULL) {
        free(server);
        return NULL;
    }
    server->keeps.bucket = options->bucket;
    server->judges.loop = options->loop;
    server->ahead_timer = (struct loop_timer){.call = on_ahead_time, .owner = server};
    return server;
}

void range_server_free(struct range_server *server)
{
    if (server == NULL)
        return;
    for (size_t n = 0; n < AHEAD_PLACES; n++)
        end_ahead(&server->ahead[n]);
    loop_clear_timer(server->options.loop, &server->ahead_timer);
    folder_cache_free(server->folders);
    range_keeps_free(&server->keeps);
    range_judges_deinit(&server->judges);
    authorization_forget(&server->settings);
    free(server);
}
