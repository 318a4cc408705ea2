#include "gateway/gateway_calls.h"

#include <stdlib.h>
#include <string.h>

#include "access/authorization.h"
#include "access/links.h"
#include "access/zone_files.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/gateway_request.h"
#include "proto/url.h"

enum {
    CLIENT_DIGITS = 16, /* of a client ID, in a signed URL */
    /* Calls with more than this, which no client needs, do not wait until an object was compared
     * with its hash: all that wait are kept. */
    MAX_WAITING_BYTES = 4096
};

/*
 *     zone ──► (client) ──► settings ──► (client) ──► authorized ──► object ──► answered
 *       └────► record ──► answered      authorized ──► links ──► answered
 *                                       authorized ──► answered
 * What a step needs is asked of the bucket, and the run goes on when it is there. The client is
 * looked up before the settings for what changes the bucket, after them for a search: only there
 * it may not matter.
 */
struct gateway_run {
    const struct gateway_site *site;
    struct gateway_request request;
    struct buf base_url, key, answer;
    int64_t wall_ms;
    bool may_wait; /* for objects to be compared with their hashes */
    struct zone zone;
    struct zone_record client;
    char *user; /* the owner of the client; NULL: nobody known */
    struct authorization settings;
    bool has_client, has_settings;
    struct zone_reading zone_file, client_file, settings_file, record_file;
    struct bucket_head head;
    struct bucket_remove removal;
    struct links_job links;
    struct host_find find;
    struct err e;
    bool is_starting, is_finished; /* a run that ends while it starts is answered there */
    int status;
    void (*on_done)(void *owner, int status, const struct buf *answer);
    void *owner;
};

static void continue_run(struct gateway_run *run);

/* ---- the end of a run ---- */

static void free_run(struct gateway_run *run)
{
    zone_files_free_reading(&run->zone_file);
    zone_files_free_reading(&run->client_file);
    zone_files_free_reading(&run->settings_file);
    zone_files_free_reading(&run->record_file);
    bucket_cancel(&run->head.call);
    bucket_cancel(&run->removal.call);
    links_free_job(&run->links);
    if (run->find.on_done != NULL)
        run->site->cancel_find(run->site->finder, &run->find);
    authorization_deinit(&run->settings);
    zone_files_free_record(&run->client);
    zone_files_free_zone(&run->zone);
    gateway_request_deinit(&run->request);
    buf_free(&run->base_url);
    buf_free(&run->key);
    buf_wipe(&run->answer); /* may have a URL that opens something */
    free(run->user);
    free(run);
}

void gateway_calls_cancel(struct gateway_run *run)
{
    free_run(run);
}

/* The status of the answer, which is in run->answer. */
static int conclude_run(struct gateway_run *run, int result)
{
    const struct gateway_request *r = &run->request;

    if (result == 0 && buf_check(&run->answer, &run->e) == 0)
        return 200;
    buf_clear(&run->answer);
    buf_puts(&run->answer, "Error: ");
    bucket_put_public_error(run->site->bucket, &run->e, &run->answer);
    log_line(LOG_INFO, "refused %.*s client=%.*s: %s", STR_ARG(r->type),
             STR_ARG(r->from_client_id), run->e.msg);
    return 500;
}

/* 0, or -1 and run->e. */
static void finish_run(struct gateway_run *run, int result)
{
    run->status = conclude_run(run, result);
    run->is_finished = true;
    if (run->is_starting)
        return;
    run->on_done(run->owner, run->status, &run->answer);
    free_run(run);
}

/* ---- answers ---- */

static void open_answer(struct gateway_run *run)
{
    json_open(&run->answer, '{');
    json_put_str(&run->answer, "type", run->request.type);
}

static void close_answer(struct gateway_run *run)
{
    json_close(&run->answer, '}');
    finish_run(run, 0);
}

/* A URL for PUT names its client, so that a full hub can tell clients of one address apart. */
static void put_signed_url(struct gateway_run *run, const char *member, bool is_put)
{
    const struct gateway_request *r = &run->request;
    const struct bucket_url wanted = {.is_put = is_put,
                                      .key = buf_str(&run->key),
                                      .size_bytes = r->size,
                                      .client = str_slice(r->from_client_id, 0, CLIENT_DIGITS),
                                      .wall_ms = run->wall_ms,
                                      .server = buf_str(&run->base_url)};
    struct buf url = {0};

    bucket_put_url(run->site->bucket, &wanted, &url);
    json_put_buf(&run->answer, member, &url);
    buf_free(&url);
}

static void answer_found(struct gateway_run *run, bool is_found)
{
    struct buf bucket = {0};

    open_answer(run);
    json_put_bool(&run->answer, "found", is_found);
    if (is_found) {
        bucket_put_uri(run->site->bucket, buf_str(&run->base_url), &bucket);
        json_put_int(&run->answer, "size", run->head.size_bytes);
        json_put_buf(&run->answer, "bucketUri", &bucket);
        json_put_buf(&run->answer, "objectKey", &run->key);
        put_signed_url(run, "url", false);
        json_put_bool(&run->answer, "cacheHit", false);
    }
    buf_free(&bucket);
    close_answer(run);
}

/* The URL of a file below /f/: it needs no permission where everybody may read, and
 * names no zone but the own one. */
static void put_reading_url(const struct gateway_run *run, struct buf *out)
{
    const struct gateway_request *r = &run->request;

    buf_put_buf(out, &run->base_url);
    buf_puts(out, "/f/");
    if (!run->settings.allow_public_download ||
        !zone_files_is_own(run->site->zone, run->zone.name)) {
        buf_putc(out, '~');
        links_put_pass(out, run->site->pass_key, run->zone.name, r->hash, r->from_client_id,
                       run->wall_ms);
        buf_putc(out, '/');
    }
    buf_put(out, r->hash);
}

/* Without `objectKey`: it can be read, and was not uploaded. */
static void answer_at_host(void *owner, int64_t size)
{
    struct gateway_run *run = owner;
    struct buf url = {0};

    if (size < 0) {
        answer_found(run, false);
        return;
    }
    put_reading_url(run, &url);
    open_answer(run);
    json_put_bool(&run->answer, "found", true);
    json_put_int(&run->answer, "size", size);
    json_put_buf(&run->answer, "url", &url);
    buf_wipe(&url);
    close_answer(run);
}

/* Whether anybody has the file is not looked at. */
static void answer_reading(struct gateway_run *run)
{
    struct buf url = {0};

    put_reading_url(run, &url);
    open_answer(run);
    json_put_buf(&run->answer, "url", &url);
    buf_wipe(&url);
    close_answer(run);
}

/* A file that the bucket lacks. */
static void find_on_hosts(struct gateway_run *run)
{
    const struct gateway_site *site = run->site;

    run->find = (struct host_find){.on_done = answer_at_host, .owner = run};
    if (site->find_on_hosts != NULL &&
        site->find_on_hosts(site->finder, run->zone.name, run->request.hash, &run->find))
        return;
    run->find.on_done = NULL;
    answer_found(run, false);
}

static void answer_initiated(struct gateway_run *run, bool exists)
{
    open_answer(run);
    json_put_bool(&run->answer, "alreadyExists", exists);
    if (!exists) {
        json_put_buf(&run->answer, "objectKey", &run->key);
        put_signed_url(run, "signedUploadUrl", true);
    }
    close_answer(run);
}

static void answer_finalized(struct gateway_run *run)
{
    const struct gateway_request *r = &run->request;

    log_line(LOG_INFO, "uploaded sha1=%.*s bytes=%lld client=%.*s", STR_ARG(r->hash),
             (long long)r->size, STR_ARG(r->from_client_id));
    open_answer(run);
    close_answer(run);
}

static void answer_deleted(struct gateway_run *run, bool was_there)
{
    const struct gateway_request *r = &run->request;

    log_line(LOG_INFO, "deleted sha1=%.*s client=%.*s", STR_ARG(r->hash),
             STR_ARG(r->from_client_id));
    open_answer(run);
    json_put_bool(&run->answer, "success", was_there);
    if (!was_there)
        json_put_str(&run->answer, "error", STR("file not found"));
    close_answer(run);
}

/* ---- objects ---- */

/* The words of the deployed gateway, which also deletes the object: then any uploader could delete
 * what others uploaded. */
static void refuse_size(struct gateway_run *run)
{
    finish_run(run, err_set(&run->e, ERR_REFUSED, "Unexpected object size: %lld <> %lld",
                            (long long)run->head.size_bytes, (long long)run->request.size));
}

static void on_damaged_removed(void *owner)
{
    refuse_size(owner);
}

static void finish_upload(struct gateway_run *run, bool is_there)
{
    bool has_size = run->head.size_bytes == run->request.size;

    if (!is_there) {
        finish_run(run, err_set(&run->e, ERR_REFUSED, "Error getting metadata for object: null"));
    } else if (!run->head.is_damaged && has_size) {
        answer_finalized(run);
    } else if (!run->head.is_damaged) {
        refuse_size(run);
    } else if (has_size) {
        finish_run(run, err_set(&run->e, ERR_REFUSED, "The object is damaged: upload it again"));
    } else {
        /* As deployed, the object goes; a good one that comes in its place now stays. */
        run->removal = (struct bucket_remove){.call = {on_damaged_removed, run, .e = &run->e},
                                              .key = buf_str(&run->key),
                                              .only_damaged = true};
        bucket_remove(run->site->bucket, &run->removal);
    }
}

static void on_run_object(void *owner)
{
    struct gateway_run *run = owner;
    bool is_there = run->head.call.result == 0;
    bool is_good = is_there && !run->head.is_damaged;

    if (!is_there && run->e.code != ERR_NOT_FOUND)
        finish_run(run, -1);
    else if (run->request.call == GATEWAY_FIND_FILE && is_good)
        answer_found(run, true);
    else if (run->request.call == GATEWAY_FIND_FILE)
        find_on_hosts(run); /* a damaged one would only fail there */
    else if (run->request.call == GATEWAY_FINALIZE_UPLOAD)
        finish_upload(run, is_there);
    else if (is_good && run->head.size_bytes != run->request.size)
        refuse_size(run);
    else
        answer_initiated(run, is_good);
}

static void on_object_deleted(void *owner)
{
    struct gateway_run *run = owner;
    int result = run->removal.call.result;

    if (result != 0 && run->e.code != ERR_NOT_FOUND)
        finish_run(run, -1);
    else
        answer_deleted(run, result == 0);
}

static int ask_for_object(struct gateway_run *run)
{
    const struct gateway_request *r = &run->request;

    zone_files_put_object_key(&run->zone, r->hash, &run->key);
    if (buf_check(&run->key, &run->e) != 0)
        return -1;
    if (r->call == GATEWAY_FINALIZE_UPLOAD && !str_equal(buf_str(&run->key), r->object_key))
        return err_set(&run->e, ERR_REFUSED, "Unexpected object key: %.*s",
                       STR_ARG(r->object_key));
    if (r->call == GATEWAY_DELETE_FILE) {
        run->removal = (struct bucket_remove){.call = {on_object_deleted, run, .e = &run->e},
                                              .key = buf_str(&run->key)};
        bucket_remove(run->site->bucket, &run->removal);
    } else {
        run->head =
            (struct bucket_head){.call = {on_run_object, run, .e = &run->e},
                                 .key = buf_str(&run->key),
                                 .wants_proof = run->may_wait && r->call != GATEWAY_FIND_FILE,
                                 .client = r->from_client_id};
        bucket_head(run->site->bucket, &run->head);
    }
    return 0;
}

/* ---- share links ---- */

/* A name that ends with '/' is that of a folder index. */
static void put_link_url(const struct gateway_run *run, struct buf *out)
{
    struct str name = run->request.name;
    bool is_folder = str_ends_with(name, STR("/"));

    buf_put_buf(out, &run->base_url);
    buf_printf(out, "/%s/~%s/", is_folder ? "d" : "f", run->links.token);
    if (!is_folder)
        url_put_encoded(out, name, "/");
}

static void answer_links(struct gateway_run *run)
{
    struct buf url = {0};

    open_answer(run);
    if (run->request.call == GATEWAY_CREATE_LINK) {
        put_link_url(run, &url);
        json_put_buf(&run->answer, "url", &url);
        json_put_int(&run->answer, "expires", run->request.expires_ms);
    } else if (run->request.call == GATEWAY_LIST_LINKS) {
        json_open_member(&run->answer, "links", '[');
        if (run->links.links.len > 0)
            json_put_raw(&run->answer, NULL, buf_str(&run->links.links));
        json_close(&run->answer, ']');
        if (run->links.next[0] != '\0')
            json_put_str(&run->answer, "next", str_of(run->links.next));
    } else {
        json_put_int(&run->answer, "revoked", run->links.count);
    }
    buf_wipe(&url);
    close_answer(run);
}

/* The log knows which file is meant, never a token. */
static void on_links(void *owner)
{
    struct gateway_run *run = owner;
    const struct gateway_request *r = &run->request;

    if (run->links.result != 0) {
        finish_run(run, -1);
        return;
    }
    if (r->call == GATEWAY_CREATE_LINK)
        log_line(LOG_INFO, "share link made sha1=%.*s client=%.*s", STR_ARG(r->hash),
                 STR_ARG(r->from_client_id));
    else if (r->call == GATEWAY_REVOKE_LINK)
        log_line(LOG_INFO, "share links revoked=%lld client=%.*s", (long long)run->links.count,
                 STR_ARG(r->from_client_id));
    answer_links(run);
}

static int start_links(struct gateway_run *run)
{
    const struct gateway_request *r = &run->request;
    struct err no;

    run->links = (struct links_job){
        .kind = r->call == GATEWAY_CREATE_LINK  ? LINKS_CREATE
                : r->call == GATEWAY_LIST_LINKS ? LINKS_LIST
                                                : LINKS_REVOKE,
        .bucket = run->site->bucket,
        .zone = run->zone.name,
        .client_id = r->from_client_id,
        .is_admin = authorization_may_administer(&run->settings, run->user, &no) == 0,
        .now_ms = run->wall_ms,
        .hash = r->hash,
        .id = r->id,
        .name = r->name,
        .expires_ms = r->expires_ms,
        .after = r->after,
        .on_done = on_links,
        .owner = run,
        .e = &run->e};
    return links_start(&run->links, &run->e);
}

/* ---- who asks, and may they ---- */

static void on_calling_client(void *owner)
{
    struct gateway_run *run = owner;

    if (zone_files_take_client(&run->client_file, &run->client, &run->e) != 0) {
        if (run->e.code == ERR_NOT_FOUND)
            err_set(&run->e, ERR_REFUSED, "Client not registered. Use kachery-cloud-init to "
                                          "register this kachery-cloud client.");
        finish_run(run, -1);
        return;
    }
    run->has_client = true;
    run->user = strndup(run->client.owner.p, run->client.owner.len);
    if (run->user == NULL)
        finish_run(run, err_set(&run->e, ERR_FAILED, "out of memory"));
    else
        continue_run(run);
}

static void on_run_settings(void *owner)
{
    struct gateway_run *run = owner;

    if (authorization_take(&run->settings_file, &run->settings, &run->e) != 0) {
        finish_run(run, -1);
        return;
    }
    run->has_settings = true;
    continue_run(run);
}

static bool is_about_links(const struct gateway_run *run)
{
    return run->request.call == GATEWAY_CREATE_LINK || run->request.call == GATEWAY_LIST_LINKS ||
           run->request.call == GATEWAY_REVOKE_LINK;
}

static bool is_upload(const struct gateway_run *run)
{
    return run->request.call == GATEWAY_INITIATE_UPLOAD ||
           run->request.call == GATEWAY_FINALIZE_UPLOAD;
}

/* The client matters only where downloads are not public: an unregistered one may download. */
static bool needs_client(const struct gateway_run *run)
{
    return !run->has_client && run->request.from_client_id.len > 0 &&
           ((run->request.call != GATEWAY_FIND_FILE && run->request.call != GATEWAY_READ_FILE) ||
            (run->has_settings && !run->settings.allow_public_download));
}

static int authorize_run(struct gateway_run *run)
{
    if (is_upload(run))
        return authorization_may_upload(&run->settings, run->user, &run->e);
    if (run->request.call == GATEWAY_DELETE_FILE)
        return authorization_may_administer(&run->settings, run->user, &run->e);
    if (is_about_links(run) && run->request.call != GATEWAY_CREATE_LINK)
        return 0; /* own ones may be taken back by a client that may not read any more */
    return authorization_may_download(&run->settings, run->user, &run->e);
}

/* Asks for what is needed next. */
static int ask_next(struct gateway_run *run)
{
    const struct gateway_request *r = &run->request;
    struct bucket *bucket = run->site->bucket;

    bool needs_name = is_upload(run) || is_about_links(run);

    if (is_about_links(run) && !run->site->has_links)
        return err_set(&run->e, ERR_REFUSED, "this gateway has no share links");
    if (r->call == GATEWAY_READ_FILE && !run->site->has_links)
        return err_set(&run->e, ERR_REFUSED, "this gateway sends no files itself");
    if (needs_name && r->from_client_id.len == 0)
        return err_set(&run->e, ERR_REFUSED, "No verified client ID or user ID");
    if (needs_client(run))
        return zone_files_ask_client(bucket, &run->zone, r->from_client_id, &run->client_file,
                                     &run->e);
    if (!run->has_settings)
        return authorization_ask(bucket, &run->zone, &run->settings_file, &run->e);
    if (authorize_run(run) != 0)
        return -1;
    if (r->call == GATEWAY_READ_FILE) {
        answer_reading(run);
        return 0;
    }
    return is_about_links(run) ? start_links(run) : ask_for_object(run);
}

static void continue_run(struct gateway_run *run)
{
    if (ask_next(run) != 0)
        finish_run(run, -1);
}

/* ---- records ---- */

/* The four fields of a client or resource, under the call's own names. */
static void put_record(struct buf *answer, const char *member, const char *name_key,
                       const char *text_key, const struct zone_record *record)
{
    json_open_member(answer, member, '{');
    json_put_str(answer, name_key, record->name);
    json_put_str(answer, "ownerId", record->owner);
    json_put_int(answer, "timestampCreated", record->created_ms);
    json_put_str(answer, text_key, record->text);
    json_close(answer, '}');
}

static void answer_record(struct gateway_run *run, const struct zone_record *record)
{
    open_answer(run);
    json_put_bool(&run->answer, "found", record != NULL);
    if (record != NULL && run->request.call == GATEWAY_CLIENT_INFO)
        put_record(&run->answer, "client", "clientId", "label", record);
    else if (record != NULL)
        put_record(&run->answer, "resource", "resourceName", "proxyUrl", record);
    close_answer(run);
}

/* A daemon that is connected to this server under the name. */
static bool find_online(const struct gateway_run *run, struct zone_record *record)
{
    const struct gateway_site *site = run->site;
    struct str name = run->request.resource_name;

    if (run->request.call != GATEWAY_RESOURCE_INFO || site->is_online == NULL ||
        !site->is_online(site->owner, name, run->zone.name,
                         str_equal(run->zone.name, str_of(site->zone)), &record->created_ms))
        return false;
    record->name = name;
    record->owner = STR("local");
    record->text = buf_str(&run->base_url);
    return true;
}

/* A registered record wins. */
static void take_run_record(struct gateway_run *run, int result, struct zone_record *record)
{
    if (result == 0 || (run->e.code == ERR_NOT_FOUND && find_online(run, record)))
        answer_record(run, record);
    else if (run->e.code == ERR_NOT_FOUND)
        answer_record(run, NULL);
    else
        finish_run(run, -1);
}

static void on_run_record(void *owner)
{
    struct gateway_run *run = owner;
    struct zone_record record = {.doc = NULL};
    int result = run->request.call == GATEWAY_CLIENT_INFO
                     ? zone_files_take_client(&run->record_file, &record, &run->e)
                     : zone_files_take_resource(&run->record_file, &record, &run->e);
    struct json *doc = record.doc;

    take_run_record(run, result, &record);
    json_free(doc);
}

static void ask_for_record(struct gateway_run *run)
{
    const struct gateway_request *r = &run->request;
    struct bucket *bucket = run->site->bucket;
    struct zone_record none = {.doc = NULL};
    int result = r->call == GATEWAY_CLIENT_INFO
                     ? zone_files_ask_client(bucket, &run->zone, r->client_id, &run->record_file,
                                             &run->e)
                     : zone_files_ask_resource(bucket, &run->zone, r->resource_name,
                                               &run->record_file, &run->e);

    if (result != 0)
        take_run_record(run, result, &none);
}

/* ---- zones ---- */

static void answer_zone(struct gateway_run *run, bool is_found)
{
    open_answer(run);
    json_put_bool(&run->answer, "found", is_found);
    if (is_found)
        json_put_buf(&run->answer, "kacheryGatewayUrl", &run->base_url);
    close_answer(run);
}

static struct str zone_name_of(const struct gateway_run *run)
{
    return run->request.call == GATEWAY_ZONE_INFO ? run->request.zone_name : run->request.zone;
}

static bool is_info(const struct gateway_run *run)
{
    return run->request.call == GATEWAY_CLIENT_INFO ||
           run->request.call == GATEWAY_RESOURCE_INFO;
}

static void take_run_zone(struct gateway_run *run, int result)
{
    bool is_absent = result != 0 && run->e.code == ERR_NOT_FOUND;

    if (run->request.call == GATEWAY_ZONE_INFO && (result == 0 || is_absent))
        answer_zone(run, result == 0);
    else if (is_absent && is_info(run))
        answer_record(run, NULL);
    else if (result != 0)
        finish_run(run, -1);
    else if (is_info(run))
        ask_for_record(run);
    else
        continue_run(run);
}

static void on_run_zone(void *owner)
{
    struct gateway_run *run = owner;

    take_run_zone(run, zone_files_take_zone(&run->zone_file, run->site->zone, zone_name_of(run),
                                            &run->zone, &run->e));
}

/* ---- the start ---- */

static void start_run(struct gateway_run *run)
{
    struct str name = zone_name_of(run);

    if (zone_files_is_own(run->site->zone, name)) {
        run->zone = zone_files_own(run->site->zone);
        take_run_zone(run, 0);
    } else if (zone_files_ask_zone(run->site->bucket, name, &run->zone_file, &run->e) != 0) {
        take_run_zone(run, -1);
    }
}

static void set_run_callback(struct gateway_run *run, struct zone_reading *reading,
                             void (*on_done)(void *owner))
{
    reading->file.call.on_done = on_done;
    reading->file.call.owner = run;
    reading->file.call.e = &run->e;
}

static struct gateway_run *make_run(const struct gateway_start *start)
{
    struct gateway_run *run = calloc(1, sizeof *run);

    if (run == NULL)
        return NULL;
    run->site = start->site;
    run->on_done = start->on_done;
    run->owner = start->owner;
    run->wall_ms = clock_wall_ms();
    run->may_wait = start->request.len <= MAX_WAITING_BYTES;
    buf_put(&run->base_url, start->base_url);
    set_run_callback(run, &run->zone_file, on_run_zone);
    set_run_callback(run, &run->client_file, on_calling_client);
    set_run_callback(run, &run->settings_file, on_run_settings);
    set_run_callback(run, &run->record_file, on_run_record);
    if (!run->base_url.failed)
        return run;
    free_run(run);
    return NULL;
}

int gateway_calls_start(const struct gateway_start *start, struct gateway_run **out,
                        struct buf *answer)
{
    struct gateway_run *run = make_run(start);
    int status = 0;

    if (run == NULL) {
        buf_puts(answer, "Error: out of memory");
        return 500;
    }
    if (gateway_request_parse(&run->request, start->request, answer) != 0) {
        status = answer->failed ? 500 : 400;
        free_run(run);
        return status;
    }
    run->is_starting = true;
    if (gateway_request_verify(&run->request, run->wall_ms, &run->e) != 0)
        finish_run(run, -1);
    else
        start_run(run);
    run->is_starting = false;
    if (!run->is_finished) {
        *out = run;
        return 0;
    }
    status = run->status;
    buf_put_buf(answer, &run->answer);
    free_run(run);
    return status;
}
