#include "access/authorization.h"

#include <stdlib.h>

#include "base/quote.h"

#define SETTINGS "settings/authorizationSettings.yaml"

enum { MAX_KEPT_BYTES = 4096 };

/* A file that was read and is right. The last short one is kept: settings are read for each
 * request, and parsing the same text again would be most of the work. */
struct authorization_file {
    struct yaml *doc;
    struct buf text; /* empty: of one that is not kept */
    struct authorization settings;
    size_t uses;
};

static struct authorization_file *kept;

struct authorization authorization_none(void)
{
    return (struct authorization){.allow_public_download = true};
}

static void release_settings_file(struct authorization_file *file)
{
    if (file == NULL || --file->uses > 0)
        return;
    yaml_free(file->doc);
    buf_free(&file->text);
    free(file);
}

void authorization_deinit(struct authorization *a)
{
    release_settings_file(a->file);
    *a = authorization_none();
}

static int set_settings_error(struct err *e, const char *name, const struct yaml *node,
                              const char *want)
{
    return err_set(e, ERR_PROTOCOL, "%s:%zu: %s", name, node == NULL ? 1 : yaml_line(node), want);
}

/* Reads the boolean under `key` into *out; a missing one is left as it is. */
static int read_bool(const struct yaml *mapping, const char *key, bool *out, const char *name,
                     struct err *e)
{
    const struct yaml *node = yaml_get(mapping, key);

    if (node == NULL || yaml_bool(node, out))
        return 0;
    char quoted[QUOTE_SIZE];
    return err_set(e, ERR_PROTOCOL, "%s:%zu: %s \"%s\": want true or false", name, yaml_line(node),
                   key, quote_str(quoted, yaml_text(node)));
}

static int check_settings_keys(const struct yaml *mapping, const char *const *known,
                               const char *name, struct err *e)
{
    for (const struct yaml *v = yaml_first(mapping); v != NULL; v = yaml_next(v)) {
        const char *const *k = known;
        while (*k != NULL && !str_equal(str_of(*k), yaml_key(v)))
            k++;
        if (*k == NULL) {
            char quoted[QUOTE_SIZE];
            return err_set(e, ERR_PROTOCOL, "%s:%zu: unknown key \"%s\"", name, yaml_line(v),
                           quote_str(quoted, yaml_key(v)));
        }
    }
    return 0;
}

static int check_user(const struct yaml *user, const char *name, struct err *e)
{
    static const char *const keys[] = {"userId", "upload", "download", "admin", NULL};
    const struct yaml *id;
    bool ignored;

    if (yaml_type(user) != YAML_MAPPING)
        return set_settings_error(e, name, user, "want userId, upload, download, admin");
    id = yaml_get(user, "userId");
    if (id == NULL || yaml_type(id) != YAML_SCALAR || yaml_text(id).len == 0)
        return set_settings_error(e, name, user, "userId is missing");
    if (check_settings_keys(user, keys, name, e) != 0)
        return -1;
    for (size_t i = 1; keys[i] != NULL; i++)
        if (read_bool(user, keys[i], &ignored, name, e) != 0)
            return -1;
    return 0;
}

static int check_document(struct authorization *a, const struct yaml *doc, const char *name,
                          struct err *e)
{
    static const char *const keys[] = {"allowPublicUpload", "allowPublicDownload",
                                       "authorizedUsers", NULL};
    const struct yaml *users;

    if (yaml_type(doc) != YAML_MAPPING)
        return set_settings_error(e, name, doc, "want a mapping");
    if (check_settings_keys(doc, keys, name, e) != 0)
        return -1;
    if (yaml_get(doc, "allowPublicUpload") == NULL)
        return set_settings_error(e, name, NULL, "allowPublicUpload is missing");
    users = yaml_get(doc, "authorizedUsers");
    if (users == NULL || yaml_type(users) != YAML_SEQUENCE)
        return set_settings_error(e, name, users, "authorizedUsers: want a list");
    if (read_bool(doc, "allowPublicUpload", &a->allow_public_upload, name, e) != 0 ||
        read_bool(doc, "allowPublicDownload", &a->allow_public_download, name, e) != 0)
        return -1;
    for (const struct yaml *user = yaml_first(users); user != NULL; user = yaml_next(user))
        if (check_user(user, name, e) != 0)
            return -1;
    return 0;
}

int authorization_parse(struct authorization *a, struct str text, const char *name, struct err *e)
{
    struct authorization parsed = authorization_none();

    parsed.file = calloc(1, sizeof *parsed.file);
    if (parsed.file == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    parsed.file->uses = 1;
    parsed.file->doc = yaml_parse(text, name, e);
    if (parsed.file->doc == NULL || check_document(&parsed, parsed.file->doc, name, e) != 0) {
        authorization_deinit(&parsed);
        return -1;
    }
    parsed.file->settings = parsed;
    *a = parsed;
    return 0;
}

/* Takes what the same text meant the last time. */
static bool take_kept(struct authorization *a, struct str text)
{
    if (kept == NULL || !str_equal(buf_str(&kept->text), text))
        return false;
    kept->uses++;
    *a = kept->settings;
    return true;
}

static void keep_file(struct authorization_file *file, struct str text)
{
    if (text.len > MAX_KEPT_BYTES)
        return;
    buf_put(&file->text, text);
    if (file->text.failed)
        return;
    release_settings_file(kept);
    kept = file;
    kept->uses++;
}

static const struct yaml *find_authorized_user(const struct authorization *a, const char *user)
{
    const struct yaml *u = a->file == NULL ? NULL : yaml_get(a->file->doc, "authorizedUsers");

    for (u = u == NULL ? NULL : yaml_first(u); u != NULL; u = yaml_next(u))
        if (str_equal(yaml_text(yaml_get(u, "userId")), str_of(user)))
            return u;
    return NULL;
}

/* The deployed gateway's two refusals: not listed, or listed without this permission. */
static int check_permission(const struct authorization *a, const char *user, const char *key,
                            const char *what, struct err *e)
{
    bool is_allowed = false;
    const struct yaml *listed, *permission;

    if (user == NULL)
        return err_set(e, ERR_REFUSED, "No verified client ID or user ID");
    listed = find_authorized_user(a, user);
    if (listed == NULL)
        return err_set(e, ERR_REFUSED, "User %s is not authorized.", user);
    permission = yaml_get(listed, key);
    if (permission == NULL || !yaml_bool(permission, &is_allowed) || !is_allowed)
        return err_set(e, ERR_REFUSED, "User %s not authorized to %s.", user, what);
    return 0;
}

int authorization_may_upload(const struct authorization *a, const char *user, struct err *e)
{
    if (a->allow_public_upload && user != NULL)
        return 0;
    return check_permission(a, user, "upload", "upload files", e);
}

int authorization_may_download(const struct authorization *a, const char *user, struct err *e)
{
    if (a->allow_public_download)
        return 0;
    return check_permission(a, user, "download", "download files", e);
}

int authorization_may_administer(const struct authorization *a, const char *user, struct err *e)
{
    return check_permission(a, user, "admin", "administer this zone", e);
}

int authorization_ask(struct bucket *bucket, const struct zone *zone,
                      struct zone_reading *reading, struct err *e)
{
    return zone_files_ask_text(bucket, zone, SETTINGS, AUTHORIZATION_MAX_BYTES, reading, e);
}

int authorization_take(struct zone_reading *reading, struct authorization *a, struct err *e)
{
    struct str text;

    if (zone_files_take_text(reading, &text, e) == 0) {
        int result = 0;
        if (!take_kept(a, text)) {
            result = authorization_parse(a, text, SETTINGS, e);
            if (result == 0)
                keep_file(a->file, text);
        }
        buf_free(&reading->file.text);
        return result;
    }
    if (e->code != ERR_NOT_FOUND)
        return -1;
    *a = authorization_none();
    return 0;
}

void authorization_forget(struct authorization_memory *memory)
{
    authorization_deinit(&memory->settings);
    buf_free(&memory->text);
    memory->is_set = false;
}

int authorization_recall(struct zone_reading *reading, struct authorization_memory *memory,
                         const struct authorization **a, struct err *e)
{
    struct str text = STR("");

    if (zone_files_take_text(reading, &text, e) != 0) {
        if (e->code != ERR_NOT_FOUND)
            return -1;
        authorization_forget(memory);
    } else if (!memory->is_set || !str_equal(text, buf_str(&memory->text))) {
        authorization_forget(memory);
        buf_put(&memory->text, text);
        if (buf_check(&memory->text, e) != 0 ||
            authorization_parse(&memory->settings, text, SETTINGS, e) != 0) {
            authorization_forget(memory);
            return -1;
        }
        memory->is_set = true;
    }
    *a = &memory->settings;
    return 0;
}

int authorization_open_zone(struct bucket *bucket, const struct zone *zone,
                            struct zone_reading *reading, struct err *e)
{
    const struct str text =
        STR("allowPublicUpload: true\nallowPublicDownload: true\nauthorizedUsers: []\n");

    return zone_files_write_new(bucket, zone, SETTINGS, text, reading, e);
}
