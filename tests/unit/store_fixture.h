/* A store in a folder of its own, for the tests of src/store/. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "store/store.h"
#include "unit.h"

struct fixture {
    char dir[64];
    struct store store;
};

static inline int fixture_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e;
    char path[96];

    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "/tmp/kachery-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(path, sizeof path, "%s/store", f->dir);
    setenv("KACHERY_CLOUD_DIR", path, 1);
    unsetenv("KACHERY_CLOUD_USE_SANDBOX");
    assert_int_equal(store_init(&f->store, &e), 0);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    int result = unit_wait_for_children(state);

    nftw(f->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    store_deinit(&f->store);
    free(f);
    return result;
}

/* <dir>/<name> in a static buffer; four may be in use at a time. */
static inline const char *fixture_path(const struct fixture *f, const char *name)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", f->dir, name);
    return path;
}

/* Writes a file with its parents, and gives it a modification time. */
static inline const char *fixture_write(const struct fixture *f, const char *name,
                                        struct str content, int64_t mtime_s)
{
    const char *path = fixture_path(f, name);
    struct timespec times[2] = {{.tv_sec = mtime_s, .tv_nsec = 123456789},
                                {.tv_sec = mtime_s, .tv_nsec = 123456789}};
    struct err e;

    assert_int_equal(dirs_make_parents(path, &e), 0);
    assert_int_equal(newfile_put(path, content, 0, &e), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    return path;
}

/* The content of a file as a malloc'ed string; NULL when it is not there. */
static inline char *fixture_read(const char *path)
{
    struct buf b = {0};
    struct err e;

    if (fs_read_file(path, 1 << 24, &b, &e) != 0)
        return NULL;
    return buf_take(&b);
}

static size_t fixture_files;
static inline int fixture_count_one(const char *path, const struct stat *st, int type,
                                    struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    fixture_files += type == FTW_F;
    return 0;
}

/* How many files are in the store, whatever their names. */
static inline size_t fixture_count(const struct fixture *f)
{
    fixture_files = 0;
    nftw(f->store.dir, fixture_count_one, 16, FTW_PHYS);
    return fixture_files;
}

#endif
