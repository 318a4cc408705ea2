/*
 * nfs_double FOLDER: mounts FOLDER at other places, each like another client of one file server:
 * each keeps names, their absence, and attributes of inodes for a while, so that a rename by
 * another client is not seen at once, and a file that grew is read cut. Needs root and /dev/fuse.
 * Commands are lines of standard input, each is answered by "ok" or "error: TEXT":
 *     mount N PATH          mount number N (from 0) there
 *     unmount N             whoever waits there fails
 *     cache N MS            how long names and attributes are kept (0)
 *     strict N 0|1          1: what was deleted is stale at once, as with NFS; 0: it can be used
 *                           for as long as its name is kept
 *     rule N ERROR OPERATIONS FROM PATH
 *                           operations whose path has PATH in it fail with that errno, reads and
 *                           writes those that reach beyond the byte FROM; error 0: they hang
 *     clear N               no rules; what hung goes on
 * OPERATIONS are names with commas between them, or "all"; PATH may be empty. An operation that
 * hangs, or that a rule lets fail, is reported: "held N OPERATION PATH", "failed N OPERATION PATH".
 * The end of standard input unmounts all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    MAX_MOUNTS = 8, MAX_NODES = 65536, MAX_RULES = 16, MAX_HELD = 4096, MAX_PATH = 1024,
    MAX_WRITE = 1 << 17, MAX_REQUEST = MAX_WRITE + 4096, MAX_LINE = 4096
};

struct node {
    int fd; /* O_PATH; -1: free */
    ino_t ino;
    dev_t device;
    uint64_t lookups, generation;
    char path[MAX_PATH]; /* when it was last looked up, below the folder */
};

struct rule {
    int error; /* 0: hang */
    uint64_t from;
    char operations[256], path[MAX_PATH];
};

struct mounted {
    int fd; /* -1: not mounted */
    char path[MAX_PATH];
    long cache_ms;
    bool is_strict; /* what was deleted is stale */
    struct node *nodes[MAX_NODES];
    size_t node_count, rule_count, held_count;
    struct rule rules[MAX_RULES];
    char *held[MAX_HELD];
};

/* One request being answered. */
struct request {
    struct mounted *mount;
    const struct fuse_in_header *head;
    const char *body;
    struct node *node;
};

static struct mounted mounts[MAX_MOUNTS];
static const char *backing;
static char request_buffer[MAX_REQUEST], answer_buffer[MAX_REQUEST];

/* --- nodes --- */

static struct node *node_of(struct mounted *m, uint64_t id)
{
    struct node *n = id == 0 || id > m->node_count ? NULL : m->nodes[id - 1];

    return n == NULL || n->fd < 0 ? NULL : n;
}

static uint64_t free_node_id(struct mounted *m)
{
    for (size_t i = 0; i < m->node_count; i++)
        if (m->nodes[i]->fd < 0)
            return i + 1;
    if (m->node_count == MAX_NODES)
        return 0;
    m->nodes[m->node_count] = calloc(1, sizeof **m->nodes);
    return m->nodes[m->node_count] == NULL ? 0 : ++m->node_count;
}

/* The node of an inode, with one reference more; takes the descriptor. 0 when there is no room. */
static uint64_t add_node(struct mounted *m, int fd, const struct stat *st, const char *path)
{
    uint64_t id = 0;

    for (size_t i = 0; i < m->node_count && id == 0; i++)
        if (m->nodes[i]->fd >= 0 && m->nodes[i]->ino == st->st_ino &&
            m->nodes[i]->device == st->st_dev)
            id = i + 1;
    bool is_known = id != 0;
    if (!is_known)
        id = free_node_id(m);
    if (is_known || id == 0)
        close(fd);
    if (id == 0)
        return 0;
    struct node *n = m->nodes[id - 1];
    if (!is_known)
        *n = (struct node){.fd = fd, .ino = st->st_ino, .device = st->st_dev,
                           .generation = n->generation + 1};
    n->lookups++;
    snprintf(n->path, sizeof n->path, "%s", path);
    return id;
}

static void forget_node(struct mounted *m, uint64_t id, uint64_t lookups)
{
    struct node *n = node_of(m, id);

    if (n == NULL || id == FUSE_ROOT_ID)
        return;
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    if (n->lookups > 0)
        return;
    close(n->fd);
    n->fd = -1;
}

/* --- answers --- */

/* Whoever asked may be gone: that the kernel does not take it is no matter. */
static void answer_data(const struct request *r, const void *data, size_t size)
{
    struct fuse_out_header *out = (void *)answer_buffer;

    *out = (struct fuse_out_header){.len = (uint32_t)(sizeof *out + size),
                                    .unique = r->head->unique};
    if (size > 0)
        memmove(answer_buffer + sizeof *out, data, size);
    (void)!write(r->mount->fd, answer_buffer, out->len);
}

static void answer_error(const struct request *r, int error)
{
    const struct fuse_out_header out = {.len = sizeof out, .error = -error,
                                        .unique = r->head->unique};

    (void)!write(r->mount->fd, &out, sizeof out);
}

/* For a call that returned -1 if it failed. A folder that is deleted is a stale handle. */
static void answer_status(const struct request *r, int result)
{
    struct stat st;
    int error = errno;

    if (result >= 0) {
        answer_data(r, NULL, 0);
        return;
    }
    if (error == ENOENT && r->node != NULL && fstat(r->node->fd, &st) == 0 && st.st_nlink == 0)
        error = ESTALE;
    answer_error(r, error);
}

static void put_attributes(struct fuse_attr *to, const struct stat *st)
{
    *to = (struct fuse_attr){
        .ino = st->st_ino, .size = (uint64_t)st->st_size, .blocks = (uint64_t)st->st_blocks,
        .atime = (uint64_t)st->st_atim.tv_sec, .atimensec = (uint32_t)st->st_atim.tv_nsec,
        .mtime = (uint64_t)st->st_mtim.tv_sec, .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
        .ctime = (uint64_t)st->st_ctim.tv_sec, .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
        .mode = st->st_mode, .nlink = (uint32_t)st->st_nlink, .uid = st->st_uid,
        .gid = st->st_gid, .rdev = (uint32_t)st->st_rdev, .blksize = 4096};
}

static void answer_attributes(const struct request *r)
{
    const long ms = r->mount->cache_ms;
    struct fuse_attr_out out = {.attr_valid = (uint64_t)(ms / 1000),
                                .attr_valid_nsec = (uint32_t)(ms % 1000 * 1000000)};
    struct stat st;

    if (fstat(r->node->fd, &st) != 0) {
        answer_error(r, errno);
        return;
    }
    put_attributes(&out.attr, &st);
    answer_data(r, &out, sizeof out);
}

static void put_path(const struct request *r, const char *name, char path[MAX_PATH])
{
    if (snprintf(path, MAX_PATH, "%s/%s", r->node->path, name) >= MAX_PATH)
        path[MAX_PATH - 1] = '\0';
}

/* The entry of that name in the request's folder. `out` says that there is none, for as long, with
 * the node 0. */
static int put_entry(const struct request *r, const char *name, struct fuse_entry_out *out)
{
    const long ms = r->mount->cache_ms;
    char path[MAX_PATH];
    struct stat st;
    int fd = openat(r->node->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    *out = (struct fuse_entry_out){.entry_valid = (uint64_t)(ms / 1000),
                                   .entry_valid_nsec = (uint32_t)(ms % 1000 * 1000000),
                                   .attr_valid = (uint64_t)(ms / 1000),
                                   .attr_valid_nsec = (uint32_t)(ms % 1000 * 1000000)};
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (fstat(fd, &st) != 0) {
        close(fd);
        return -1;
    }
    put_path(r, name, path);
    put_attributes(&out->attr, &st);
    out->nodeid = add_node(r->mount, fd, &st, path);
    if (out->nodeid == 0) {
        errno = ENFILE;
        return -1;
    }
    out->generation = r->mount->nodes[out->nodeid - 1]->generation;
    return 0;
}

static void answer_lookup(const struct request *r, const char *name)
{
    struct fuse_entry_out out;
    struct stat st;

    if (put_entry(r, name, &out) != 0)
        answer_error(r, errno);
    else if (out.nodeid == 0 && fstat(r->node->fd, &st) == 0 && st.st_nlink == 0)
        answer_error(r, ESTALE);
    else if (out.nodeid == 0 && r->mount->cache_ms == 0)
        answer_error(r, ENOENT);
    else
        answer_data(r, &out, sizeof out);
}

/* After something was made under that name: it is its maker's. */
static void answer_made(const struct request *r, int result, const char *name)
{
    struct fuse_entry_out out;

    if (result < 0) {
        answer_status(r, result);
        return;
    }
    if (r->head->uid != 0)
        (void)!fchownat(r->node->fd, name, r->head->uid, r->head->gid, AT_SYMLINK_NOFOLLOW);
    if (put_entry(r, name, &out) != 0)
        answer_error(r, errno);
    else if (out.nodeid == 0)
        answer_error(r, ESTALE);
    else
        answer_data(r, &out, sizeof out);
}

/* --- operations --- */

static int reopen(const struct node *n, int flags)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", n->fd);
    return open(path, flags | O_CLOEXEC);
}

static void do_init(const struct request *r)
{
    const struct fuse_init_in *in = (const void *)r->body;
    const struct fuse_init_out out = {.major = 7, .minor = 31, .max_readahead = in->max_readahead,
                                      .flags = FUSE_BIG_WRITES, .max_background = 64,
                                      .congestion_threshold = 48, .max_write = MAX_WRITE,
                                      .time_gran = 1};

    answer_data(r, &out, sizeof out);
}

static int set_times(int fd, const struct fuse_setattr_in *in)
{
    struct timespec times[2] = {
        {(time_t)in->atime, (in->valid & FATTR_ATIME) == 0      ? UTIME_OMIT
                            : (in->valid & FATTR_ATIME_NOW) != 0 ? UTIME_NOW
                                                                 : (long)in->atimensec},
        {(time_t)in->mtime, (in->valid & FATTR_MTIME) == 0      ? UTIME_OMIT
                            : (in->valid & FATTR_MTIME_NOW) != 0 ? UTIME_NOW
                                                                 : (long)in->mtimensec}};
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return utimensat(AT_FDCWD, path, times, 0);
}

static int set_attributes(const struct node *n, const struct fuse_setattr_in *in)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", n->fd);
    if ((in->valid & FATTR_MODE) != 0 && chmod(path, in->mode & 07777) != 0)
        return -1;
    if ((in->valid & (FATTR_UID | FATTR_GID)) != 0 &&
        chown(path, (in->valid & FATTR_UID) != 0 ? in->uid : (uid_t)-1,
              (in->valid & FATTR_GID) != 0 ? in->gid : (gid_t)-1) != 0)
        return -1;
    if ((in->valid & FATTR_SIZE) != 0 && truncate(path, (off_t)in->size) != 0)
        return -1;
    return (in->valid & (FATTR_ATIME | FATTR_MTIME)) != 0 ? set_times(n->fd, in) : 0;
}

static void do_setattr(const struct request *r)
{
    if (set_attributes(r->node, (const void *)r->body) != 0)
        answer_error(r, errno);
    else
        answer_attributes(r);
}

static void do_readlink(const struct request *r)
{
    char target[4096];
    ssize_t n = readlinkat(r->node->fd, "", target, sizeof target);

    if (n < 0)
        answer_error(r, errno);
    else
        answer_data(r, target, (size_t)n);
}

static void do_symlink(const struct request *r)
{
    const char *target = r->body + strlen(r->body) + 1;

    answer_made(r, symlinkat(target, r->node->fd, r->body), r->body);
}

static void do_mkdir(const struct request *r)
{
    const struct fuse_mkdir_in *in = (const void *)r->body;
    const char *name = r->body + sizeof *in;

    answer_made(r, mkdirat(r->node->fd, name, in->mode & 07777), name);
}

static void do_mknod(const struct request *r)
{
    const struct fuse_mknod_in *in = (const void *)r->body;
    const char *name = r->body + sizeof *in;

    answer_made(r, mknodat(r->node->fd, name, in->mode, in->rdev), name);
}

static void do_link(const struct request *r)
{
    const struct fuse_link_in *in = (const void *)r->body;
    const struct node *from = node_of(r->mount, in->oldnodeid);
    const char *name = r->body + sizeof *in;
    char path[64];

    if (from == NULL) {
        answer_error(r, ESTALE);
        return;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", from->fd);
    answer_made(r, linkat(AT_FDCWD, path, r->node->fd, name, AT_SYMLINK_FOLLOW), name);
}

static void do_rename(const struct request *r)
{
    const struct fuse_rename2_in *in = (const void *)r->body;
    bool is_second = r->head->opcode == FUSE_RENAME2;
    const struct node *to = node_of(r->mount, in->newdir);
    const char *from = r->body + (is_second ? sizeof *in : sizeof(struct fuse_rename_in));
    const char *name = from + strlen(from) + 1;

    if (to == NULL)
        answer_error(r, ESTALE);
    else if (is_second && in->flags != 0)
        answer_error(r, EINVAL); /* as NFS */
    else
        answer_status(r, renameat(r->node->fd, from, to->fd, name));
}

static void answer_opened(const struct request *r, int fd)
{
    const struct fuse_open_out out = {.fh = (uint64_t)fd};

    if (fd < 0)
        answer_error(r, errno);
    else
        answer_data(r, &out, sizeof out);
}

static void do_open(const struct request *r)
{
    const struct fuse_open_in *in = (const void *)r->body;

    answer_opened(r, reopen(r->node, (int)in->flags & (O_ACCMODE | O_TRUNC)));
}

static void do_create(const struct request *r)
{
    const struct fuse_create_in *in = (const void *)r->body;
    const char *name = r->body + sizeof *in;
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out opened;
    } out = {0};
    int flags = ((int)in->flags & (O_ACCMODE | O_TRUNC | O_EXCL)) | O_CREAT | O_NOFOLLOW;
    int fd = openat(r->node->fd, name, flags | O_CLOEXEC, in->mode & 07777);

    if (fd < 0) {
        answer_status(r, -1);
        return;
    }
    if (r->head->uid != 0)
        (void)!fchown(fd, r->head->uid, r->head->gid);
    if (put_entry(r, name, &out.entry) != 0 || out.entry.nodeid == 0) {
        close(fd);
        answer_error(r, ESTALE);
        return;
    }
    out.opened.fh = (uint64_t)fd;
    answer_data(r, &out, sizeof out);
}

static void do_read(const struct request *r)
{
    const struct fuse_read_in *in = (const void *)r->body;
    static char data[MAX_WRITE];
    size_t size = in->size < sizeof data ? in->size : sizeof data;
    ssize_t n = pread((int)in->fh, data, size, (off_t)in->offset);

    if (n < 0)
        answer_error(r, errno);
    else
        answer_data(r, data, (size_t)n);
}

static void do_write(const struct request *r)
{
    const struct fuse_write_in *in = (const void *)r->body;
    ssize_t n = pwrite((int)in->fh, r->body + sizeof *in, in->size, (off_t)in->offset);
    const struct fuse_write_out out = {.size = (uint32_t)n};

    if (n < 0)
        answer_error(r, errno);
    else
        answer_data(r, &out, sizeof out);
}

static void do_statfs(const struct request *r)
{
    struct fuse_statfs_out out = {0};
    struct statvfs st;

    if (fstatvfs(r->node->fd, &st) != 0) {
        answer_error(r, errno);
        return;
    }
    out.st = (struct fuse_kstatfs){.blocks = st.f_blocks, .bfree = st.f_bfree,
                                   .bavail = st.f_bavail, .files = st.f_files,
                                   .ffree = st.f_ffree, .bsize = (uint32_t)st.f_bsize,
                                   .namelen = 255, .frsize = (uint32_t)st.f_frsize};
    answer_data(r, &out, sizeof out);
}

static void do_opendir(const struct request *r)
{
    int fd = reopen(r->node, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct fuse_open_out out = {.fh = (uint64_t)(uintptr_t)dir};

    if (dir == NULL)
        answer_error(r, errno);
    else
        answer_data(r, &out, sizeof out);
}

static void do_readdir(const struct request *r)
{
    const struct fuse_read_in *in = (const void *)r->body;
    DIR *dir = (DIR *)(uintptr_t)in->fh;
    static char out[MAX_WRITE];
    size_t used = 0, room = in->size < sizeof out ? in->size : sizeof out;
    struct dirent *entry;

    if (in->offset == 0)
        rewinddir(dir);
    else
        seekdir(dir, (long)in->offset);
    memset(out, 0, room);
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);
        const struct fuse_dirent made = {.ino = entry->d_ino, .off = (uint64_t)telldir(dir),
                                         .namelen = (uint32_t)len, .type = entry->d_type};
        if (used + size > room)
            break;
        memcpy(out + used, &made, FUSE_NAME_OFFSET);
        memcpy(out + used + FUSE_NAME_OFFSET, entry->d_name, len);
        used += size;
    }
    answer_data(r, out, used);
}

static void do_handle(const struct request *r)
{
    const struct fuse_release_in *in = (const void *)r->body;

    switch (r->head->opcode) {
    case FUSE_RELEASEDIR: closedir((DIR *)(uintptr_t)in->fh); answer_data(r, NULL, 0); break;
    case FUSE_RELEASE: close((int)in->fh); answer_data(r, NULL, 0); break;
    case FUSE_FSYNC: answer_status(r, fsync((int)in->fh)); break;
    default: answer_data(r, NULL, 0); /* flush, fsyncdir */
    }
}

static void do_forgets(const struct request *r)
{
    const struct fuse_batch_forget_in *in = (const void *)r->body;
    const struct fuse_forget_one *each = (const void *)(in + 1);

    for (uint32_t i = 0; i < in->count; i++)
        forget_node(r->mount, each[i].nodeid, each[i].nlookup);
}

static void do_request(const struct request *r)
{
    switch (r->head->opcode) {
    case FUSE_LOOKUP: answer_lookup(r, r->body); break;
    case FUSE_GETATTR: answer_attributes(r); break;
    case FUSE_SETATTR: do_setattr(r); break;
    case FUSE_READLINK: do_readlink(r); break;
    case FUSE_SYMLINK: do_symlink(r); break;
    case FUSE_MKNOD: do_mknod(r); break;
    case FUSE_MKDIR: do_mkdir(r); break;
    case FUSE_UNLINK: answer_status(r, unlinkat(r->node->fd, r->body, 0)); break;
    case FUSE_RMDIR: answer_status(r, unlinkat(r->node->fd, r->body, AT_REMOVEDIR)); break;
    case FUSE_RENAME:
    case FUSE_RENAME2: do_rename(r); break;
    case FUSE_LINK: do_link(r); break;
    case FUSE_OPEN: do_open(r); break;
    case FUSE_CREATE: do_create(r); break;
    case FUSE_READ: do_read(r); break;
    case FUSE_WRITE: do_write(r); break;
    case FUSE_STATFS: do_statfs(r); break;
    case FUSE_OPENDIR: do_opendir(r); break;
    case FUSE_READDIR: do_readdir(r); break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FLUSH:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR: do_handle(r); break;
    default: answer_error(r, ENOSYS);
    }
}

/* --- rules --- */

static const char *const names[] = {
    [FUSE_LOOKUP] = "lookup", [FUSE_GETATTR] = "getattr", [FUSE_SETATTR] = "setattr",
    [FUSE_READLINK] = "readlink", [FUSE_SYMLINK] = "symlink", [FUSE_MKNOD] = "mknod",
    [FUSE_MKDIR] = "mkdir", [FUSE_UNLINK] = "unlink", [FUSE_RMDIR] = "rmdir",
    [FUSE_RENAME] = "rename", [FUSE_LINK] = "link", [FUSE_OPEN] = "open", [FUSE_READ] = "read",
    [FUSE_WRITE] = "write", [FUSE_STATFS] = "statfs", [FUSE_RELEASE] = "release",
    [FUSE_FSYNC] = "fsync", [FUSE_FLUSH] = "flush", [FUSE_OPENDIR] = "opendir",
    [FUSE_READDIR] = "readdir", [FUSE_CREATE] = "create", [FUSE_RENAME2] = "rename",
};

static const char *name_of(uint32_t opcode)
{
    const char *name = opcode < sizeof names / sizeof names[0] ? names[opcode] : NULL;

    return name == NULL ? "other" : name;
}

/* The path that an operation is about, below the folder. */
static void put_request_path(const struct request *r, char path[MAX_PATH])
{
    const char *name = NULL;

    switch (r->head->opcode) {
    case FUSE_LOOKUP:
    case FUSE_SYMLINK:
    case FUSE_UNLINK:
    case FUSE_RMDIR: name = r->body; break;
    case FUSE_MKDIR: name = r->body + sizeof(struct fuse_mkdir_in); break;
    case FUSE_MKNOD: name = r->body + sizeof(struct fuse_mknod_in); break;
    case FUSE_CREATE: name = r->body + sizeof(struct fuse_create_in); break;
    case FUSE_LINK: name = r->body + sizeof(struct fuse_link_in); break;
    case FUSE_RENAME: name = r->body + sizeof(struct fuse_rename_in); break;
    case FUSE_RENAME2: name = r->body + sizeof(struct fuse_rename2_in); break;
    }
    if (name == NULL)
        snprintf(path, MAX_PATH, "%s", r->node->path);
    else
        put_path(r, name, path);
}

static bool names_operation(const char *operations, const char *name)
{
    size_t len = strlen(name);

    if (strcmp(operations, "all") == 0)
        return true;
    for (const char *at = strstr(operations, name); at != NULL; at = strstr(at + 1, name))
        if ((at == operations || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

/* Past the first bytes that are not let through. */
static bool is_beyond(const struct request *r, uint64_t from)
{
    const struct fuse_read_in *in = (const void *)r->body; /* a write begins alike */

    return (r->head->opcode != FUSE_READ && r->head->opcode != FUSE_WRITE) ||
           in->offset + in->size > from;
}

static const struct rule *rule_for(const struct request *r, const char *path)
{
    for (size_t i = 0; i < r->mount->rule_count; i++) {
        const struct rule *rule = &r->mount->rules[i];
        if (names_operation(rule->operations, name_of(r->head->opcode)) &&
            strstr(path, rule->path) != NULL && is_beyond(r, rule->from))
            return rule;
    }
    return NULL;
}

static void hold_request(struct mounted *m, const struct fuse_in_header *head)
{
    char *copy = m->held_count == MAX_HELD ? NULL : malloc(head->len);

    if (copy == NULL)
        return; /* hangs until the mount is gone */
    memcpy(copy, head, head->len);
    m->held[m->held_count++] = copy;
}

static bool is_stale(const struct request *r)
{
    struct stat st;

    return r->mount->is_strict && r->head->opcode != FUSE_RELEASE &&
           r->head->opcode != FUSE_RELEASEDIR && fstat(r->node->fd, &st) == 0 && st.st_nlink == 0;
}

static void take_request(struct mounted *m, const struct fuse_in_header *head)
{
    const struct request r = {m, head, (const char *)(head + 1), node_of(m, head->nodeid)};
    const struct fuse_forget_in *forget = (const void *)r.body;
    char path[MAX_PATH];
    const struct rule *rule;

    switch (head->opcode) {
    case FUSE_INIT: do_init(&r); return;
    case FUSE_FORGET: forget_node(m, head->nodeid, forget->nlookup); return;
    case FUSE_BATCH_FORGET: do_forgets(&r); return;
    case FUSE_INTERRUPT: return; /* as with a server that is gone: it waits on */
    }
    if (r.node == NULL || is_stale(&r)) {
        answer_error(&r, ESTALE);
        return;
    }
    put_request_path(&r, path);
    rule = rule_for(&r, path);
    if (rule == NULL) {
        do_request(&r);
        return;
    }
    printf("%s %d %s %s\n", rule->error == 0 ? "held" : "failed", (int)(m - mounts),
           name_of(head->opcode), path);
    if (rule->error == 0)
        hold_request(m, head);
    else
        answer_error(&r, rule->error);
}

static void receive_request(struct mounted *m)
{
    ssize_t n = read(m->fd, request_buffer, sizeof request_buffer);

    if (n >= (ssize_t)sizeof(struct fuse_in_header))
        take_request(m, (const void *)request_buffer);
    else if (n < 0 && errno == ENODEV) { /* unmounted by somebody else */
        close(m->fd);
        m->fd = -1;
    }
}

/* --- commands --- */

static void drop_nodes(struct mounted *m)
{
    for (size_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i]->fd >= 0)
            close(m->nodes[i]->fd);
        free(m->nodes[i]);
    }
    m->node_count = 0;
}

static void unmount(struct mounted *m)
{
    if (m->fd < 0)
        return;
    umount2(m->path, MNT_DETACH);
    close(m->fd); /* ends the connection: whoever waits fails */
    m->fd = -1;
    for (size_t i = 0; i < m->held_count; i++)
        free(m->held[i]);
    m->held_count = m->rule_count = 0;
    drop_nodes(m);
}

static int mount_at(struct mounted *m, const char *path)
{
    char options[128];
    struct stat st;
    int root = open(backing, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0 || fstat(root, &st) != 0)
        return -1;
    add_node(m, root, &st, "");
    m->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (m->fd < 0)
        return -1;
    snprintf(m->path, sizeof m->path, "%s", path);
    snprintf(options, sizeof options,
             "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", m->fd);
    if (mount("nfs_double", path, "fuse", MS_NOSUID | MS_NODEV, options) == 0)
        return 0;
    close(m->fd);
    m->fd = -1;
    return -1;
}

static void clear_rules(struct mounted *m)
{
    size_t count = m->held_count;

    m->rule_count = m->held_count = 0;
    for (size_t i = 0; i < count; i++) {
        char *held = m->held[i];
        take_request(m, (const void *)held);
        free(held);
    }
}

static const char *add_rule(struct mounted *m, const char *words)
{
    struct rule *rule = &m->rules[m->rule_count];
    unsigned long long from;
    int end = 0;

    if (m->rule_count == MAX_RULES)
        return "too many rules";
    if (sscanf(words, "%d %255s %llu %n", &rule->error, rule->operations, &from, &end) != 3)
        return "want ERROR OPERATIONS FROM PATH";
    rule->from = from;
    snprintf(rule->path, sizeof rule->path, "%s", words + end);
    m->rule_count++;
    return NULL;
}

/* NULL, or what is wrong. */
static const char *do_command(const char *line)
{
    char verb[16], *rest;
    int number = -1, end = 0;

    if (sscanf(line, "%15s %d %n", verb, &number, &end) != 2 || number < 0 || number >= MAX_MOUNTS)
        return "want a verb and the number of a mount";
    struct mounted *m = &mounts[number];
    rest = (char *)line + end;
    if (strcmp(verb, "mount") == 0)
        return m->fd < 0 && mount_at(m, rest) == 0 ? NULL : strerror(errno);
    if (strcmp(verb, "unmount") == 0)
        unmount(m);
    else if (strcmp(verb, "cache") == 0)
        m->cache_ms = strtol(rest, NULL, 10);
    else if (strcmp(verb, "strict") == 0)
        m->is_strict = strcmp(rest, "1") == 0;
    else if (strcmp(verb, "rule") == 0)
        return add_rule(m, rest);
    else if (strcmp(verb, "clear") == 0)
        clear_rules(m);
    else
        return "no such verb";
    return NULL;
}

/* False at the end of standard input. */
static bool take_commands(void)
{
    static char line[MAX_LINE];
    static size_t used;
    ssize_t n = read(STDIN_FILENO, line + used, sizeof line - 1 - used);
    char *end;

    if (n <= 0)
        return false;
    used += (size_t)n;
    line[used] = '\0';
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        const char *wrong = do_command(line);
        printf(wrong == NULL ? "ok\n" : "error: %s\n", wrong);
        used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, used + 1);
    }
    return used < sizeof line - 1;
}

int main(int argc, char **argv)
{
    struct pollfd waiting[MAX_MOUNTS + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    bool goes_on = true;

    if (argc != 2) {
        fputs("usage: nfs_double FOLDER\n", stderr);
        return 2;
    }
    backing = argv[1];
    umask(0);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (int i = 0; i < MAX_MOUNTS; i++)
        mounts[i].fd = -1;
    while (goes_on) {
        for (int i = 0; i < MAX_MOUNTS; i++)
            waiting[i + 1] = (struct pollfd){.fd = mounts[i].fd, .events = POLLIN};
        if (poll(waiting, MAX_MOUNTS + 1, -1) < 0)
            break;
        for (int i = 0; i < MAX_MOUNTS; i++)
            if (waiting[i + 1].revents != 0)
                receive_request(&mounts[i]);
        goes_on = waiting[0].revents == 0 || take_commands();
    }
    for (int i = 0; i < MAX_MOUNTS; i++)
        unmount(&mounts[i]);
    return 0;
}
