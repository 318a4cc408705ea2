#include "zone/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/newfile.h"
#include "base/random.h"
#include "base/ready.h"
#include "base/text_file.h"
#include "proto/pem.h"
#include "store/store.h"

enum {
    KEY_SIZE = PEM_KEY_SIZE, /* of a seed and of a public key */
    PEM_MAX_BYTES = 1024,
    /* How long a second `register` waits for the first one's other file. */
    CREATE_WAIT_MS = 5000,
    CREATE_POLL_MS = 20
};

/* One of the two files. */
struct key_file {
    const char *name;
    enum pem_kind kind;
    mode_t mode;
};

static const struct key_file private_file = {"private.pem", PEM_PRIVATE, 0600};
static const struct key_file public_file = {"public.pem", PEM_PUBLIC, 0666};

void identity_wipe(struct identity *id)
{
    explicit_bzero(id, sizeof *id);
}

static const unsigned char *public_key(const struct identity *id)
{
    return id->pair + ED25519_SEED;
}

static void set_seed(struct identity *id, const unsigned char seed[KEY_SIZE])
{
    ed25519_pair(seed, id->pair);
    hex_encode(public_key(id), KEY_SIZE, id->client_id);
}

static char *path_of_key(const char *key_dir, const struct key_file *file)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%s", key_dir, file->name);
    return buf_take(&path);
}

/* ERR_NOT_FOUND when there is no such file. */
static int read_key_file(const char *key_dir, const struct key_file *file,
                         unsigned char key[KEY_SIZE], struct err *e)
{
    char *path = path_of_key(key_dir, file);
    struct buf text = {0};
    int result = -1;

    if (path == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        goto out;
    }
    if (fs_read_file(path, PEM_MAX_BYTES, &text, e) != 0)
        goto out;
    if (text_file_tidy(&text, 0, ERR_IGNORED) != 0 || !pem_parse(file->kind, buf_str(&text), key)) {
        err_set(e, ERR_PROTOCOL, "%s: not an Ed25519 %s: want the three lines of a PEM file", path,
                pem_label(file->kind));
        goto out;
    }
    result = 0;
out:
    buf_wipe(&text);
    free(path);
    return result;
}

static int load_files(struct identity *id, const char *key_dir, struct err *e)
{
    unsigned char seed[KEY_SIZE], key[KEY_SIZE];
    char digits[2 * KEY_SIZE + 1];
    struct identity found;
    struct err why = {0};
    int result = -1;

    if (read_key_file(key_dir, &private_file, seed, &why) != 0) {
        if (why.code == ERR_NOT_FOUND &&
            read_key_file(key_dir, &public_file, key, ERR_IGNORED) == 0)
            err_set(e, ERR_FAILED, "%s has public.pem but no private.pem: put the private key back,"
                    " or move public.pem away and run `kachery-resource register`", key_dir);
        else if (why.code == ERR_NOT_FOUND)
            err_set(e, ERR_NOT_FOUND, "no client keys in %s: run `kachery-resource register`",
                    key_dir);
        else
            err_copy(e, &why);
        goto out;
    }
    set_seed(&found, seed);
    /* The public file alone is no loss: it follows from the private one. */
    if (read_key_file(key_dir, &public_file, key, &why) == 0) {
        hex_encode(key, KEY_SIZE, digits);
        if (strcmp(digits, found.client_id) != 0) {
            err_set(e, ERR_FAILED, "%s: public.pem does not belong to private.pem", key_dir);
            goto out;
        }
    } else if (why.code != ERR_NOT_FOUND) {
        err_copy(e, &why);
        goto out;
    }
    *id = found;
    result = 0;
out:
    explicit_bzero(seed, sizeof seed);
    identity_wipe(&found);
    return result;
}

static int load_environment(struct identity *id, const char *client_id, const char *private_key,
                            struct err *e)
{
    unsigned char seed[KEY_SIZE];
    struct identity found;
    int result = -1;

    if (private_key == NULL)
        return err_set(e, ERR_FAILED,
                       "KACHERY_CLOUD_CLIENT_ID is set but KACHERY_CLOUD_PRIVATE_KEY is not");
    if (!hex_decode(str_of(private_key), seed, KEY_SIZE)) {
        err_set(e, ERR_FAILED, "KACHERY_CLOUD_PRIVATE_KEY: want %d hex digits", 2 * KEY_SIZE);
        goto out;
    }
    set_seed(&found, seed);
    if (!str_equal_nocase(str_of(client_id), str_of(found.client_id)))
        err_set(e, ERR_FAILED,
                "KACHERY_CLOUD_CLIENT_ID \"%s\" does not belong to KACHERY_CLOUD_PRIVATE_KEY",
                client_id);
    else {
        *id = found;
        result = 0;
    }
    identity_wipe(&found);
out:
    explicit_bzero(seed, sizeof seed);
    return result;
}

int identity_load(struct identity *id, const char *key_dir, struct err *e)
{
    const char *client_id = env_get("KACHERY_CLOUD_CLIENT_ID");

    if (client_id != NULL)
        return load_environment(id, client_id, env_get("KACHERY_CLOUD_PRIVATE_KEY"), e);
    return load_files(id, key_dir, e);
}

bool identity_is_away(const char *key_dir)
{
    if (env_get("KACHERY_CLOUD_CLIENT_ID") != NULL)
        return false;
    char *path = path_of_key(key_dir, &private_file);
    bool is_away = path == NULL || access(path, F_OK) != 0;

    free(path);
    return is_away;
}

/* A key file written and synced under a temporary name. */
struct staged {
    char *path;
    struct newfile file;
};

static void unstage_key(struct staged *staged)
{
    newfile_discard(&staged->file);
    free(staged->path);
}

static int stage_key(struct staged *staged, const char *key_dir, const struct key_file *file,
                     const unsigned char *key, struct err *e)
{
    struct buf pem = {0};
    int result = -1;

    pem_put(&pem, file->kind, key);
    staged->path = path_of_key(key_dir, file);
    if (staged->path == NULL || pem.failed) {
        err_set(e, ERR_FAILED, "out of memory");
        goto out;
    }
    newfile_clean(staged->path);
    if (newfile_open(&staged->file, staged->path, file->mode, e) != 0 ||
        newfile_write(&staged->file, buf_str(&pem), staged->path, e) != 0)
        goto out;
    if (file->kind == PEM_PUBLIC)
        newfile_adopt(key_dir, staged->file.fd);
    result = newfile_close(&staged->file, true, staged->path, e);
out:
    buf_wipe(&pem);
    return result;
}

/* Gives a staged file its name, or leaves nothing there. ERR_REFUSED when that is taken: a key is
 * never replaced. The directory is not on the disk yet. */
static int publish_key(struct staged *staged, struct err *e)
{
    int fd;

    if (link(staged->file.name.data, staged->path) == 0)
        return 0;
    if (errno == EEXIST)
        return err_set(e, ERR_REFUSED, "%s exists already", staged->path);
    if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP)
        return err_errno(e, ERR_FAILED, errno, "%s", staged->path);
    /* No hard links on this file system: take the name first, then fill it. */
    fd = open(staged->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno == EEXIST ? ERR_REFUSED : ERR_FAILED, errno, "%s", staged->path);
    close(fd);
    if (newfile_rename(&staged->file, staged->path) == 0)
        return 0;
    err_errno(e, ERR_FAILED, errno, "%s", staged->path);
    unlink(staged->path);
    return -1;
}

/* Loads the keys that another process is just creating: waits until its second file is there
 * too. */
static int load_others(struct identity *id, const char *key_dir, struct err *e)
{
    int64_t end = clock_now_ms() + CREATE_WAIT_MS;

    while (load_files(id, key_dir, e) != 0) {
        if (clock_now_ms() >= end)
            return -1;
        ready_sleep(CREATE_POLL_MS);
    }
    return 0;
}

static int create_files(struct identity *id, const char *key_dir, struct err *e)
{
    struct staged first = {.file = NEWFILE_NONE}, second = {.file = NEWFILE_NONE};
    unsigned char seed[KEY_SIZE];
    struct identity made;
    struct err why = {0};
    int result = -1;

    random_bytes(seed, KEY_SIZE);
    set_seed(&made, seed);
    if (store_make_folder(key_dir, e) != 0 ||
        stage_key(&first, key_dir, &public_file, public_key(&made), e) != 0 ||
        stage_key(&second, key_dir, &private_file, seed, e) != 0)
        goto out;
    /* The process that publishes the public file owns the creation; the other process waits for
     * it. */
    if (publish_key(&first, &why) != 0) {
        if (why.code == ERR_REFUSED)
            result = load_others(id, key_dir, e);
        else
            err_copy(e, &why);
        goto out;
    }
    if (publish_key(&second, e) != 0) {
        unlink(first.path);
        goto out;
    }
    if (fs_sync_parent(second.path, e) != 0)
        goto out;
    *id = made;
    result = 0;
out:
    unstage_key(&first);
    unstage_key(&second);
    identity_wipe(&made);
    explicit_bzero(seed, sizeof seed);
    return result;
}

static bool is_missing(const char *key_dir, const struct key_file *file)
{
    char *path = path_of_key(key_dir, file);
    struct stat st;
    bool result = path != NULL && stat(path, &st) != 0 && errno == ENOENT;

    free(path);
    return result;
}

/* The deployed programs want both files. */
static int complete_files(const struct identity *id, const char *key_dir, struct err *e)
{
    struct staged staged = {0};
    int result = -1;

    if (stage_key(&staged, key_dir, &public_file, public_key(id), e) == 0 &&
        publish_key(&staged, e) == 0)
        result = fs_sync_parent(staged.path, e);
    unstage_key(&staged);
    return result;
}

int identity_create(struct identity *id, const char *key_dir, struct err *e)
{
    bool is_in_files = env_get("KACHERY_CLOUD_CLIENT_ID") == NULL;

    if (is_in_files && is_missing(key_dir, &private_file))
        return create_files(id, key_dir, e);
    if (identity_load(id, key_dir, e) != 0)
        return -1;
    return is_in_files && is_missing(key_dir, &public_file) ? complete_files(id, key_dir, e) : 0;
}
