#include "bucket/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dirs.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/newfile.h"
#include "base/log.h"
#include "bucket/bucket_ops.h"
#include "bucket/check_queue.h"
#include "bucket/checked.h"
#include "bucket/folder_list.h"
#include "bucket/object.h"
#include "bucket/object_manifest.h"
#include "bucket/object_upload.h"

enum {
    CLEAN_EVERY_MS = 3600 * 1000,
    /* Of an upload that the checking process publishes: looks, and time for it. */
    KEPT_LOOK_MS = 200,
    KEPT_MS = 60000,
    KEPT_BYTES_EACH_MS = 10000
};

struct folder {
    struct bucket bucket;
    const struct data_dir *dir;
    struct check_asker *asker;
    int64_t clean_ms; /* when left-overs beside a small file are looked for again */
};

static struct folder *folder_of(struct bucket *bucket)
{
    return (struct folder *)bucket;
}

static void free_bucket(struct bucket *bucket)
{
    free(folder_of(bucket));
}

/* ---- looking ---- */

static bool is_absence(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ELOOP;
}

/* Returns -1: ERR_NOT_FOUND only if the folder itself is there. */
static int fail_to_find(const struct folder *f, int number, const char *doing, struct err *e)
{
    if (!is_absence(number))
        return err_errno(e, ERR_FAILED, number, "%s", doing);
    if (data_dir_check(f->dir, e) != 0)
        return -1;
    return err_set(e, ERR_NOT_FOUND, "%s: %s", doing, strerror(ENOENT));
}

/* A symbolic link is no object: none is followed, and an upload replaces it. */
static int stat_object(const struct folder *f, struct str key, struct stat *st, struct err *e)
{
    struct buf path = {0};
    const char *name;
    int result = 0;

    data_dir_put_path(f->dir, key, &path);
    name = buf_path(&path, e);
    if (name == NULL)
        result = -1;
    else if (lstat(name, st) != 0)
        result = fail_to_find(f, errno, "cannot look at an object", e);
    else if (!S_ISREG(st->st_mode))
        result = fail_to_find(f, ENOENT, "cannot look at an object", e);
    buf_free(&path);
    return result;
}

static void put_stat(const struct stat *st, int64_t *size_bytes, int64_t *modified_ms)
{
    *size_bytes = (int64_t)st->st_size;
    *modified_ms = (int64_t)st->st_mtim.tv_sec * 1000;
}

/* A head that waits until the object was compared with its hash. `wait` is the first member. */
struct waiting_head {
    struct check_wait wait;
    struct folder *folder;
    struct bucket_head *head;
};

static int fill_object_head(struct folder *f, struct bucket_head *head, struct stat *st)
{
    int is_damaged;

    if (stat_object(f, head->key, st, head->call.e) != 0)
        return -1;
    put_stat(st, &head->size_bytes, &head->modified_ms);
    is_damaged = checked_is_damaged(f->dir, head->key, st, head->call.e);
    head->is_damaged = is_damaged > 0;
    return is_damaged < 0 ? -1 : 0;
}

static void on_head_checked(struct check_wait *wait)
{
    struct waiting_head *waiting = (struct waiting_head *)wait;
    struct bucket_head *head = waiting->head;
    struct stat st;

    head->call.state = NULL;
    bucket_complete(&head->call, fill_object_head(waiting->folder, head, &st));
    free(waiting);
}

/* True when the hub takes it; then the head waits, unless the object takes long to read. */
static bool waits_for_check(struct folder *f, struct bucket_head *head)
{
    const struct check_request request = {head->client.len > 0 ? head->client : STR("-"),
                                          head->size_bytes, head->key};
    struct waiting_head *waiting;

    if (head->size_bytes >= CHECK_LARGE_BYTES) {
        (void)check_asker_ask(f->asker, &request, NULL);
        return false;
    }
    waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL)
        return false;
    *waiting =
        (struct waiting_head){.wait = {.on_checked = on_head_checked}, .folder = f, .head = head};
    if (check_asker_ask(f->asker, &request, &waiting->wait) != 0) {
        free(waiting);
        return false;
    }
    head->call.state = waiting;
    return true;
}

static void head_object(struct bucket *bucket, struct bucket_head *head)
{
    struct folder *f = folder_of(bucket);
    struct stat st;
    int result = fill_object_head(f, head, &st);

    if (result == 0 && head->wants_proof && !head->is_damaged && f->asker != NULL &&
        !checked_is_good(f->dir, head->key, &st, NULL) && waits_for_check(f, head))
        return;
    bucket_complete(&head->call, result);
}

/* Else nothing is under way when a call returns, but an upload that is left to the checking
 * process, which put_discard ends. */
static void cancel_waiting_head(struct bucket *bucket, struct bucket_call *call)
{
    struct waiting_head *waiting = call->state;

    if (waiting == NULL)
        return;
    check_asker_forget(folder_of(bucket)->asker, &waiting->wait);
    free(waiting);
}

/* ---- reading ---- */

/* A damaged object is as good as not there. */
static int open_object(struct folder *f, struct str key, struct stat *st, struct err *e)
{
    struct buf path = {0};
    const char *name;
    int fd, is_damaged = 0;

    data_dir_put_path(f->dir, key, &path);
    name = buf_path(&path, e);
    fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (name != NULL && fd < 0)
        fail_to_find(f, errno, "cannot open the object", e);
    buf_free(&path);
    if (fd < 0)
        return -1;
    if (fstat(fd, st) != 0)
        is_damaged = fail_to_find(f, errno, "cannot look at the object", e);
    else if (!S_ISREG(st->st_mode) || (is_damaged = checked_is_damaged(f->dir, key, st, e)) > 0)
        is_damaged = fail_to_find(f, ENOENT, "cannot open the object", e);
    if (is_damaged == 0)
        return fd;
    close(fd);
    return -1;
}

static bool is_old_knowledge(const struct folder *f, const struct bucket_file *file,
                             const struct stat *st)
{
    int64_t checked_s = 0, age_s;

    if (file->believed_s == BUCKET_NEVER_S)
        return false;
    (void)checked_is_good(f->dir, file->key, st, &checked_s);
    age_s = clock_wall_ms() / 1000 - checked_s;
    return age_s < 0 || age_s >= file->believed_s;
}

/* Also for want of a manifest, which the reading makes. */
static void ask_for_check(struct folder *f, const struct bucket_file *file, const struct stat *st)
{
    const struct check_request request = {STR("-"), (int64_t)st->st_size, file->key};
    bool lacks_manifest = file->wants_manifest && file->manifest_fd < 0 &&
                          manifest_is_for((int64_t)st->st_size);

    if (file->is_doubted)
        checked_forget(f->dir, file->key);
    if (f->asker != NULL &&
        (file->is_doubted || lacks_manifest || is_old_knowledge(f, file, st)))
        (void)check_asker_ask(f->asker, &request, NULL);
}

static void open_object_file(struct bucket *bucket, struct bucket_file *file)
{
    struct folder *f = folder_of(bucket);
    struct stat st;

    file->manifest_fd = -1;
    file->fd = open_object(f, file->key, &st, file->call.e);
    if (file->fd >= 0) {
        put_stat(&st, &file->size_bytes, &file->modified_ms);
        if (file->wants_manifest && !file->is_doubted && manifest_is_for(file->size_bytes))
            file->manifest_fd = object_manifest_open(f->dir, file->key);
        ask_for_check(f, file, &st);
    }
    bucket_complete(&file->call, file->fd < 0 ? -1 : 0);
}

static int read_object_part(int fd, struct bucket_read *read)
{
    size_t left = read->length > BUCKET_MAX_READ_BYTES ? BUCKET_MAX_READ_BYTES
                                                       : (size_t)read->length;
    off_t at = (off_t)read->start;
    ssize_t n = 1;

    if (!buf_reserve(&read->bytes, left))
        return buf_check(&read->bytes, read->call.e);
    while (left > 0 && n != 0) {
        n = pread(fd, read->bytes.data + read->bytes.len, left, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(read->call.e, ERR_FAILED, errno, "cannot read the object");
        read->bytes.len += (size_t)n;
        left -= (size_t)n;
        at += (off_t)n;
    }
    return 0;
}

static void read_object(struct bucket *bucket, struct bucket_read *read)
{
    struct stat st;
    int fd = open_object(folder_of(bucket), read->key, &st, read->call.e);
    int result = fd < 0 ? -1 : read_object_part(fd, read);

    if (fd >= 0)
        close(fd);
    bucket_complete(&read->call, result);
}

/* ---- putting ---- */

struct folder_upload {
    struct folder *folder;
    struct bucket_put *put;
    struct loop_timer timer; /* of one that is left to the checking process */
    int64_t until_ms;
    struct object_upload file;
    struct object_manifest manifest;
    struct buf path; /* of the object */
};

static void put_discard(struct bucket *bucket, struct bucket_put *put)
{
    struct folder_upload *upload = put->upload;

    loop_clear_timer(bucket->loop, &upload->timer);
    object_upload_discard(&upload->file);
    object_manifest_discard(&upload->manifest);
    buf_free(&upload->path);
    free(upload);
}

/* Whether the object is there, whole and right, as far as can be seen: else its bytes are taken. */
static bool is_object_there(const struct folder *f, const struct bucket_put *put)
{
    struct stat st;

    return stat_object(f, put->key, &st, ERR_IGNORED) == 0 &&
           (int64_t)st.st_size == put->size_bytes &&
           checked_get(f->dir, put->key, &st, NULL, ERR_IGNORED) == CHECKED_GOOD;
}

/* The checking process looks at no other. */
static bool is_first_place(const struct object_upload *file)
{
    return str_ends_with(buf_str(&file->temporary.name), STR(".0"));
}

/* A place of the client's for this object; none for bytes that are there already. */
static int open_upload(struct folder *f, struct bucket_put *put, struct folder_upload *upload)
{
    struct err *e = put->call.e;
    char name[SHA1_HEX + 1];
    int result;

    if (is_object_there(f, put)) {
        object_upload_open_dry(&upload->file, put->size_bytes);
        return 0;
    }
    object_upload_name(put->key, put->is_left_to_another ? STR(OBJECT_UPLOAD_KEPT) : put->client,
                       name);
    result = object_upload_open(&upload->file, f->dir, name, put->size_bytes, e);
    if (result == 0 && put->is_left_to_another && !is_first_place(&upload->file)) {
        object_upload_discard(&upload->file);
        return err_set(e, ERR_TAKEN, "it is being kept already");
    }
    if (result == 0 && !put->is_left_to_another)
        (void)object_manifest_begin(&upload->manifest, f->dir, put->size_bytes);
    return result;
}

static void put_open(struct bucket *bucket, struct bucket_put *put)
{
    struct folder *f = folder_of(bucket);
    struct folder_upload *upload = calloc(1, sizeof *upload);
    int result;

    if (upload == NULL) {
        bucket_complete(&put->call, err_set(put->call.e, ERR_FAILED, "out of memory"));
        return;
    }
    upload->folder = f;
    upload->put = put;
    data_dir_put_path(f->dir, put->key, &upload->path);
    result = buf_check(&upload->path, put->call.e);
    if (result == 0)
        result = open_upload(f, put, upload);
    if (result == 0)
        put->upload = upload;
    else {
        buf_free(&upload->path);
        free(upload);
    }
    bucket_complete(&put->call, result);
}

static void put_write(struct bucket *bucket, struct bucket_put *put, struct str bytes)
{
    struct folder_upload *upload = put->upload;

    (void)bucket;
    int result = object_upload_write(&upload->file, bytes, put->call.e);
    if (result == 0)
        object_manifest_add(&upload->manifest, bytes);
    put->written = upload->file.written;
    bucket_complete(&put->call, result);
}

/* An object without one is as good: its first reader has it made. */
static void publish_object_manifest(struct folder_upload *upload, const struct bucket_put *put)
{
    struct err why = {0};

    object_manifest_end(&upload->manifest, put->hash);
    if (object_manifest_publish(&upload->manifest, put->key, &why) == OBJECT_MANIFEST_FAILED)
        log_line(LOG_WARN, "no manifest of object key=%.*s: %s", STR_ARG(put->key), why.msg);
}

/* The object of a dry upload may be gone by now. */
static int publish_upload(const struct folder *f, struct bucket_put *put)
{
    struct folder_upload *upload = put->upload;
    struct err *e = put->call.e;
    bool is_dry = upload->file.is_dry;

    if (object_upload_publish(&upload->file, buf_path(&upload->path, e), put->hash, e) != 0)
        return -1;
    if (is_dry)
        return is_object_there(f, put)
                   ? 0
                   : err_set(e, ERR_TAKEN, "the object went meanwhile: once more");
    checked_put(f->dir, put->key, &upload->file.published, CHECKED_GOOD);
    publish_object_manifest(upload, put);
    return 0;
}

/* The checking process is done, or does not get on. */
static void on_kept_time(void *owner)
{
    struct folder_upload *upload = owner;
    struct bucket_put *put = upload->put;
    struct loop *loop = upload->folder->bucket.loop;

    if (is_object_there(upload->folder, put))
        bucket_complete(&put->call, 0);
    else if (loop_now_ms(loop) >= upload->until_ms)
        bucket_complete(&put->call, err_set(put->call.e, ERR_FAILED, "it was not taken in time"));
    else
        loop_set_timer(loop, &upload->timer, loop_now_ms(loop) + KEPT_LOOK_MS);
}

/* Leaves the upload, which is whole and right, to the checking process. */
static int leave_upload(struct folder *f, struct bucket_put *put)
{
    struct folder_upload *upload = put->upload;
    const struct check_request request = {STR("-"), put->size_bytes, put->key};

    if (object_upload_check(&upload->file, put->hash, put->call.e) != 0)
        return -1;
    if (check_asker_ask(f->asker, &request, NULL) != 0)
        return err_set(put->call.e, ERR_FAILED, "the checking process takes nothing now");
    upload->timer = (struct loop_timer){.call = on_kept_time, .owner = upload};
    upload->until_ms =
        loop_now_ms(f->bucket.loop) + KEPT_MS + put->size_bytes / KEPT_BYTES_EACH_MS;
    loop_set_timer(f->bucket.loop, &upload->timer, loop_now_ms(f->bucket.loop) + KEPT_LOOK_MS);
    return 0;
}

static void put_close(struct bucket *bucket, struct bucket_put *put)
{
    struct folder *f = folder_of(bucket);
    const struct folder_upload *upload = put->upload;

    if (put->is_left_to_another && f->asker != NULL && !upload->file.is_dry) {
        if (leave_upload(f, put) != 0)
            bucket_complete(&put->call, -1);
        return;
    }
    bucket_complete(&put->call, publish_upload(folder_of(bucket), put));
}

/* ---- removing ---- */

static int unlink_object(const struct folder *f, struct str key, struct err *e)
{
    struct buf path = {0};
    const char *name;
    int result = 0;

    data_dir_put_path(f->dir, key, &path);
    name = buf_path(&path, e);
    if (name == NULL) {
        result = -1;
    } else if (unlink(name) != 0) {
        result = fail_to_find(f, errno, "cannot delete the object", e);
    } else {
        checked_forget(f->dir, key);
        object_manifest_remove(f->dir, key);
        result = fs_sync_parent(name, e);
    }
    buf_free(&path);
    return result;
}

static int remove_damaged_object(const struct folder *f, struct str key, struct err *e)
{
    int64_t size;
    bool is_kept;

    switch (object_remove(f->dir, key, &size, &is_kept, e)) {
    case OBJECT_UNKNOWN: return -1;
    case OBJECT_MISSING: return fail_to_find(f, ENOENT, "cannot delete the object", e);
    case OBJECT_OK:
    case OBJECT_DAMAGED: break;
    }
    return 0;
}

static void remove_object(struct bucket *bucket, struct bucket_remove *r)
{
    const struct folder *f = folder_of(bucket);

    bucket_complete(&r->call, r->only_damaged ? remove_damaged_object(f, r->key, r->call.e)
                                              : unlink_object(f, r->key, r->call.e));
}

/* ---- listing ---- */

static void list_keys(struct bucket *bucket, struct bucket_list *list)
{
    bucket_complete(&list->call, folder_list(folder_of(bucket)->dir, list, list->call.e));
}

/* ---- small files ---- */

static void put_version(struct str text, char version[BUCKET_VERSION_BYTES])
{
    unsigned char digest[SHA1_SIZE];

    sha1_of(text, digest);
    hex_encode(digest, sizeof digest, version);
}

static int read_small_file(const struct folder *f, struct bucket_small *file, struct buf *text)
{
    struct err *e = file->call.e;
    struct buf path = {0};
    size_t start = text->len;
    int result;

    data_dir_put_path(f->dir, file->name, &path);
    result = fs_read_file(buf_path(&path, e), file->max_bytes, text, e);
    buf_free(&path);
    if (result == 0)
        put_version(str_slice(buf_str(text), start, text->len), file->version);
    else if (e->code == ERR_NOT_FOUND && data_dir_check(f->dir, e) != 0)
        result = -1; /* it is not known */
    return result;
}

static void small_read(struct bucket *bucket, struct bucket_small *file)
{
    bucket_complete(&file->call, read_small_file(folder_of(bucket), file, &file->text));
}

/* A file that was not written to its end is tried again by its client, not by us: any name. A
 * registry can be large, so a process does not look through it for each of many registrations. */
static void clean_folder_of(struct folder *f, const char *path)
{
    struct buf folder = {0};

    if (clock_now_ms() < f->clean_ms)
        return;
    f->clean_ms = clock_now_ms() + CLEAN_EVERY_MS;
    buf_append(&folder, path, (size_t)(strrchr(path, '/') + 1 - path));
    newfile_clean(buf_path(&folder, ERR_IGNORED));
    buf_free(&folder);
}

/* Whether the file is as it is to be before it is replaced: 0, or -1 with ERR_TAKEN. */
static int check_version(const struct folder *f, const struct bucket_small *file, const char *path,
                         struct err *e)
{
    char version[BUCKET_VERSION_BYTES] = "";
    struct buf text = {0};
    struct err why = {0};
    int result = 0;

    if (*file->version == '\0') {
        if (access(path, F_OK) == 0)
            return err_set(e, ERR_TAKEN, "%s is there already", path);
        return errno == ENOENT || errno == ENOTDIR
                   ? data_dir_check(f->dir, e)
                   : err_errno(e, ERR_FAILED, errno, "cannot look at %s", path);
    }
    if (fs_read_file(path, file->max_bytes, &text, &why) == 0)
        put_version(buf_str(&text), version);
    else if (why.code != ERR_NOT_FOUND && why.code != ERR_TOO_LARGE)
        result = err_copy(e, &why);
    if (result == 0 && strcmp(version, file->version) != 0)
        result = err_set(e, ERR_TAKEN, "%s was changed meanwhile", path);
    buf_free(&text);
    return result;
}

static int replace_small_file(struct folder *f, struct bucket_small *file, const char *path,
                              struct err *e)
{
    if (path == NULL)
        return -1;
    clean_folder_of(f, path);
    if (check_version(f, file, path, e) != 0 || dirs_make_parents(path, e) != 0)
        return -1;
    if (newfile_put(path, file->new_text, NEWFILE_DURABLE, e) != 0)
        return -1;
    put_version(file->new_text, file->version);
    return 0;
}

static void small_replace(struct bucket *bucket, struct bucket_small *file)
{
    struct folder *f = folder_of(bucket);
    struct err *e = file->call.e;
    struct buf path = {0};
    int lock, result = -1;

    data_dir_put_path(f->dir, file->name, &path);
    if (data_dir_lock(f->dir, &lock, e) == 0) {
        result = replace_small_file(f, file, buf_path(&path, e), e);
        close(lock);
    }
    buf_free(&path);
    bucket_complete(&file->call, result);
}

/* ---- what is computed ---- */

static void put_object_url(const struct bucket *bucket, const struct bucket_url *url,
                           struct buf *out)
{
    const struct folder *f = (const struct folder *)bucket;
    const struct signed_url signed_url = {
        .is_put = url->is_put,
        .object_key = url->key,
        .size = url->is_put ? url->size_bytes : 0,
        .client = url->is_put ? url->client : STR(""),
        .expires_ms = url->wall_ms + (url->is_put ? SIGNED_URL_PUT_MS : SIGNED_URL_GET_MS)};

    signed_url_put(out, url->server, f->dir->url_key, &signed_url);
}

static void put_bucket_uri(const struct bucket *bucket, struct str server, struct buf *out)
{
    (void)bucket;
    buf_put(out, server);
    buf_puts(out, "/bucket");
}

static void put_public_error(const struct bucket *bucket, const struct err *e, struct buf *out)
{
    data_dir_put_public_error(((const struct folder *)bucket)->dir, e, out);
}

/* ---- opening ---- */

static const struct bucket_ops ops = {
    .free = free_bucket,
    .head = head_object,
    .read = read_object,
    .open_file = open_object_file,
    .put_open = put_open,
    .put_write = put_write,
    .put_close = put_close,
    .put_discard = put_discard,
    .remove = remove_object,
    .list = list_keys,
    .small_read = small_read,
    .small_replace = small_replace,
    .cancel = cancel_waiting_head,
    .put_url = put_object_url,
    .put_uri = put_bucket_uri,
    .put_public_error = put_public_error,
};

struct bucket *folder_new(const struct data_dir *dir, struct loop *loop, struct check_asker *asker,
                          struct err *e)
{
    struct folder *f = calloc(1, sizeof *f);

    if (f == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    *f = (struct folder){.bucket = {.ops = &ops, .loop = loop}, .dir = dir, .asker = asker};
    return &f->bucket;
}
