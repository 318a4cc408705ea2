#include "access/zone_files.h"

#include <string.h>

#include "base/fields.h"
#include "base/hex.h"
#include "base/text_file.h"
#include "proto/kachery_uri.h"
#include "proto/signature.h"

/* ---- calls ---- */

static const struct zone whole_bucket = {.directory = {"", 0}};

/* The reading's next file is [<directory>/]<folder><name>. */
static int set_reading_name(struct zone_reading *r, const struct zone *zone, const char *folder,
                            struct str name, struct err *e)
{
    buf_clear(&r->name);
    if (zone->directory.len > 0) {
        buf_put(&r->name, zone->directory);
        buf_putc(&r->name, '/');
    }
    buf_puts(&r->name, folder);
    buf_put(&r->name, name);
    if (buf_path(&r->name, e) == NULL)
        return -1;
    r->file.name = buf_str(&r->name);
    buf_clear(&r->file.text);
    return 0;
}

static int ask_zone_file(struct bucket *bucket, const struct zone *zone, const char *folder,
                         struct str name, size_t max_bytes, struct zone_reading *r, struct err *e)
{
    if (set_reading_name(r, zone, folder, name, e) != 0)
        return -1;
    r->file.max_bytes = max_bytes;
    bucket_small_read(bucket, &r->file);
    return 0;
}

void zone_files_free_reading(struct zone_reading *reading)
{
    bucket_cancel(&reading->file.call);
    buf_free(&reading->file.text);
    buf_free(&reading->name);
    buf_free(&reading->content);
}

int zone_files_ask_text(struct bucket *bucket, const struct zone *zone, const char *name,
                        size_t max_bytes, struct zone_reading *reading, struct err *e)
{
    return ask_zone_file(bucket, zone, "", str_of(name), max_bytes, reading, e);
}

/* People edit these files too. */
int zone_files_take_text(struct zone_reading *reading, struct str *text, struct err *e)
{
    const struct bucket_call *call = &reading->file.call;
    struct err why = {0};

    if (call->result != 0)
        return err_copy(e, call->e);
    if (text_file_tidy(&reading->file.text, 0, &why) != 0)
        return err_set(e, ERR_PROTOCOL, "%.*s %s", STR_ARG(reading->file.name), why.msg);
    *text = buf_str(&reading->file.text);
    return 0;
}

static int take_json(struct zone_reading *reading, struct json **out, struct err *e)
{
    struct str text;

    if (zone_files_take_text(reading, &text, e) != 0)
        return -1;
    *out = json_parse(text, JSON_STRICT, e);
    buf_free(&reading->file.text);
    return *out == NULL ? err_wrap(e, "%.*s", STR_ARG(reading->file.name)) : 0;
}

static int write_new_file(struct bucket *bucket, struct zone_reading *r, struct err *e)
{
    if (buf_check(&r->content, e) != 0)
        return -1;
    r->file.new_text = buf_str(&r->content);
    r->file.version[0] = '\0';
    bucket_small_replace(bucket, &r->file);
    return 0;
}

int zone_files_write_new(struct bucket *bucket, const struct zone *zone, const char *name,
                         struct str text, struct zone_reading *reading, struct err *e)
{
    buf_clear(&reading->content);
    buf_put(&reading->content, text);
    if (set_reading_name(reading, zone, "", str_of(name), e) != 0)
        return -1;
    return write_new_file(bucket, reading, e);
}

int zone_files_take_written(struct zone_reading *reading, struct err *e)
{
    const struct bucket_call *call = &reading->file.call;

    if (call->result == 0 || call->e->code == ERR_TAKEN)
        return 0;
    return err_copy(e, call->e);
}

/* ---- zones ---- */

struct zone zone_files_own(const char *own)
{
    return (struct zone){.name = str_of(own), .directory = STR("")};
}

bool zone_files_is_own(const char *own, struct str name)
{
    return name.len == 0 || str_equal(name, str_of(own));
}

static int no_zone(struct str name, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Zone not found: %.*s", STR_ARG(name));
}

int zone_files_ask_zone(struct bucket *bucket, struct str name, struct zone_reading *reading,
                        struct err *e)
{
    if (!kachery_uri_is_name(name))
        return no_zone(name, e);
    return ask_zone_file(bucket, &whole_bucket, "registered-zones/", name, ZONE_FILES_MAX_BYTES,
                         reading, e);
}

/* The bucket's name is one of a deployed gateway's configuration: there, `default` is the bucket
 * that has registered-zones/. */
static bool is_this_bucket(const char *own, struct str bucket)
{
    return str_equal(bucket, STR("default")) || str_equal(bucket, str_of(own));
}

static bool is_zone_directory(struct str directory)
{
    return kachery_uri_is_directory(directory) &&
           directory.len <= ZONE_FILES_MAX_DIRECTORY_BYTES;
}

static int check_zone(const char *own, struct zone *zone, struct err *e)
{
    static const struct field owner_fields[] = {
        {.name = "ownerId", .kind = FIELD_STRING, .min = 1},
        {.kind = FIELD_OTHERS},
    };
    static const struct field bucket_fields[] = {
        {.name = "bucketName", .kind = FIELD_STRING, .min = 1},
        {.kind = FIELD_OTHERS},
    };
    static const struct field directory_fields[] = {
        {.name = "directory", .kind = FIELD_STRING, .is_optional = true, .may_be_null = true},
        {.kind = FIELD_OTHERS},
    };
    struct str owner, bucket;

    zone->directory = STR("");
    if (fields_read(owner_fields, zone->doc, &owner, NULL, ERR_IGNORED) != 0)
        return err_set(e, ERR_PROTOCOL, "No ownerId for zone: %.*s", STR_ARG(zone->name));
    if (fields_read(bucket_fields, zone->doc, &bucket, NULL, ERR_IGNORED) != 0)
        return err_set(e, ERR_PROTOCOL, "No bucketName for zone: %.*s", STR_ARG(zone->name));
    if (!is_this_bucket(own, bucket))
        return err_set(e, ERR_NOT_FOUND, "Zone not found: %.*s (it is in another bucket)",
                       STR_ARG(zone->name));
    if (fields_read(directory_fields, zone->doc, &zone->directory, NULL, ERR_IGNORED) != 0)
        return err_set(e, ERR_PROTOCOL, "Bad directory for zone: %.*s", STR_ARG(zone->name));
    if (str_ends_with(zone->directory, STR("/")))
        zone->directory.len--;
    if (!is_zone_directory(zone->directory))
        return err_set(e, ERR_PROTOCOL, "Bad directory for zone: %.*s", STR_ARG(zone->name));
    return 0;
}

int zone_files_take_zone(struct zone_reading *reading, const char *own, struct str name,
                         struct zone *out, struct err *e)
{
    struct zone zone = {.name = name};

    if (take_json(reading, &zone.doc, e) != 0)
        return e->code == ERR_NOT_FOUND ? no_zone(name, e) : -1;
    if (check_zone(own, &zone, e) != 0) {
        json_free(zone.doc);
        return -1;
    }
    *out = zone;
    return 0;
}

void zone_files_free_zone(struct zone *zone)
{
    json_free(zone->doc);
    *zone = (struct zone){.doc = NULL};
}

void zone_files_put_object_key(const struct zone *zone, struct str hash, struct buf *out)
{
    char digits[SHA1_HEX + 1] = "";

    memcpy(digits, hash.p, hash.len < SHA1_HEX ? hash.len : SHA1_HEX);
    kachery_uri_put_object_key(out, zone->directory, digits);
}

/* ---- records ---- */

#define AT(member) offsetof(struct zone_record, member)
#define RECORD(name_key, text_key)                                                                 \
    {                                                                                              \
        {.name = name_key, .kind = FIELD_STRING, .at = AT(name)},                                  \
            {.name = "ownerId", .kind = FIELD_STRING, .at = AT(owner)},                            \
            {.name = "timestampCreated",                                                           \
             .kind = FIELD_SIGNED,                                                                 \
             .at = AT(created_ms)},                                                                \
            {.name = text_key, .kind = FIELD_STRING, .at = AT(text)},                              \
            {.kind = FIELD_OTHERS},                                                  \
    }

static const struct field client_fields[] = RECORD("clientId", "label");
static const struct field resource_fields[] = RECORD("resourceName", "proxyUrl");

static int take_zone_record(struct zone_reading *reading, const struct field *fields,
                            struct zone_record *out, struct err *e)
{
    struct zone_record found = {.doc = NULL};

    if (take_json(reading, &found.doc, e) != 0)
        return -1;
    if (fields_read(fields, found.doc, &found, NULL, e) != 0) {
        json_free(found.doc);
        return err_wrap(e, "%.*s", STR_ARG(reading->file.name));
    }
    *out = found;
    return 0;
}

void zone_files_free_record(struct zone_record *record)
{
    json_free(record->doc);
    *record = (struct zone_record){.doc = NULL};
}

int zone_files_ask_client(struct bucket *bucket, const struct zone *zone, struct str client_id,
                          struct zone_reading *reading, struct err *e)
{
    if (!hex_is_lower(client_id, SIGNATURE_CLIENT_ID_DIGITS))
        return err_set(e, ERR_NOT_FOUND, "no such client");
    return ask_zone_file(bucket, zone, "clients/", client_id, ZONE_FILES_MAX_BYTES, reading, e);
}

int zone_files_take_client(struct zone_reading *reading, struct zone_record *out, struct err *e)
{
    return take_zone_record(reading, client_fields, out, e);
}

int zone_files_ask_resource(struct bucket *bucket, const struct zone *zone, struct str name,
                            struct zone_reading *reading, struct err *e)
{
    if (!kachery_uri_is_name(name))
        return err_set(e, ERR_NOT_FOUND, "no such resource");
    return ask_zone_file(bucket, zone, "resources/", name, ZONE_FILES_MAX_BYTES, reading, e);
}

int zone_files_take_resource(struct zone_reading *reading, struct zone_record *out, struct err *e)
{
    return take_zone_record(reading, resource_fields, out, e);
}

int zone_files_add_client(struct bucket *bucket, const struct zone *zone,
                          const struct zone_record *client, struct zone_reading *reading,
                          struct err *e)
{
    buf_clear(&reading->content);
    fields_put(&reading->content, client_fields, client);
    if (set_reading_name(reading, zone, "clients/", client->name, e) != 0)
        return -1;
    return write_new_file(bucket, reading, e);
}
