#include "access/links.h"

#include <string.h>

#include "base/base64.h"
#include "base/fields.h"
#include "base/hex.h"
#include "base/hmac.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sha1.h"
#include "proto/signature.h"

#define LINKS_PREFIX ".hub/links/"

enum {
    HASH_DIGITS = 2, /* of the file's SHA-1, at the start of a token */
    /* A name of control bytes, each written as six characters, would still fit. */
    MAX_FILE_BYTES = 8 * LINKS_MAX_NAME_BYTES
};

/* The client of a link that is none, and of a stranger's pass. */
static const char nobody[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* ---- tokens and files ---- */

#define AT(member) offsetof(struct share_link, member)

static const struct field link_fields[] = {
    {.name = "zone", .kind = FIELD_STRING, .at = AT(zone), .min = 1},
    {.name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX},
    {.name = "name", .kind = FIELD_STRING, .at = AT(name), .min = 1, .max = LINKS_MAX_NAME_BYTES},
    {.name = "clientId",
     .kind = FIELD_HEX,
     .at = AT(client_id),
     .max = SIGNATURE_CLIENT_ID_DIGITS},
    {.name = "timestampCreated", .kind = FIELD_INT, .at = AT(created_ms)},
    {.name = "expires", .kind = FIELD_INT, .at = AT(expires_ms)},
    {.kind = FIELD_OTHERS},
};

static void free_link(struct share_link *link)
{
    json_free(link->doc);
    *link = (struct share_link){.doc = NULL};
}

static int parse_link(struct share_link *out, struct str text, struct err *e)
{
    struct share_link link = {.doc = json_parse(text, JSON_STRICT, e)};

    if (link.doc == NULL)
        return -1;
    if (fields_read(link_fields, link.doc, &link, NULL, e) != 0) {
        json_free(link.doc);
        return -1;
    }
    *out = link;
    return 0;
}

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '-' || c == '_';
}

bool links_read_token(struct str token, char *id)
{
    unsigned char digest[SHA256_SIZE];

    if (token.len != LINKS_TOKEN_CHARS ||
        !hex_is_lower(str_slice(token, 0, HASH_DIGITS + LINKS_FOLDER_DIGITS),
                      HASH_DIGITS + LINKS_FOLDER_DIGITS))
        return false;
    for (size_t i = 0; i < token.len; i++)
        if (!is_token_char(token.p[i]))
            return false;
    sha256_of(token, digest);
    memcpy(id, token.p + HASH_DIGITS, LINKS_FOLDER_DIGITS);
    hex_encode(digest, sizeof digest, id + LINKS_FOLDER_DIGITS);
    return true;
}

/* The folder of a maker in a zone, in out[LINKS_FOLDER_DIGITS + 1]. */
static void put_link_folder(struct str zone, struct str client_id, char *out)
{
    unsigned char digest[SHA256_SIZE];
    struct sha256 h;

    sha256_init(&h);
    sha256_update(&h, zone.p, zone.len);
    sha256_update(&h, "\n", 1);
    sha256_update(&h, client_id.p, client_id.len);
    sha256_final(&h, digest);
    hex_encode(digest, LINKS_FOLDER_DIGITS / 2, out);
}

static int make_token(struct links_job *job)
{
    unsigned char bytes[LINKS_RANDOM_BYTES];
    char folder[LINKS_FOLDER_DIGITS + 1];
    struct buf text = {0};
    int result;

    random_bytes(bytes, sizeof bytes);
    put_link_folder(job->zone, job->client_id, folder);
    buf_put(&text, str_slice(job->hash, 0, HASH_DIGITS));
    buf_puts(&text, folder);
    base64_put(&text, (struct str){(const char *)bytes, sizeof bytes});
    result = buf_check(&text, job->e);
    for (size_t i = 0; i < text.len; i++) /* base64url (RFC 4648 §5); 18 bytes need no padding */
        text.data[i] = text.data[i] == '+' ? '-' : text.data[i] == '/' ? '_' : text.data[i];
    if (result == 0)
        memcpy(job->token, text.data, LINKS_TOKEN_CHARS);
    buf_wipe(&text);
    return result;
}

static void put_link_key(struct buf *out, const char *id)
{
    buf_printf(out, LINKS_PREFIX "%.*s/%s", LINKS_FOLDER_DIGITS, id, id + LINKS_FOLDER_DIGITS);
}

/* The id of a key, in id[LINKS_ID_DIGITS + 1]; false for other files. */
static bool read_link_key(struct str key, char *id)
{
    struct str rest = str_slice(key, strlen(LINKS_PREFIX), key.len);

    if (rest.len != LINKS_ID_DIGITS + 1 || rest.p[LINKS_FOLDER_DIGITS] != '/')
        return false;
    memcpy(id, rest.p, LINKS_FOLDER_DIGITS);
    memcpy(id + LINKS_FOLDER_DIGITS, rest.p + LINKS_FOLDER_DIGITS + 1, SHA256_HEX);
    id[LINKS_ID_DIGITS] = '\0';
    return hex_is_lower(str_of(id), LINKS_ID_DIGITS);
}

static int refuse_name(struct err *e)
{
    return err_set(e, ERR_REFUSED,
                   "the name of a link: want 1 to %d bytes without control characters, and no "
                   "empty part, \".\" or \"..\" between its slashes",
                   LINKS_MAX_NAME_BYTES);
}

int links_check_name(struct str name, struct err *e)
{
    if (name.len == 0 || name.len > LINKS_MAX_NAME_BYTES || !str_is_utf8(name))
        return refuse_name(e);
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
            return refuse_name(e);
    while (name.len > 0) {
        struct str part = str_slice(name, 0, str_find(name, '/'));
        if (part.len == 0 || str_equal(part, STR(".")) || str_equal(part, STR("..")))
            return refuse_name(e);
        name = str_slice(name, part.len + 1, name.len);
    }
    return 0;
}

/* ---- jobs ---- */

/*
 *     page ──► file ──► (removed) ──► next file … next page … ──► (written) ──► done
 * Revoking by id begins with the file and has no other.
 */

static void visit_next_link(struct links_job *job);

static struct bucket_call call_of(struct links_job *job, void (*on_done)(void *owner))
{
    return (struct bucket_call){.on_done = on_done, .owner = job, .e = job->e};
}

void links_free_job(struct links_job *job)
{
    bucket_cancel(&job->page.call);
    bucket_cancel(&job->file.call);
    bucket_cancel(&job->removal.call);
    buf_free(&job->page.keys);
    buf_free(&job->file.text);
    buf_free(&job->links);
    buf_free(&job->prefix);
    buf_free(&job->last);
    buf_free(&job->key);
    buf_free(&job->content);
    explicit_bzero(job->token, sizeof job->token);
}

static void end_links_job(struct links_job *job, int result)
{
    job->result = result == 0 ? buf_check(&job->links, job->e) : -1;
    job->on_done(job->owner);
}

static void on_share_link_written(void *owner)
{
    struct links_job *job = owner;

    end_links_job(job, job->file.call.result);
}

static void write_link(struct links_job *job)
{
    const struct share_link link = {.zone = job->zone,
                                    .hash = job->hash,
                                    .name = job->name,
                                    .client_id = job->client_id,
                                    .created_ms = job->now_ms,
                                    .expires_ms = job->expires_ms};
    char id[LINKS_ID_DIGITS + 1];

    if (job->count >= LINKS_MAX_EACH) {
        end_links_job(job, err_set(job->e, ERR_REFUSED,
                                   "%d share links of this client exist: revoke one first",
                                   LINKS_MAX_EACH));
        return;
    }
    if (make_token(job) != 0 || !links_read_token(str_of(job->token), id)) {
        end_links_job(job, -1);
        return;
    }
    buf_clear(&job->key);
    put_link_key(&job->key, id);
    fields_put(&job->content, link_fields, &link);
    if (buf_check(&job->key, job->e) != 0 || buf_check(&job->content, job->e) != 0) {
        end_links_job(job, -1);
        return;
    }
    job->file.call = call_of(job, on_share_link_written);
    job->file.name = buf_str(&job->key);
    job->file.new_text = buf_str(&job->content);
    job->file.version[0] = '\0';
    bucket_small_replace(job->bucket, &job->file);
}

static void end_link_walk(struct links_job *job)
{
    if (job->kind == LINKS_CREATE)
        write_link(job);
    else
        end_links_job(job, 0);
}

/* Somebody else may have removed it meanwhile. */
static void on_share_link_removed(void *owner)
{
    struct links_job *job = owner;

    if (job->removal.call.result != 0 && job->e->code != ERR_NOT_FOUND)
        end_links_job(job, -1);
    else
        visit_next_link(job);
}

static void remove_share_link(struct links_job *job)
{
    job->removal = (struct bucket_remove){.call = call_of(job, on_share_link_removed),
                                          .key = buf_str(&job->key)};
    bucket_remove(job->bucket, &job->removal);
}

static void list_link(struct links_job *job, const struct share_link *link)
{
    char id[LINKS_ID_DIGITS + 1] = "";

    read_link_key(buf_str(&job->key), id);
    json_open(&job->links, '{');
    json_put_str(&job->links, "id", str_of(id));
    fields_put_members(&job->links, link_fields, link);
    json_close(&job->links, '}');
    if (job->links.len < LINKS_PAGE_BYTES) {
        visit_next_link(job);
        return;
    }
    memcpy(job->next, id, sizeof id);
    end_links_job(job, 0);
}

static void visit_link(struct links_job *job, const struct share_link *link)
{
    bool is_here = str_equal(link->zone, job->zone);
    bool is_mine = is_here && str_equal(link->client_id, job->client_id);
    bool is_old = link->expires_ms <= job->now_ms;
    bool is_meant = job->id.len > 0 ? is_here && (is_mine || job->is_admin)
                                    : is_mine && str_equal(link->hash, job->hash);

    if (job->kind == LINKS_REVOKE && is_meant) {
        job->count += !is_old;
        remove_share_link(job);
    } else if (is_mine && is_old) {
        remove_share_link(job);
    } else if (job->kind == LINKS_LIST && is_here && !is_old && (is_mine || job->is_admin)) {
        list_link(job, link);
    } else {
        job->count += job->kind == LINKS_CREATE && is_mine;
        visit_next_link(job);
    }
}

/* A file that is no link is passed over: it must not hide the others. */
static void on_link_file(void *owner)
{
    struct links_job *job = owner;
    struct share_link link;
    struct err why = {0};

    if (job->file.call.result != 0) {
        if (job->e->code == ERR_NOT_FOUND)
            visit_next_link(job);
        else
            end_links_job(job, -1);
    } else if (parse_link(&link, buf_str(&job->file.text), &why) != 0) {
        log_line(LOG_WARN, "%.*s is no share link: %s", STR_ARG(job->file.name), why.msg);
        visit_next_link(job);
    } else {
        visit_link(job, &link);
        free_link(&link);
    }
}

static void read_link_file(struct links_job *job)
{
    buf_clear(&job->file.text);
    job->file.call = call_of(job, on_link_file);
    job->file.name = buf_str(&job->key);
    job->file.max_bytes = MAX_FILE_BYTES;
    bucket_small_read(job->bucket, &job->file);
}

static void on_link_page(void *owner)
{
    struct links_job *job = owner;

    if (job->page.call.result != 0)
        end_links_job(job, -1);
    else
        visit_next_link(job);
}

static void ask_link_page(struct links_job *job)
{
    buf_clear(&job->page.keys);
    job->at = 0;
    job->page.call = call_of(job, on_link_page);
    job->page.prefix = buf_str(&job->prefix);
    job->page.after = buf_str(&job->last);
    job->page.max = BUCKET_MAX_LIST;
    bucket_list(job->bucket, &job->page);
}

/* Goes on with the file behind the last one, of this page or of the next. */
static void visit_next_link(struct links_job *job)
{
    char id[LINKS_ID_DIGITS + 1];
    struct str key;

    while (job->id.len == 0 && bucket_list_next(&job->page, &job->at, &key)) {
        buf_clear(&job->last);
        buf_put(&job->last, key);
        if (!read_link_key(key, id))
            continue;
        buf_clear(&job->key);
        buf_put(&job->key, key);
        if (buf_check(&job->key, job->e) != 0 || buf_check(&job->last, job->e) != 0)
            end_links_job(job, -1);
        else
            read_link_file(job);
        return;
    }
    if (job->id.len == 0 && !job->page.is_last)
        ask_link_page(job);
    else
        end_link_walk(job);
}

static int check_links_job(struct links_job *job, struct err *e)
{
    if (job->kind != LINKS_CREATE)
        return 0;
    if (links_check_name(job->name, e) != 0)
        return -1;
    if (job->expires_ms <= job->now_ms)
        return err_set(e, ERR_REFUSED, "a share link would have expired already");
    if (job->expires_ms - job->now_ms > LINKS_MAX_MS)
        return err_set(e, ERR_REFUSED, "a share link lasts at most a hundred years");
    return 0;
}

int links_start(struct links_job *job, struct err *e)
{
    char folder[LINKS_FOLDER_DIGITS + 1], id[LINKS_ID_DIGITS + 1] = "";
    struct str named = job->kind == LINKS_LIST ? job->after : job->id;

    if (check_links_job(job, e) != 0)
        return -1;
    put_link_folder(job->zone, job->client_id, folder);
    buf_puts(&job->prefix, LINKS_PREFIX);
    if (job->kind != LINKS_LIST || !job->is_admin)
        buf_printf(&job->prefix, "%s/", folder);
    if (named.len == LINKS_ID_DIGITS) {
        memcpy(id, named.p, LINKS_ID_DIGITS);
        put_link_key(job->kind == LINKS_LIST ? &job->last : &job->key, id);
    }
    if (buf_check(&job->prefix, e) != 0 || buf_check(&job->last, e) != 0 ||
        buf_check(&job->key, e) != 0)
        return -1;
    if (job->id.len > 0)
        read_link_file(job);
    else
        ask_link_page(job);
    return 0;
}

/* ---- using ---- */

/*
 *     link ──► (zone) ──► client ──► settings ──► done
 * A token that is none goes the same way, with the zone of the hub and a client that is nobody.
 */

static struct bucket_call use_call(struct links_use *use, void (*on_done)(void *owner))
{
    return (struct bucket_call){.on_done = on_done, .owner = use, .e = use->e};
}

void links_end_use(struct links_use *use)
{
    zone_files_free_reading(&use->file);
    zone_files_free_reading(&use->zone_file);
    zone_files_free_reading(&use->client_file);
    zone_files_free_reading(&use->settings_file);
    zone_files_free_record(&use->client);
    zone_files_free_zone(&use->zone);
    free_link(&use->link);
}

static void finish_use(struct links_use *use, int result)
{
    use->result = result;
    use->is_good = result == 0 && use->is_good;
    use->on_done(use->owner);
}

/* The owner of a client that is registered, else nobody; in *user with a NUL. */
static int check_link_owner(struct links_use *use, const struct authorization *settings)
{
    struct buf user = {0};
    struct err why = {0};
    int result;

    buf_put(&user, use->client.owner);
    buf_putc(&user, '\0');
    result = buf_check(&user, use->e);
    if (result == 0 && authorization_may_download(
                           settings, use->client.doc == NULL ? NULL : user.data, &why) != 0)
        use->is_good = false;
    buf_free(&user);
    return result;
}

static void on_use_settings(void *owner)
{
    struct links_use *use = owner;
    struct authorization settings;
    int result = authorization_take(&use->settings_file, &settings, use->e);

    if (result == 0) {
        result = check_link_owner(use, &settings);
        authorization_deinit(&settings);
    }
    finish_use(use, result);
}

static void on_use_client(void *owner)
{
    struct links_use *use = owner;

    if (zone_files_take_client(&use->client_file, &use->client, use->e) != 0 &&
        use->e->code != ERR_NOT_FOUND) {
        finish_use(use, -1);
        return;
    }
    use->settings_file.file.call = use_call(use, on_use_settings);
    if (authorization_ask(use->bucket, &use->zone, &use->settings_file, use->e) != 0)
        finish_use(use, -1);
}

static void ask_use_client(struct links_use *use)
{
    bool is_link = use->link.doc != NULL || use->is_pass;
    struct str client = is_link ? use->link.client_id : str_of(nobody);

    use->client_file.file.call = use_call(use, on_use_client);
    if (zone_files_ask_client(use->bucket, &use->zone, client, &use->client_file, use->e) != 0)
        finish_use(use, -1);
}

static void on_use_zone(void *owner)
{
    struct links_use *use = owner;

    if (zone_files_take_zone(&use->zone_file, use->own_zone, use->link.zone, &use->zone, use->e) !=
        0) {
        if (use->e->code != ERR_NOT_FOUND) {
            finish_use(use, -1);
            return;
        }
        use->is_good = false;
        use->zone = zone_files_own(use->own_zone);
    }
    ask_use_client(use);
}

static void on_use_file(void *owner)
{
    struct links_use *use = owner;
    const struct bucket_call *call = &use->file.file.call;

    if (call->result != 0 && use->e->code != ERR_NOT_FOUND) {
        finish_use(use, -1);
        return;
    }
    if (call->result == 0 && parse_link(&use->link, buf_str(&use->file.file.text), use->e) != 0) {
        finish_use(use, -1);
        return;
    }
    use->is_good = use->link.doc != NULL && use->link.expires_ms > use->now_ms;
    if (use->link.doc == NULL || zone_files_is_own(use->own_zone, use->link.zone)) {
        use->zone = zone_files_own(use->own_zone);
        ask_use_client(use);
        return;
    }
    use->zone_file.file.call = use_call(use, on_use_zone);
    if (zone_files_ask_zone(use->bucket, use->link.zone, &use->zone_file, use->e) != 0)
        finish_use(use, -1);
}

/* ---- passes ---- */

static void sign_pass(const unsigned char *key, struct str signed_part, struct str zone,
                      char digits[HMAC_SHA256_DIGITS + 1])
{
    struct buf text = {0};

    buf_printf(&text, "PASS\n%.*s\n%.*s", STR_ARG(signed_part), STR_ARG(zone));
    (void)!hmac_sha256_sign((struct str){(const char *)key, LINKS_PASS_KEY}, &text, digits);
    buf_free(&text);
}

void links_put_pass(struct buf *out, const unsigned char key[LINKS_PASS_KEY], struct str zone,
                    struct str hash, struct str client_id, int64_t now_ms)
{
    char digits[HMAC_SHA256_DIGITS + 1], name[2 * LINKS_PASS_MAX_ZONE + 1];
    struct buf part = {0};

    buf_printf(&part, "%.*s%010lld%.*s", STR_ARG(hash),
               (long long)((now_ms + LINKS_PASS_MS) / 1000),
               STR_ARG(client_id.len > 0 ? client_id : str_of(nobody)));
    sign_pass(key, buf_str(&part), zone, digits);
    if (part.failed || digits[0] == '\0' || zone.len > LINKS_PASS_MAX_ZONE) {
        out->failed = true;
    } else {
        hex_encode((const unsigned char *)zone.p, zone.len, name);
        buf_put_buf(out, &part);
        buf_puts(out, digits);
        buf_puts(out, name);
    }
    buf_free(&part);
}

/* Reads a pass whose signature is right. */
static bool read_pass(struct links_use *use, struct str token)
{
    const size_t signed_len = SHA1_HEX + 10 + SIGNATURE_CLIENT_ID_DIGITS;
    char digits[HMAC_SHA256_DIGITS + 1];
    struct str zone = str_slice(token, LINKS_PASS_MIN_CHARS, token.len);
    uint64_t expires_s;

    if (use->key == NULL || token.len <= LINKS_PASS_MIN_CHARS ||
        zone.len > 2 * LINKS_PASS_MAX_ZONE || zone.len % 2 != 0 ||
        !hex_decode(zone, (unsigned char *)use->pass_zone, zone.len / 2))
        return false;
    struct str part = str_slice(token, 0, signed_len);
    zone = (struct str){use->pass_zone, zone.len / 2};
    sign_pass(use->key, part, zone, digits);
    if (!str_equal_constant_time(str_slice(token, signed_len, LINKS_PASS_MIN_CHARS),
                                 str_of(digits)) ||
        !str_to_uint(str_slice(part, SHA1_HEX, SHA1_HEX + 10), INT64_MAX / 1000, &expires_s))
        return false;
    memcpy(use->hash, part.p, SHA1_HEX);
    memcpy(use->maker, part.p + SHA1_HEX + 10, SIGNATURE_CLIENT_ID_DIGITS);
    use->link = (struct share_link){.zone = zone,
                                    .hash = str_of(use->hash),
                                    .name = str_of(use->hash),
                                    .client_id = str_of(use->maker),
                                    .expires_ms = (int64_t)expires_s * 1000};
    return true;
}

/* The same steps as those of a link, without its file. */
static int use_pass(struct links_use *use, struct err *e)
{
    use->is_pass = true;
    use->is_good = use->link.expires_ms > use->now_ms;
    if (zone_files_is_own(use->own_zone, use->link.zone)) {
        use->zone = zone_files_own(use->own_zone);
        use->client_file.file.call = use_call(use, on_use_client);
        return zone_files_ask_client(use->bucket, &use->zone, use->link.client_id,
                                     &use->client_file, e);
    }
    use->zone_file.file.call = use_call(use, on_use_zone);
    return zone_files_ask_zone(use->bucket, use->link.zone, &use->zone_file, e);
}

int links_start_use(struct links_use *use, struct str token, struct err *e)
{
    char id[LINKS_ID_DIGITS + 1];

    if (read_pass(use, token))
        return use_pass(use, e);
    if (!links_read_token(token, id))
        return err_set(e, ERR_NOT_FOUND, "no such link");
    put_link_key(&use->file.name, id);
    if (buf_check(&use->file.name, e) != 0)
        return -1;
    use->file.file.name = buf_str(&use->file.name);
    use->file.file.max_bytes = MAX_FILE_BYTES;
    use->file.file.call = use_call(use, on_use_file);
    bucket_small_read(use->bucket, &use->file.file);
    return 0;
}
