#include "daemon/config.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/text_file.h"
#include "base/yaml.h"
#include "proto/kachery_uri.h"
#include "proto/url.h"

static const char *const key_names[CONFIG_KEYS] = {"resourceName", "kacheryZone",
                                                   "maxConcurrentUploads", "proxyUrl",
                                                   "proxySecret", "caFile",
                                                   "maxConcurrentStreams", "workerNice",
                                                   "workerProcessorSeconds", "maxUploadRate"};

#define RECORDS_OF "recordsOf"
#define SCHEDULE   "maxUploadRateSchedule"

enum { MAX_CONFIG_LINKS = 40 };

const char *config_key_name(enum config_key key)
{
    return key_names[key];
}

static void wipe_value(char **value)
{
    if (*value != NULL)
        explicit_bzero(*value, strlen(*value));
    free(*value);
    *value = NULL;
}

void config_deinit(struct config *c)
{
    if (c == NULL)
        return;
    for (int key = 0; key < CONFIG_KEYS; key++)
        wipe_value(&c->values[key]);
    for (size_t i = 0; i < c->user_count; i++)
        free(c->users[i]);
    free(c->users);
    free(c->user_ids);
    *c = (struct config){0};
}

/* Control characters would break the file's lines, and proxies die on text that is not UTF-8. */
static bool is_printable(struct str value)
{
    if (value.len == 0 || value.len > CONFIG_MAX_TEXT_BYTES || !str_is_utf8(value))
        return false;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
            return false;
    return true;
}

static int check_name_value(enum config_key key, struct str value, struct err *e)
{
    char quoted[QUOTE_SIZE];

    if (kachery_uri_is_name(value))
        return 0;
    if (setting_check_text(key_names[key], value, e) != 0)
        return -1;
    return err_set(e, ERR_USAGE, "%s \"%s\": want 1 to 200 of A-Z a-z 0-9 . _ ~ -", key_names[key],
                   quote_str(quoted, value));
}

/* The keys whose values are whole numbers. */
static const struct number_key {
    enum config_key key;
    int min, max, usual;
    size_t at; /* in struct config */
} number_keys[] = {
    {CONFIG_UPLOADS, 1, CONFIG_MAX_UPLOADS, CONFIG_DEFAULT_UPLOADS,
     offsetof(struct config, max_uploads)},
    {CONFIG_STREAMS, 1, CONFIG_MAX_STREAMS, CONFIG_DEFAULT_STREAMS,
     offsetof(struct config, max_streams)},
    {CONFIG_NICE, 0, CONFIG_MAX_NICE, 0, offsetof(struct config, nice)},
    {CONFIG_PROCESSOR, 1, CONFIG_MAX_PROCESSOR_S, CONFIG_DEFAULT_PROCESSOR_S,
     offsetof(struct config, processor_s)},
};

enum { NUMBER_KEYS = sizeof number_keys / sizeof number_keys[0] };

static const struct number_key *find_number_key(enum config_key key)
{
    for (size_t i = 0; i < NUMBER_KEYS; i++)
        if (number_keys[i].key == key)
            return &number_keys[i];
    return NULL;
}

bool config_is_number(enum config_key key)
{
    return find_number_key(key) != NULL;
}

static void set_config_number(struct config *c, const struct number_key *key, int64_t number)
{
    memcpy((char *)c + key->at, &number, sizeof number);
}

static int check_number_value(const struct number_key *key, struct str value, int64_t *number,
                              struct err *e)
{
    char quoted[QUOTE_SIZE];
    uint64_t n;

    if (!str_to_uint(value, (uint64_t)key->max, &n) || n < (uint64_t)key->min)
        return err_set(e, ERR_USAGE, "%s \"%s\": want a whole number %d-%d", key_names[key->key],
                       quote_str(quoted, value), key->min, key->max);
    *number = (int64_t)n;
    return 0;
}

static int check_rate_value(struct str value, int64_t *bytes, struct err *e)
{
    char quoted[QUOTE_SIZE];

    if (rate_plan_parse_rate(value, bytes, e) == 0)
        return 0;
    return err_wrap(e, "%s \"%s\"", key_names[CONFIG_RATE], quote_str(quoted, value));
}

static int check_proxy_value(struct str value, struct err *e)
{
    struct url url;

    if (setting_check_text(key_names[CONFIG_PROXY], value, e) != 0)
        return -1;
    if (url_parse(&url, value, e) != 0)
        return err_wrap(e, "%s", key_names[CONFIG_PROXY]);
    if (url.has_query || url.userinfo.len > 0)
        return err_set(e, ERR_USAGE, "%s: want no user name and no '?' in it",
                       key_names[CONFIG_PROXY]);
    return 0;
}

int config_set(struct config *c, enum config_key key, struct str value, struct err *e)
{
    const struct number_key *number_key = find_number_key(key);
    int64_t number = 0;
    int bad = 0;

    if (key == CONFIG_NAME || key == CONFIG_ZONE)
        bad = check_name_value(key, value, e);
    else if (number_key != NULL)
        bad = check_number_value(number_key, value, &number, e);
    else if (key == CONFIG_RATE)
        bad = check_rate_value(value, &number, e);
    else if (key == CONFIG_PROXY)
        bad = check_proxy_value(value, e);
    else if (!is_printable(value))
        bad = err_set(e, ERR_USAGE, "%s: want 1 to %d characters, no control characters",
                      key_names[key], CONFIG_MAX_TEXT_BYTES);
    else if (key == CONFIG_CA_FILE)
        bad = setting_check_path(key_names[key], value, e);
    else if (key == CONFIG_SECRET && text_file_check_secret(value, e) != 0)
        bad = err_wrap(e, "%s", key_names[key]);
    if (bad != 0)
        return -1;
    while (key == CONFIG_PROXY && value.p[value.len - 1] == '/')
        value.len--;
    char *copy = strndup(value.p, value.len);
    if (copy == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    wipe_value(&c->values[key]);
    c->values[key] = copy;
    if (number_key != NULL)
        set_config_number(c, number_key, number);
    else if (key == CONFIG_RATE)
        c->rates.bytes = number;
    return 0;
}

static bool is_null(const struct yaml *node)
{
    struct str text = yaml_text(node);

    return yaml_is_plain(node) && (text.len == 0 || str_equal(text, STR("~")) ||
                                   str_equal_nocase(text, STR("null")));
}

static int read_config_key(struct config *c, enum config_key key, const struct yaml *node,
                           const char *name, struct err *e)
{
    if (node == NULL || (yaml_type(node) == YAML_SCALAR && is_null(node)))
        return 0;
    if (yaml_type(node) != YAML_SCALAR)
        return err_set(e, ERR_USAGE, "%s:%zu: %s: want one value", name, yaml_line(node),
                       key_names[key]);
    if (config_set(c, key, yaml_text(node), e) == 0)
        return 0;
    return err_wrap(e, "%s:%zu", name, yaml_line(node));
}

static int add_user(struct config *c, const struct yaml *node, const char *name, struct err *e)
{
    char **users;

    if (yaml_type(node) != YAML_SCALAR || is_null(node) || !is_printable(yaml_text(node)) ||
        c->user_count == CONFIG_MAX_USERS)
        return err_set(e, ERR_USAGE, "%s:%zu: " RECORDS_OF ": want names or numbers of users, "
                       "at most %d, such as [alice, 1002]", name, yaml_line(node),
                       CONFIG_MAX_USERS);
    users = realloc(c->users, (c->user_count + 1) * sizeof *users);
    if (users == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    c->users = users;
    c->users[c->user_count] = strndup(yaml_text(node).p, yaml_text(node).len);
    if (c->users[c->user_count] == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    c->user_count++;
    return 0;
}

/* recordsOf: a list, or one user. */
static int read_users(struct config *c, const struct yaml *node, const char *name, struct err *e)
{
    if (node == NULL || (yaml_type(node) == YAML_SCALAR && is_null(node)))
        return 0;
    if (yaml_type(node) == YAML_SCALAR)
        return add_user(c, node, name, e);
    if (yaml_type(node) != YAML_SEQUENCE)
        return err_set(e, ERR_USAGE, "%s:%zu: " RECORDS_OF ": want a list of users", name,
                       yaml_line(node));
    for (const struct yaml *user = yaml_first(node); user != NULL; user = yaml_next(user))
        if (add_user(c, user, name, e) != 0)
            return -1;
    return 0;
}

static int add_schedule_rule(struct config *c, const struct yaml *node, const char *name,
                             struct err *e)
{
    char quoted[QUOTE_SIZE];

    if (yaml_type(node) != YAML_SCALAR)
        return err_set(e, ERR_USAGE, "%s:%zu: " SCHEDULE ": want rules such as "
                       "\"Mon-Fri 08:00-18:00 10MB\"", name, yaml_line(node));
    if (rate_plan_add(&c->rates, yaml_text(node), e) == 0)
        return 0;
    return err_wrap(e, "%s:%zu: " SCHEDULE " \"%s\"", name, yaml_line(node),
                    quote_str(quoted, yaml_text(node)));
}

/* maxUploadRateSchedule: a list, or one rule. */
static int read_schedule(struct config *c, const struct yaml *node, const char *name,
                         struct err *e)
{
    if (node == NULL || (yaml_type(node) == YAML_SCALAR && is_null(node)))
        return 0;
    if (yaml_type(node) != YAML_SEQUENCE)
        return add_schedule_rule(c, node, name, e);
    for (const struct yaml *rule = yaml_first(node); rule != NULL; rule = yaml_next(rule))
        if (add_schedule_rule(c, rule, name, e) != 0)
            return -1;
    return 0;
}

int config_parse(struct config *c, struct str text, const char *name, struct err *e)
{
    struct config read = {0};
    struct yaml *root = yaml_parse(text, name, e);
    int result = -1;

    if (root == NULL)
        return -1;
    if (yaml_type(root) != YAML_MAPPING) {
        err_set(e, ERR_USAGE, "%s:%zu: want lines such as \"resourceName: NAME\"", name,
                yaml_line(root));
        goto out;
    }
    for (int key = 0; key < CONFIG_KEYS; key++)
        if (read_config_key(&read, (enum config_key)key, yaml_get(root, key_names[key]), name, e) !=
            0)
            goto out;
    if (read_users(&read, yaml_get(root, RECORDS_OF), name, e) != 0 ||
        read_schedule(&read, yaml_get(root, SCHEDULE), name, e) != 0)
        goto out;
    config_deinit(c);
    *c = read;
    read = (struct config){0};
    result = 0;
out:
    config_deinit(&read);
    yaml_free(root);
    return result;
}

void config_report_typos(struct str text, const char *name,
                         void (*report)(void *ctx, const struct err *warning), void *ctx)
{
    const char *names[CONFIG_KEYS + 2];
    struct yaml *root = yaml_parse(text, name, ERR_IGNORED);
    char shown[QUOTE_SIZE];
    struct err warning;

    for (int key = 0; key < CONFIG_KEYS; key++)
        names[key] = key_names[key];
    names[CONFIG_KEYS] = RECORDS_OF;
    names[CONFIG_KEYS + 1] = SCHEDULE;
    bool is_mapping = root != NULL && yaml_type(root) == YAML_MAPPING;
    for (const struct yaml *one = is_mapping ? yaml_first(root) : NULL; one != NULL;
         one = yaml_next(one)) {
        const char *meant = setting_find_meant(yaml_key(one), names, CONFIG_KEYS + 2);
        if (meant == NULL)
            continue;
        err_set(&warning, ERR_NONE, "%s:%zu: nobody reads the key %s: is %s meant?", name,
                yaml_line(one), quote_str(shown, yaml_key(one)), meant);
        report(ctx, &warning);
    }
    yaml_free(root);
}

int config_complete(struct config *c, const char *name, struct err *e)
{
    if (c->values[CONFIG_ZONE] == NULL &&
        config_set(c, CONFIG_ZONE, STR(CONFIG_DEFAULT_ZONE), e) != 0)
        return -1;
    for (size_t i = 0; i < NUMBER_KEYS; i++)
        if (c->values[number_keys[i].key] == NULL)
            set_config_number(c, &number_keys[i], number_keys[i].usual);
    for (int key = 0; key < CONFIG_KEYS; key++)
        if (c->values[key] == NULL && find_number_key((enum config_key)key) == NULL &&
            key != CONFIG_CA_FILE && key != CONFIG_RATE)
            return err_set(e, ERR_FAILED, "%s: %s is missing: run `kachery-resource init`", name,
                           key_names[key]);
    return 0;
}

int config_nice(const struct config *c, int usual)
{
    return c->values[CONFIG_NICE] == NULL ? usual : (int)c->nice;
}

int config_load(struct config *c, const char *path, struct err *e)
{
    struct buf text = {0};
    int result = text_file_read(path, YAML_MAX_BYTES, &text, e);

    if (result == 0)
        result = text_file_check_owner(path, e);
    if (result == 0)
        result = config_parse(c, buf_str(&text), path, e);
    buf_wipe(&text);
    return result;
}

/* Refuses a config that others can write: they could make their own records count. */
static int check_writers(const char *path, struct err *e)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot stat %s", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(e, ERR_FAILED,
                       "%s: " RECORDS_OF " does not count in a file of user %lu: want one that "
                       "belongs to the user who runs `share`, or to root",
                       path, (unsigned long)st.st_uid);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(e, ERR_FAILED,
                       "%s: " RECORDS_OF " does not count in a file that others can write "
                       "(mode %04o): run `chmod go-w %s`",
                       path, (unsigned)(st.st_mode & 07777), path);
    return 0;
}

static int find_user_id(const char *name, uint32_t *id, struct err *e)
{
    uint64_t number;

    if (str_to_uint(str_of(name), UINT32_MAX - 1, &number)) {
        *id = (uint32_t)number;
        return 0;
    }
    const struct passwd *user = getpwnam(name);
    if (user == NULL)
        return err_set(e, ERR_USAGE,
                       RECORDS_OF " \"%s\": this host knows no user of that name (users who are "
                       "not in /etc/passwd are given by number: `id -u %s`)", name, name);
    *id = (uint32_t)user->pw_uid;
    return 0;
}

int config_resolve_users(struct config *c, const char *path, struct err *e)
{
    if (c->user_count == 0)
        return 0;
    if (check_writers(path, e) != 0)
        return -1;
    free(c->user_ids);
    c->user_ids = calloc(c->user_count, sizeof *c->user_ids);
    if (c->user_ids == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < c->user_count; i++)
        if (find_user_id(c->users[i], &c->user_ids[i], e) != 0)
            return err_wrap(e, "%s", path);
    return 0;
}

struct vouchers config_vouchers(const struct config *c)
{
    return (struct vouchers){c->user_ids, c->user_ids == NULL ? 0 : c->user_count};
}

int config_check_zone(const struct config *c, struct err *e)
{
    const char *zone;

    if (setting_text("KACHERY_ZONE", &zone, e) != 0)
        return -1;
    if (zone == NULL || strcmp(zone, c->values[CONFIG_ZONE]) == 0)
        return 0;
    return err_set(e, ERR_FAILED,
                   "zone mismatch: KACHERY_ZONE is \"%s\", kacheryZone in the config is \"%s\"",
                   zone, c->values[CONFIG_ZONE]);
}

/* Puts what the symbolic link at `path` leads to in its place. Returns false at the end of the
 * links: at a file, or at nothing. */
static bool follow_config_link(struct buf *path)
{
    char target[PATH_MAX];
    const char *link = buf_path(path, ERR_IGNORED);
    ssize_t n = link == NULL ? -1 : readlink(link, target, sizeof target - 1);
    struct buf next = {0};

    if (n <= 0)
        return false;
    target[n] = '\0';
    if (target[0] == '/')
        buf_puts(&next, target);
    else
        config_put_sibling(link, target, &next);
    buf_free(path);
    *path = next;
    return true;
}

int config_put_real_path(const char *path, struct buf *out, struct err *e)
{
    struct buf real = {0};
    int result = fs_absolute_path(path, &real, e);

    for (int links = 0; result == 0 && follow_config_link(&real); links++)
        if (links >= MAX_CONFIG_LINKS)
            result = err_set(e, ERR_FAILED, "%s: too many symbolic links", path);
    if (result == 0 && buf_path(&real, e) == NULL)
        result = -1;
    if (result == 0)
        buf_put_buf(out, &real);
    buf_free(&real);
    return result;
}

void config_put_sibling(const char *path, const char *sibling, struct buf *out)
{
    const char *slash = strrchr(path, '/');

    if (slash != NULL)
        buf_append(out, path, (size_t)(slash + 1 - path));
    buf_puts(out, sibling);
}

void config_put_ca_file(const struct config *c, const char *path, struct buf *out)
{
    const char *file = c->values[CONFIG_CA_FILE];

    if (file == NULL)
        return;
    if (file[0] == '/')
        buf_puts(out, file);
    else
        config_put_sibling(path, file, out);
}
