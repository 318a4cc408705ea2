#include "bucket/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/leftover.h"
#include "base/log.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/random.h"
#include "bucket/bucket_file.h"
#include "proto/kachery_uri.h"
#include "proto/url.h"

enum { MAX_HOST_BYTES = 300 };

/* ---- opening ---- */

static int read_key(struct site *site, const char *path, struct err *e)
{
    struct buf key = {0};
    int result = fs_read_file(path, SIGNED_URL_KEY, &key, e);

    if (result == 0 && key.len != SIGNED_URL_KEY)
        result = err_set(e, ERR_FAILED, "%s: want %d bytes; remove it to have a new one made", path,
                         SIGNED_URL_KEY);
    if (result == 0)
        memcpy(site->url_key, key.data, SIGNED_URL_KEY);
    buf_wipe(&key);
    return result;
}

static int make_key(struct site *site, const char *path, struct err *e)
{
    log_line(LOG_INFO, "new data directory %s", site->dir);
    random_bytes(site->url_key, SIGNED_URL_KEY);
    return fs_write_file(path, (struct str){(char *)site->url_key, SIGNED_URL_KEY},
                         FS_DURABLE | FS_PRIVATE, e);
}

/* Two that start at once on a new directory are to have the same. */
static int open_key(struct site *site, struct err *e)
{
    struct buf path = {0};
    int lock, result;

    buf_printf(&path, "%s/.hub/url-key", site->dir);
    const char *name = buf_path(&path, e);
    leftover_clean(name);
    result = read_key(site, name, e);
    if (result != 0 && e->code == ERR_NOT_FOUND && site_lock(site, &lock, e) == 0) {
        result = read_key(site, name, e);
        if (result != 0 && e->code == ERR_NOT_FOUND)
            result = make_key(site, name, e);
        close(lock);
    }
    buf_free(&path);
    return result;
}

/* It may have been there, or a link to it: made by us, by root, or by whose data it is. */
static int check_private_dir(const struct site *site, const char *path, struct err *e)
{
    struct stat link, st, data;

    if (lstat(path, &link) != 0 || stat(path, &st) != 0 || stat(site->dir, &data) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_FAILED, "%s is no directory", path);
    const uid_t owners[] = {link.st_uid, st.st_uid};
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++)
        if (owners[i] != geteuid() && owners[i] != 0 && owners[i] != data.st_uid)
            return err_set(e, ERR_FAILED,
                           "%s belongs to user %lu, who could read and change what the server "
                           "keeps there: remove it, or use another --data",
                           path, (unsigned long)owners[i]);
    return 0;
}

/* Private: what is in there is nobody's object. */
static int make_private_dir(const struct site *site, const char *name, struct err *e)
{
    struct buf path = {0};
    int result = 0;

    buf_printf(&path, "%s/%s", site->dir, name);
    const char *made = buf_path(&path, e);
    if (made == NULL)
        result = -1;
    else if (mkdir(made, 0700) != 0 && errno != EEXIST)
        result = err_errno(e, ERR_FAILED, errno, "cannot make %s", made);
    else
        result = check_private_dir(site, made, e);
    buf_free(&path);
    return result;
}

/* Objects are named by their hashes, which are the keys to them. */
static int make_data_dir(const char *dir, struct err *e)
{
    if (place_check(dir, e) != 0)
        return -1;
    return newfile_make_root(dir, !newfile_is_in_group_folder(dir), e);
}

static int make_state_dirs(const struct site *site, struct err *e)
{
    struct buf path = {0};

    if (make_private_dir(site, SITE_ASIDE, e) != 0 ||
        make_private_dir(site, SITE_CHECKED, e) != 0 ||
        make_private_dir(site, SITE_DAMAGED, e) != 0)
        return -1;
    buf_printf(&path, "%s/" SITE_ASIDE "/", site->dir);
    leftover_clean(buf_path(&path, NULL));
    buf_clear(&path);
    buf_printf(&path, "%s/" SITE_DAMAGED "/", site->dir);
    leftover_clean(buf_path(&path, NULL));
    buf_free(&path);
    return 0;
}

static char *without_slash(const char *url)
{
    char *copy = url == NULL ? NULL : strdup(url);

    for (size_t n = copy == NULL ? 0 : strlen(copy); n > 0 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    return copy;
}

static int check_options(const struct site_options *options, struct err *e)
{
    struct url url;

    if (options->zone != NULL && !kachery_uri_is_name(str_of(options->zone)))
        return err_set(e, ERR_USAGE, "--zone \"%s\": want letters, digits, . _ ~ -", options->zone);
    if (options->public_url != NULL && url_parse(&url, str_of(options->public_url), e) != 0)
        return err_wrap(e, "--public-url");
    if (options->public_url != NULL && (url_is_websocket(&url) || url.has_query))
        return err_set(e, ERR_USAGE, "--public-url \"%s\": want http:// or https:// and no query",
                       options->public_url);
    return 0;
}

int site_open(struct site *site, const struct site_options *options, struct err *e)
{
    struct buf dir = {0};

    *site = (struct site){.is_open = options->is_open};
    if (check_options(options, e) != 0)
        return -1;
    if (fs_absolute_path(options->data_dir, &dir, e) != 0) {
        buf_free(&dir);
        return -1;
    }
    site->dir = buf_take(&dir);
    site->zone = strdup(options->zone == NULL ? "default" : options->zone);
    site->public_url = without_slash(options->public_url);
    if (site->dir == NULL || site->zone == NULL ||
        (site->public_url == NULL && options->public_url != NULL)) {
        err_set(e, ERR_FAILED, "out of memory");
    } else if (make_data_dir(site->dir, e) == 0 && make_private_dir(site, ".hub", e) == 0 &&
               make_private_dir(site, ".hub/uploads", e) == 0 && make_state_dirs(site, e) == 0 &&
               open_key(site, e) == 0) {
        bucket_file_clean(site->dir);
        return 0;
    }
    site_close(site);
    return -1;
}

void site_close(struct site *site)
{
    free(site->dir);
    free(site->zone);
    free(site->public_url);
    free(site->listen_url);
    explicit_bzero(site, sizeof *site);
}

int site_check(const struct site *site, struct err *e)
{
    struct buf path = {0};
    int result = 0;

    buf_printf(&path, "%s/.hub", site->dir);
    const char *hub = buf_path(&path, e);
    if (hub == NULL)
        result = -1;
    else if (access(hub, F_OK) != 0)
        result = err_errno(e, ERR_FAILED, errno, "the data directory is not as it was: .hub");
    buf_free(&path);
    return result;
}

/* ---- zones, keys, paths ---- */

struct site_zone site_own_zone(const struct site *site)
{
    return (struct site_zone){.name = str_of(site->zone), .directory = STR("")};
}

void site_put_path(const struct site *site, const struct site_zone *zone, struct str name,
                   struct buf *out)
{
    buf_puts(out, site->dir);
    if (zone->directory.len > 0) {
        buf_putc(out, '/');
        buf_put(out, zone->directory);
    }
    buf_putc(out, '/');
    buf_put(out, name);
}

void site_put_object_key(const struct site_zone *zone, const char *hash, struct buf *out)
{
    kachery_uri_put_object_key(out, zone->directory, hash);
}

void site_put_object_path(const struct site *site, struct str object_key, struct buf *out)
{
    buf_puts(out, site->dir);
    buf_putc(out, '/');
    buf_put(out, object_key);
}

/* Nothing outside of `dir`, nothing of .hub. */
bool site_is_directory(struct str directory)
{
    for (size_t i = 0; i < directory.len; i++)
        if ((i == 0 || directory.p[i - 1] == '/') &&
            (directory.p[i] == '/' || directory.p[i] == '.'))
            return false;
    return directory.len == 0 || directory.p[directory.len - 1] != '/';
}

bool site_is_object_key(struct str key, struct str *hash)
{
    enum { KEY_SIZE = sizeof "sha1/ab/cd/ef/" + SHA1_HEX };
    static const size_t size = KEY_SIZE - 1;
    char expected[KEY_SIZE];
    struct str directory;

    if (key.len < size)
        return false;
    *hash = str_slice(key, key.len - SHA1_HEX, key.len);
    if (!hex_is_lower(*hash, SHA1_HEX))
        return false;
    snprintf(expected, sizeof expected, "sha1/%.2s/%.2s/%.2s/%.*s", hash->p, hash->p + 2,
             hash->p + 4, SHA1_HEX, hash->p);
    directory = str_slice(key, 0, key.len - size);
    return str_ends_with(key, str_of(expected)) &&
           (directory.len == 0 ||
            (str_ends_with(directory, STR("/")) && directory.len > 1 &&
             site_is_directory(str_slice(directory, 0, directory.len - 1))));
}

/* A Host that can stand in a URL as it is: the signed part of a URL does not cover it, and only who
 * sent it is told. */
static bool is_host(struct str host)
{
    static const char allowed[] = "-.:[]_~";

    for (size_t i = 0; i < host.len; i++) {
        char c = host.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(allowed, c) != NULL)))
            return false;
    }
    return host.len > 0 && host.len <= MAX_HOST_BYTES;
}

/* What a front says of its own connection to the client is believed as Host is: the answer only
 * goes to who said it. */
static const char *scheme_of(const struct http_head *head)
{
    const struct str *proto = http_head_get(head, "X-Forwarded-Proto");

    return proto != NULL && str_equal_nocase(*proto, STR("https")) ? "https://" : "http://";
}

bool site_knows_scheme(const struct site *site, const struct http_head *head)
{
    return site->public_url != NULL || http_head_get(head, "X-Forwarded-Proto") != NULL;
}

void site_put_base_url(const struct site *site, const struct http_head *head, struct buf *out)
{
    const struct str *host = http_head_get(head, "Host");

    if (site->public_url != NULL) {
        buf_puts(out, site->public_url);
    } else if (host != NULL && is_host(*host)) {
        buf_puts(out, scheme_of(head));
        buf_put(out, *host);
    } else {
        buf_puts(out, site->listen_url);
    }
}

void site_put_public_error(const struct site *site, const struct err *e, struct buf *out)
{
    size_t len = strlen(site->dir);
    const char *text = e->msg, *found;

    while ((found = strstr(text, site->dir)) != NULL) {
        buf_append(out, text, (size_t)(found - text));
        text = found + len + (found[len] == '/');
        if (found[len] != '/')
            buf_puts(out, "the data directory");
    }
    buf_puts(out, text);
}

int site_lock(const struct site *site, int *fd, struct err *e)
{
    struct buf path = {0};
    int result = 0;

    buf_printf(&path, "%s/.hub/lock", site->dir);
    const char *name = buf_path(&path, e);
    *fd = name == NULL ? -1 : open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (name == NULL) {
        result = -1;
    } else if (*fd < 0) {
        result = err_errno(e, ERR_FAILED, errno, "cannot open %s", name);
    } else {
        while (flock(*fd, LOCK_EX) != 0 && errno == EINTR)
            continue;
    }
    buf_free(&path);
    return result;
}
