#include "x509/trust.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/setting.h"
#include "x509/cert_name.h"
#include "x509/der.h"

static const char *const usual_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Alpine */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Red Hat */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* older Red Hat */
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/var/lib/ca-certificates/ca-bundle.pem",            /* newer SUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine */
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",  /* Arch */
};

/* Object identifiers' contents, as cert.c has them for certificates. */
#define OID_ANY_USAGE   STR("\x55\x1d\x25\x00")
#define OID_SERVER_AUTH STR("\x2b\x06\x01\x05\x05\x07\x03\x01")

struct root {
    size_t offset, len; /* in `der` */
    struct str subject; /* set when all are read */
    bool is_rejected;   /* by the trust settings beside it */
};

struct trust {
    struct buf der; /* one certificate after the other */
    struct root *roots;
    size_t count, cap;
    struct str *rejected; /* whole certificates, sorted */
    size_t rejected_count;
    struct buf origin; /* the files and folders that were read, as they were named */
};

void trust_free(struct trust *t)
{
    if (t == NULL)
        return;
    buf_free(&t->der);
    free(t->roots);
    free(t->rejected);
    buf_free(&t->origin);
    free(t);
}

static int add_root(struct trust *t, size_t offset, bool is_rejected, struct err *e)
{
    if (t->count == TRUST_MAX_ROOTS)
        return err_set(e, ERR_TOO_LARGE, "more than %d certificates", TRUST_MAX_ROOTS);
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 256 : 2 * t->cap;
        struct root *roots = realloc(t->roots, cap * sizeof *roots);
        if (roots == NULL)
            return err_set(e, ERR_FAILED, "out of memory");
        t->roots = roots;
        t->cap = cap;
    }
    t->roots[t->count++] =
        (struct root){.offset = offset, .len = t->der.len - offset, .is_rejected = is_rejected};
    return 0;
}

/* Does a list of object identifiers name TLS servers? False when it is malformed, too. */
static bool names_servers(struct str list, bool *is_malformed)
{
    struct str oid;

    while (list.len > 0) {
        if (!der_take(&list, DER_OID, &oid)) {
            *is_malformed = true;
            return false;
        }
        if (str_equal(oid, OID_SERVER_AUTH) || str_equal(oid, OID_ANY_USAGE))
            return true;
    }
    return false;
}

/* OpenSSL's X509_CERT_AUX: SEQUENCE { trust SEQUENCE OF OID OPTIONAL, reject [0] IMPLICIT SEQUENCE
 * OF OID OPTIONAL, … }. True when it forbids the certificate for TLS servers, or is malformed. */
static bool is_rejected_by(struct str settings)
{
    struct str content;
    struct der_item item;
    bool is_malformed = false, is_rejected = false;

    if (settings.len == 0)
        return false;
    if (!der_take(&settings, DER_SEQUENCE, &content) || settings.len > 0)
        return true;
    while (content.len > 0) {
        if (!der_next(&content, &item))
            return true;
        if (item.tag == DER_SEQUENCE)
            is_rejected |= !names_servers(item.value, &is_malformed);
        else if (item.tag == DER_CONTEXT_CONSTRUCTED)
            is_rejected |= names_servers(item.value, &is_malformed);
    }
    return is_rejected || is_malformed;
}

/* Appends the text between the lines of a PEM block, without white space. `has_settings`: behind
 * the certificate stands what it may be used for. */
static int add_block(struct trust *t, struct str text, bool has_settings, struct buf *scratch,
                     struct err *e)
{
    struct str certificate, rest;
    size_t offset = t->der.len;

    buf_clear(scratch);
    while (text.len > 0) {
        size_t n = 0;
        while (n < text.len && text.p[n] > ' ')
            n++;
        buf_append(scratch, text.p, n);
        text = str_slice(text, n + 1, text.len);
    }
    if (!base64_decode(&t->der, buf_str(scratch))) {
        t->der.len = offset;
        return buf_check(&t->der, e);
    }
    rest = str_slice(buf_str(&t->der), offset, t->der.len);
    if (!der_take_whole(&rest, DER_SEQUENCE, &certificate)) {
        t->der.len = offset;
        return 0;
    }
    bool is_rejected = has_settings && is_rejected_by(rest);
    t->der.len = offset + certificate.len;
    return add_root(t, offset, is_rejected, e);
}

static size_t find_text(struct str in, struct str part)
{
    const char *hit = in.len == 0 ? NULL : memmem(in.p, in.len, part.p, part.len);

    return hit == NULL ? in.len : (size_t)(hit - in.p);
}

/* Adds every certificate of a PEM text (RFC 7468); what is between the blocks is comment. */
static int add_pem(struct trust *t, struct str pem, struct err *e)
{
    static const struct str begin = {"-----BEGIN ", 11}, end = {"-----END ", 9};
    static const struct str line = {"-----", 5};
    struct buf scratch = {0};
    int result = 0;

    while (result == 0) {
        pem = str_slice(pem, find_text(pem, begin), pem.len);
        if (pem.len == 0)
            break;
        struct str label = str_slice(pem, begin.len, find_text(pem, STR("\n")));
        pem = str_slice(pem, begin.len + label.len, pem.len);
        /* A block without an end is passed over: another may begin before the next end. */
        size_t body = find_text(pem, line);
        bool is_whole = str_starts_with(str_slice(pem, body, pem.len), end);
        bool has_settings = str_starts_with(label, STR("TRUSTED CERTIFICATE-----"));
        if (is_whole && (has_settings || str_starts_with(label, STR("CERTIFICATE-----")) ||
                         str_starts_with(label, STR("X509 CERTIFICATE-----"))))
            result = add_block(t, str_slice(pem, 0, body), has_settings, &scratch, e);
        pem = str_slice(pem, body, pem.len);
    }
    buf_free(&scratch);
    return result;
}

static int add_trust_file(struct trust *t, const char *path, struct err *e)
{
    struct buf text = {0};
    int result = fs_read_file(path, TRUST_MAX_FILE_BYTES, &text, e);

    if (result == 0)
        result = add_pem(t, buf_str(&text), e);
    buf_free(&text);
    return result;
}

/* `what` names the setting; NULL: none. */
static void note_origin(struct trust *t, const char *what, const char *path)
{
    buf_printf(&t->origin, "%s%s%s%s", t->origin.len > 0 ? ", " : "", what == NULL ? "" : what,
               what == NULL ? "" : " ", path);
}

/* A file that the user named: it must hold something. */
static int add_named_file(struct trust *t, const char *what, const char *path, struct err *e)
{
    size_t before = t->count;
    struct err why = {0};

    if (add_trust_file(t, path, &why) != 0) /* ERR_NOT_FOUND: not what the caller was looking for */
        return err_set(e, ERR_FAILED, "%s: %s", what, why.msg);
    if (t->count == before)
        return err_set(e, ERR_FAILED, "%s: %s holds no PEM certificate", what, path);
    note_origin(t, what, path);
    return 0;
}

/* xxxxxxxx.n: the names by which OpenSSL finds a subject's certificates in a folder. */
static bool is_hash_name(const char *name)
{
    struct str text = str_of(name);
    uint64_t number;

    return text.len > 9 && hex_is_lower(str_slice(text, 0, 8), 8) && text.p[8] == '.' &&
           str_to_uint(str_slice(text, 9, text.len), TRUST_MAX_ROOTS, &number);
}

/* Reads the files of an open folder, or of them those with hash names; *files counts them. Their
 * faults are passed over: sub-folders, dangling links, other people's files. */
static int add_entries(struct trust *t, DIR *dir, const char *path, bool only_hashed, size_t *files,
                       struct err *e)
{
    struct buf name = {0};
    struct dirent *entry;
    int result = 0;

    *files = 0;
    rewinddir(dir);
    while (result == 0 && (entry = readdir(dir)) != NULL) {
        struct err ignored;
        if (entry->d_name[0] == '.' || (only_hashed && !is_hash_name(entry->d_name)))
            continue;
        buf_clear(&name);
        buf_printf(&name, "%s/%s", path, entry->d_name);
        if ((*files)++ == TRUST_MAX_DIR_FILES)
            result =
                err_set(e, ERR_TOO_LARGE, "%s has more than %d files", path, TRUST_MAX_DIR_FILES);
        else
            add_trust_file(t, buf_path(&name, ERR_IGNORED), &ignored);
    }
    buf_free(&name);
    return result;
}

/* A folder that OpenSSL's rehash has seen holds each certificate under several names: those that
 * OpenSSL would look at are enough. */
static int add_folder(struct trust *t, const char *what, const char *path, struct err *e)
{
    size_t files;
    int result;
    DIR *dir = path == NULL ? NULL : opendir(path);

    if (path == NULL)
        return -1;
    if (dir == NULL)
        return err_errno(e, ERR_FAILED, errno, "%s: %s", what, path);
    result = add_entries(t, dir, path, true, &files, e);
    if (result == 0 && files == 0)
        result = add_entries(t, dir, path, false, &files, e);
    closedir(dir);
    note_origin(t, what, path);
    return result == 0 ? 0 : err_wrap(e, "%s", what);
}

static bool is_trust_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int add_folders(struct trust *t, const char *list, struct err *e)
{
    struct str rest = str_of(list);
    struct buf path = {0};
    int result = 0;

    while (result == 0 && rest.len > 0) {
        struct str one = str_slice(rest, 0, str_find(rest, ':'));
        rest = str_slice(rest, one.len + 1, rest.len);
        buf_clear(&path);
        buf_put(&path, one);
        if (one.len > 0)
            result = setting_check_path("SSL_CERT_DIR", one, e);
        if (result == 0 && one.len > 0)
            result = add_folder(t, "SSL_CERT_DIR", buf_path(&path, e), e);
    }
    buf_free(&path);
    return result;
}

static struct str der_of(const struct trust *t, const struct root *root)
{
    return str_slice(buf_str(&t->der), root->offset, root->offset + root->len);
}

static int compare_rejected(const void *a, const void *b)
{
    const struct str *x = a, *y = b;

    return str_compare(*x, *y);
}

/* A rejection holds wherever else the certificate stands, so they are looked up by content. */
static int index_rejected(struct trust *t, struct err *e)
{
    size_t count = 0;

    for (size_t i = 0; i < t->count; i++)
        count += t->roots[i].is_rejected;
    if (count == 0)
        return 0;
    t->rejected = calloc(count, sizeof *t->rejected);
    if (t->rejected == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < t->count; i++)
        if (t->roots[i].is_rejected)
            t->rejected[t->rejected_count++] = der_of(t, &t->roots[i]);
    qsort(t->rejected, count, sizeof *t->rejected, compare_rejected);
    return 0;
}

/* The certificates do not move any more: remember where their subjects are. */
static void index_subjects(struct trust *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++) {
        struct root *root = &t->roots[i];
        if (cert_find_subject(der_of(t, root), &root->subject))
            t->roots[kept++] = *root;
    }
    t->count = kept;
}

/* Builds the indexes when all roots are read. -1: out of memory. */
static int finish_trust(struct trust *t, struct err *e)
{
    if (index_rejected(t, e) != 0)
        return -1;
    index_subjects(t);
    return 0;
}

static int add_usual(struct trust *t, struct err *e)
{
    struct buf tried = {0};

    for (size_t i = 0; i < sizeof usual_bundles / sizeof *usual_bundles; i++) {
        struct err ignored;
        if (access(usual_bundles[i], R_OK) == 0 &&
            add_trust_file(t, usual_bundles[i], &ignored) == 0 && t->count > 0) {
            note_origin(t, NULL, usual_bundles[i]);
            break;
        }
        buf_printf(&tried, "%s%s", i > 0 ? ", " : "", usual_bundles[i]);
    }
    if (t->count == 0)
        err_set(e, ERR_FAILED, "no trusted certificates found: set SSL_CERT_FILE (tried %s)",
                buf_cstr(&tried));
    buf_free(&tried);
    return t->count == 0 ? -1 : 0;
}

/* One file more: trust_use_file. */
static struct {
    const char *what, *path;
} extra;

/* The variable that names a bundle, and its value; NULL when none does. curl's and Python's come
 * behind OpenSSL's. */
static const char *find_bundle(const char **what)
{
    static const char *const names[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *what = names[i];
        if (env_get(names[i]) != NULL)
            return env_get(names[i]);
    }
    return NULL;
}

/* Python's requests take a folder, too. */
static int add_bundle(struct trust *t, const char *what, const char *path, struct err *e)
{
    size_t before = t->count;

    if (!is_trust_folder(path))
        return add_named_file(t, what, path, e);
    if (add_folder(t, what, path, e) != 0)
        return -1;
    if (t->count == before)
        return err_set(e, ERR_FAILED, "%s: %s holds no PEM certificate", what, path);
    return 0;
}

static struct trust *load_roots(struct err *e)
{
    struct trust *t = calloc(1, sizeof *t);
    const char *what, *file = find_bundle(&what), *folders = env_get("SSL_CERT_DIR");
    int result = 0;

    if (t == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    if (file != NULL) {
        result = setting_check_path(what, str_of(file), e);
        if (result == 0)
            result = add_bundle(t, what, file, e);
    }
    if (result == 0 && folders != NULL)
        result = add_folders(t, folders, e);
    if (result == 0 && extra.path != NULL)
        result = add_named_file(t, extra.what, extra.path, e);
    if (result == 0 && file == NULL && folders == NULL && extra.path == NULL)
        result = add_usual(t, e);
    if (result == 0 && t->count == 0)
        result = err_set(e, ERR_FAILED, "SSL_CERT_DIR: %s holds no PEM certificate", folders);
    if (result == 0)
        result = finish_trust(t, e);
    if (result != 0) {
        trust_free(t);
        return NULL;
    }
    return t;
}

void trust_put_origin(const struct trust *t, struct buf *out)
{
    buf_printf(out, "%zu root%s of ", t->count, t->count == 1 ? "" : "s");
    buf_put_buf(out, &t->origin);
}

struct trust *trust_parse(struct str pem, struct err *e)
{
    struct trust *t = calloc(1, sizeof *t);

    if (t == NULL || add_pem(t, pem, e) != 0 || finish_trust(t, e) != 0) {
        trust_free(t);
        return NULL;
    }
    return t;
}

static struct trust *of_process;

void trust_use_file(const char *what, const char *path)
{
    extra.what = what;
    extra.path = path;
}

const struct trust *trust_of_process(struct err *e)
{
    if (of_process == NULL)
        of_process = load_roots(e);
    return of_process;
}

bool trust_find(const struct trust *t, struct str subject, size_t *position, struct cert *root)
{
    while (*position < t->count) {
        const struct root *r = &t->roots[(*position)++];
        struct str der = der_of(t, r);
        if (cert_name_is_equal(r->subject, subject) && cert_parse(root, der, ERR_IGNORED) == 0)
            return true;
    }
    return false;
}

bool trust_rejects(const struct trust *t, struct str der)
{
    return t->rejected_count > 0 &&
           bsearch(&der, t->rejected, t->rejected_count, sizeof der, compare_rejected) != NULL;
}
