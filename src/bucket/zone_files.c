#include "bucket/zone_files.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dirs.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/leftover.h"
#include "base/text_file.h"
#include "proto/kachery_uri.h"
#include "proto/signature.h"

void zone_files_record_deinit(struct zone_record *record)
{
    json_free(record->doc);
    *record = (struct zone_record){0};
}

/* People edit these files too. */
static int read_text(const char *path, size_t max_bytes, struct buf *text, struct err *e)
{
    struct err why = {0};

    if (fs_read_file(path, max_bytes, text, e) != 0)
        return -1;
    if (text_file_tidy(text, 0, &why) == 0)
        return 0;
    return err_set(e, ERR_PROTOCOL, "%s %s", path, why.msg);
}

static int read_json(const char *path, size_t max_bytes, struct json **out, struct err *e)
{
    struct buf text = {0};
    int result = read_text(path, max_bytes, &text, e);

    if (result == 0) {
        *out = json_parse(buf_str(&text), JSON_STRICT, e);
        if (*out == NULL)
            result = err_wrap(e, "%s", path);
    }
    buf_free(&text);
    return result;
}

/* ---- zones ---- */

/* The bucket's name is one of a deployed gateway's configuration: there, `default` is the bucket
 * that has registered-zones/. */
static bool is_own_bucket(const struct site *site, struct str bucket)
{
    return str_equal(bucket, STR("default")) || str_equal(bucket, str_of(site->zone));
}

static int check_zone(const struct site *site, struct site_zone *zone, struct err *e)
{
    struct str owner = STR(""), bucket = STR("");

    json_str(json_get(zone->doc, "ownerId"), &owner);
    json_str(json_get(zone->doc, "bucketName"), &bucket);
    if (owner.len == 0)
        return err_set(e, ERR_PROTOCOL, "No ownerId for zone: %.*s", STR_ARG(zone->name));
    if (bucket.len == 0)
        return err_set(e, ERR_PROTOCOL, "No bucketName for zone: %.*s", STR_ARG(zone->name));
    if (!is_own_bucket(site, bucket))
        return err_set(e, ERR_NOT_FOUND, "Zone not found: %.*s (it is in another bucket)",
                       STR_ARG(zone->name));
    json_str(json_get(zone->doc, "directory"), &zone->directory);
    if (str_ends_with(zone->directory, STR("/")))
        zone->directory.len--;
    if (!site_is_directory(zone->directory) ||
        zone->directory.len > ZONE_FILES_MAX_DIRECTORY_BYTES)
        return err_set(e, ERR_PROTOCOL, "Bad directory for zone: %.*s", STR_ARG(zone->name));
    return 0;
}

int zone_files_zone(const struct site *site, struct str name, struct site_zone *out, struct err *e)
{
    struct site_zone zone = site_own_zone(site);
    struct buf path = {0};
    int result = 0;

    if (name.len > 0 && !str_equal(name, zone.name)) {
        site_put_path(site, &zone, STR("registered-zones/"), &path);
        buf_put(&path, name);
        zone.name = name;
        result = kachery_uri_is_name(name)
                     ? read_json(buf_path(&path, e), ZONE_FILES_MAX_BYTES, &zone.doc, e)
                     : err_set(e, ERR_NOT_FOUND, "no such zone");
        if (result == 0)
            result = check_zone(site, &zone, e);
        else if (e->code == ERR_NOT_FOUND)
            err_set(e, ERR_NOT_FOUND, "Zone not found: %.*s", STR_ARG(name));
    }
    if (result == 0)
        *out = zone;
    else
        json_free(zone.doc);
    buf_free(&path);
    return result;
}

void zone_files_zone_deinit(struct site_zone *zone)
{
    json_free(zone->doc);
    *zone = (struct site_zone){0};
}

/* ---- reading ---- */

/* The file `name` of `folder`, which ends with '/', with its four fields; `name_key` and
 * `text_key` differ. */
static int read_record(const struct site *site, const struct site_zone *zone, const char *folder,
                       struct str name, const char *const keys[2], struct zone_record *out,
                       struct err *e)
{
    struct zone_record found = {0};
    struct buf path = {0};
    int result;

    site_put_path(site, zone, str_of(folder), &path);
    buf_put(&path, name);
    result = read_json(buf_path(&path, e), ZONE_FILES_MAX_BYTES, &found.doc, e);
    if (result == 0 && (!json_str(json_get(found.doc, keys[0]), &found.name) ||
                        !json_str(json_get(found.doc, "ownerId"), &found.owner) ||
                        !json_str(json_get(found.doc, keys[1]), &found.text) ||
                        !json_int(json_get(found.doc, "timestampCreated"), &found.created_ms))) {
        result = err_set(e, ERR_PROTOCOL, "%s: want %s, ownerId, timestampCreated, %s",
                         path.data, keys[0], keys[1]);
        json_free(found.doc);
    }
    if (result == 0)
        *out = found;
    buf_free(&path);
    return result;
}

int zone_files_client(const struct site *site, const struct site_zone *zone, struct str client_id,
                      struct zone_record *out, struct err *e)
{
    static const char *const keys[2] = {"clientId", "label"};

    if (!hex_is_lower(client_id, SIGNATURE_CLIENT_ID_DIGITS))
        return err_set(e, ERR_NOT_FOUND, "no such client");
    return read_record(site, zone, "clients/", client_id, keys, out, e);
}

int zone_files_resource(const struct site *site, const struct site_zone *zone, struct str name,
                        struct zone_record *out, struct err *e)
{
    static const char *const keys[2] = {"resourceName", "proxyUrl"};

    if (!kachery_uri_is_name(name))
        return err_set(e, ERR_NOT_FOUND, "no such resource");
    return read_record(site, zone, "resources/", name, keys, out, e);
}

int zone_files_read(const struct site *site, const struct site_zone *zone, const char *name,
                    size_t max_bytes, struct buf *text, struct err *e)
{
    struct buf path = {0};

    site_put_path(site, zone, str_of(name), &path);
    int result = read_text(buf_path(&path, e), max_bytes, text, e);
    buf_free(&path);
    return result;
}

/* ---- registering ---- */

enum { CLEAN_EVERY_MS = 3600 * 1000 };

/* A file that was not written to its end is tried again by its client, not by us: any name. A
 * registry can be large, so a process does not look through it for each of many registrations. */
static void clean_folder_of(const char *path)
{
    static int64_t next_ms;
    struct buf folder = {0};

    if (clock_now_ms() < next_ms)
        return;
    next_ms = clock_now_ms() + CLEAN_EVERY_MS;
    buf_append(&folder, path, (size_t)(strrchr(path, '/') + 1 - path));
    leftover_clean(buf_path(&folder, NULL));
    buf_free(&folder);
}

static int write_file(const char *path, const struct buf *text, struct err *e)
{
    if (buf_check(text, e) != 0 || dirs_make_parents(path, e) != 0)
        return -1;
    clean_folder_of(path);
    return fs_write_file(path, buf_str(text), FS_DURABLE, e);
}

static void put_client(struct buf *out, const struct zone_record *client)
{
    json_open(out, '{');
    json_put_str(out, "clientId", client->name);
    json_put_str(out, "ownerId", client->owner);
    json_put_int(out, "timestampCreated", client->created_ms);
    json_put_str(out, "label", client->text);
    json_close(out, '}');
}

static int add_locked(const struct site *site, const struct site_zone *zone,
                      const struct zone_record *client, struct err *e)
{
    struct buf path = {0}, text = {0};
    const char *name;
    int result = 0;

    site_put_path(site, zone, STR("clients/"), &path);
    buf_put(&path, client->name);
    name = buf_path(&path, e);
    if (name == NULL) {
        result = -1;
    } else if (access(name, F_OK) != 0 && errno != ENOENT && errno != ENOTDIR) {
        result = err_errno(e, ERR_FAILED, errno, "cannot look at %s", name);
    } else if (access(name, F_OK) != 0) {
        put_client(&text, client);
        result = write_file(name, &text, e);
    }
    buf_free(&path);
    buf_free(&text);
    return result;
}

int zone_files_add_client(const struct site *site, const struct site_zone *zone,
                          const struct zone_record *client, struct err *e)
{
    int fd, result;

    if (site_lock(site, &fd, e) != 0)
        return -1;
    result = add_locked(site, zone, client, e);
    close(fd);
    return result;
}
