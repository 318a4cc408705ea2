/* Files and paths, in a temporary folder that every case starts with and that is removed after. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/fs.h"
#include "base/newfile.h"

static char folder[] = "/tmp/test_fs.XXXXXX";

static int enter(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '.'), ".XXXXXX", sizeof ".XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static int leave(void **state)
{
    (void)state;
    return chdir("/") != 0 || nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0;
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

static void assert_content(const char *path, const char *want)
{
    struct buf content = {0};
    struct err e = {0};

    if (fs_read_file(path, 1000, &content, &e) != 0)
        fail_msg("%s", e.msg);
    unit_equal(path, buf_cstr(&content), want);
    buf_free(&content);
}

static void test_make_dirs(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(dirs_make("a/b/c", &e), 0);
    assert_int_equal(dirs_make("a/b/c", &e), 0);
    assert_int_equal(dirs_make("a//b/./d/", &e), 0);
    assert_int_equal(access("a/b/c", F_OK) | access("a/b/d", F_OK), 0);
    assert_int_equal(dirs_make_parents("x/y/file", &e), 0);
    assert_int_equal(access("x/y", F_OK), 0);
    assert_int_not_equal(access("x/y/file", F_OK), 0);
    assert_int_equal(dirs_make_parents("file", &e), 0);
    assert_int_equal(dirs_make_parents("/file", &e), 0);
    assert_int_equal(newfile_put("plain", STR(""), 0, &e), 0);
    assert_int_equal(dirs_make("plain/deeper/still", &e), -1);
    unit_equal("through a file", e.msg, "cannot create directory plain: Not a directory");
}

static void test_read_errors(void **state)
{
    struct buf out = {0};
    struct err e = {0};

    (void)state;
    buf_puts(&out, "kept");
    assert_int_equal(fs_read_file("none", 10, &out, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    unit_equal("absent", e.msg, "cannot open none: No such file or directory");
    assert_int_equal(fs_read_file(".", 10, &out, &e), -1);
    unit_equal("directory", e.msg, ".: not a regular file");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(fs_read_file("fifo", 10, &out, &e), -1);
    unit_equal("fifo", e.msg, "fifo: not a regular file");
    assert_int_equal(newfile_put("eleven", STR("12345678901"), 0, &e), 0);
    assert_int_equal(fs_read_file("eleven", 10, &out, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    unit_equal("limit", e.msg, "eleven: more than 10 bytes");
    unit_equal("output unchanged", buf_cstr(&out), "kept");
    assert_int_equal(fs_read_file("eleven", 11, &out, &e), 0);
    unit_equal("appended", buf_cstr(&out), "kept12345678901");
    buf_free(&out);
}

/* What buf_path gives without memory fails, and is never taken for what is not there. */
static void test_no_path(void **state)
{
    struct buf out = {0};
    struct err e = {0}, mine = {0};
    struct newfile file = NEWFILE_NONE;
    struct stat st;
    int64_t now_ms;

    (void)state;
    assert_int_equal(fs_read_file(NULL, 10, &out, &e), -1);
    assert_int_equal(e.code, ERR_FAILED);
    unit_equal("cause", e.msg, "out of memory");
    err_set(&mine, ERR_TOO_LARGE, "the caller's own");
    assert_int_equal(fs_read_stat(NULL, true, 10, &out, &st, &mine), -1);
    unit_equal("kept", mine.msg, "the caller's own");
    assert_int_equal(newfile_put(NULL, STR("x"), NEWFILE_DURABLE, ERR_IGNORED), -1);
    assert_int_equal(dirs_make(NULL, ERR_IGNORED), -1);
    assert_int_equal(dirs_make_parents(NULL, ERR_IGNORED), -1);
    assert_int_equal(newfile_open(&file, NULL, 0600, ERR_IGNORED), -1);
    assert_int_equal(newfile_time_beside(NULL, &now_ms, ERR_IGNORED), -1);
    assert_int_equal(fs_sync_file(NULL, ERR_IGNORED), -1);
    assert_int_equal(fs_sync_parent(NULL, ERR_IGNORED), -1);
    assert_int_equal(fs_absolute_path(NULL, &out, ERR_IGNORED), -1);
    assert_int_equal(out.len, 0);
}

static void test_write_file(void **state)
{
    struct err e = {0};
    struct stat st;
    mode_t mask = umask(027);

    (void)state;
    assert_int_equal(newfile_put("new", STR("one"), NEWFILE_DURABLE, &e), 0);
    assert_content("new", "one");
    assert_int_equal(stat("new", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(newfile_put("new", STR("two"), NEWFILE_PRIVATE | NEWFILE_DURABLE, &e), 0);
    assert_content("new", "two");
    assert_int_equal(stat("new", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(count_entries("."), 1);
    assert_int_equal(newfile_put("no/folder", STR("x"), 0, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    unit_equal("no folder", e.msg, "cannot create no/folder: No such file or directory");
    umask(mask);
}

/* Where the rename fails, the temporary goes. */
static void test_write_over_directory(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(dirs_make("dir/full", &e), 0);
    assert_int_equal(newfile_put("dir", STR("x"), NEWFILE_DURABLE, &e), -1);
    unit_equal("over a directory", e.msg, "cannot rename to dir: Is a directory");
    assert_int_equal(count_entries("."), 1);
}

/* A file size limit stands for a full disk: the write is cut, then refused. */
static void test_write_past_limit(void **state)
{
    struct rlimit small = {1000, 1000};
    char data[5000] = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(newfile_put("kept", STR("old"), 0, &e), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        int status = newfile_put("kept", (struct str){data, sizeof data}, NEWFILE_DURABLE, &e);
        _exit(status == -1 && strncmp(e.msg, "cannot write kept: File too large", 33) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_content("kept", "old");
    assert_int_equal(count_entries("."), 1);
}

/* What nobody reads yet: under its own name where there is none, else as always. */
static void test_write_fresh(void **state)
{
    struct rlimit small = {10, 10};
    struct err e = {0};
    struct stat old, st;
    int status;

    (void)state;
    assert_int_equal(newfile_put("new", STR("one"), NEWFILE_FRESH | NEWFILE_OWN, &e), 0);
    assert_content("new", "one");
    assert_int_equal(link("new", "other name"), 0);
    assert_int_equal(stat("new", &old), 0);
    assert_int_equal(newfile_put("new", STR("two"), NEWFILE_FRESH | NEWFILE_OWN, &e), 0);
    assert_content("new", "two");
    assert_content("other name", "one");
    assert_int_equal(stat("new", &st), 0);
    assert_int_not_equal(st.st_ino, old.st_ino);
    assert_int_equal(symlink("nowhere", "link"), 0);
    assert_int_equal(newfile_put("link", STR("three"), NEWFILE_FRESH, &e), 0);
    assert_int_equal(lstat("link", &st) == 0 && S_ISREG(st.st_mode), 1);
    assert_int_equal(access("nowhere", F_OK), -1);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        _exit(newfile_put("cut", STR("more than ten bytes"), NEWFILE_FRESH, &e) == -1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_entries("."), 3);
}

/* The base name leaves no room for ".tmp.XXXXXXXX". */
static void test_long_name(void **state)
{
    char name[NAME_MAX + 1];
    struct err e = {0};

    (void)state;
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    assert_int_equal(newfile_put(name, STR("long"), 0, &e), 0);
    assert_content(name, "long");
    assert_int_equal(count_entries("."), 1);
}

static void test_temporary(void **state)
{
    struct newfile f = NEWFILE_NONE;
    struct err e = {0};

    (void)state;
    assert_int_equal(newfile_open(&f, "result", 0600, &e), 0);
    assert_true(str_starts_with(buf_str(&f.name), STR("result.tmp.")));
    assert_int_equal(f.name.len, strlen("result.tmp.01234567"));
    assert_true(newfile_is_temporary(buf_str(&f.name)));
    assert_int_equal(access(f.name.data, F_OK), 0);
    assert_int_equal(fcntl(f.fd, F_GETFD), FD_CLOEXEC);
    newfile_discard(&f);
    assert_int_equal(count_entries("."), 0);
    newfile_discard(&f);
}

static void test_ends_of_a_new_file(void **state)
{
    struct newfile f = NEWFILE_NONE;
    struct err e = {0};
    char name[64];

    (void)state;
    assert_int_equal(newfile_open(&f, "result", 0600, &e), 0);
    assert_int_equal(newfile_write(&f, STR("whole"), "result", &e), 0);
    assert_int_equal(access("result", F_OK), -1);
    assert_int_equal(newfile_commit(&f, true, "result", &e), 0);
    assert_content("result", "whole");
    assert_int_equal(count_entries("."), 1);
    assert_true(f.fd == -1 && f.name.len == 0);

    assert_int_equal(newfile_open(&f, "result", 0600, &e), 0);
    assert_int_equal(newfile_commit(&f, true, "no/folder", &e), -1);
    assert_non_null(strstr(e.msg, "cannot rename to no/folder"));
    assert_int_equal(count_entries("."), 1);

    assert_int_equal(newfile_open(&f, "result", 0600, &e), 0);
    snprintf(name, sizeof name, "%s", f.name.data);
    assert_int_equal(newfile_close(&f, false, name, &e), 0);
    newfile_leave(&f);
    assert_int_equal(access(name, F_OK), 0);
    assert_int_equal(unlink(name) | unlink("result"), 0);
}

static int removed_count;

static void count_removed(const char *name)
{
    assert_string_equal(name, "one");
    removed_count++;
}

/* Its folder is not the final one's, its lock decides whether it is abandoned. */
static void test_held(void **state)
{
    struct newfile f = NEWFILE_NONE, other = NEWFILE_NONE;
    struct err e = {0};

    (void)state;
    removed_count = 0;
    assert_int_equal(mkdir("new", 0700), 0);
    assert_int_equal(newfile_open_held(&f, "new/one", 0666), 0);
    assert_int_equal(fcntl(f.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(newfile_open_held(&other, "new/one", 0666), -1);
    assert_int_equal(errno, EEXIST);
    assert_true(other.fd == -1 && other.name.len == 0);
    assert_int_equal(newfile_open_held(&other, "no/folder", 0666), -1);
    assert_int_equal(errno, ENOENT);
    newfile_clean_held("new", count_removed);
    assert_int_equal(newfile_write(&f, STR("whole"), "result", &e), 0);
    assert_int_equal(newfile_rename(&f, "no/folder"), -1);
    assert_int_equal(newfile_rename(&f, "result"), 0);
    newfile_discard(&f);
    assert_content("result", "whole");
    assert_int_equal(count_entries("new"), 0);

    assert_int_equal(newfile_open_held(&f, "new/one", 0666), 0);
    newfile_leave(&f); /* as a process that is killed */
    newfile_clean_held("new/", count_removed);
    assert_int_equal(removed_count, 1);
    assert_int_equal(count_entries("new"), 0);
    newfile_clean_held("no", count_removed);
    newfile_clean_held(NULL, count_removed);
}

static void test_errno_of_write(void **state)
{
    struct newfile full = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC)};

    (void)state;
    assert_true(full.fd >= 0);
    assert_int_equal(newfile_write(&full, STR("x"), "result", ERR_IGNORED), -1);
    assert_int_equal(errno, ENOSPC);
    newfile_leave(&full);
}

/* The reader takes its time: every write is partial, then would block. */
static void test_write_all_to_pipe(void **state)
{
    enum { TOTAL = 1000000 };
    char *data = calloc(1, TOTAL);
    struct err e = {0};
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    pid_t child = fork();
    if (child == 0) {
        size_t total = 0;
        ssize_t n;
        close(fds[1]);
        while ((n = read(fds[0], data, 1000)) > 0)
            total += (size_t)n;
        _exit(total == TOTAL ? 0 : 1);
    }
    close(fds[0]);
    assert_int_equal(fs_write_all(fds[1], (struct str){data, TOTAL}, "pipe", &e), 0);
    close(fds[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fs_write_all(fds[1], STR("x"), "the pipe", &e), -1);
    unit_equal("closed", e.msg, "cannot write the pipe: Bad file descriptor");
    free(data);
}

/* `want` of relative paths is what follows the working directory. */
static const struct path_case {
    const char *name, *path, *want;
} path_cases[] = {
    {"absolute verbatim", "/a//b/../c/.", "/a//b/../c/."},
    {"plain", "file", "/d/e/file"},
    {"dot", "./file", "/d/e/file"},
    {"slashes", "x///y//", "/d/e/x/y"},
    {"up", "../file", "/d/file"},
    {"up inside", "x/../y", "/d/e/y"},
    {"the folder itself", ".", "/d/e"},
    {"name of dots", ".../..x", "/d/e/.../..x"},
    {"leading dash", "-file", "/d/e/-file"},
};

static void test_absolute(void **state)
{
    struct buf got = {0}, want = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(dirs_make("d/e", &e) | chdir("d/e"), 0);
    for (size_t i = 0; i < UNIT_COUNT(path_cases); i++) {
        const struct path_case *c = &path_cases[i];
        buf_clear(&want);
        buf_clear(&got);
        if (c->path[0] != '/')
            buf_puts(&want, folder);
        buf_puts(&want, c->want);
        unit_true(c->name, fs_absolute_path(c->path, &got, &e) == 0);
        unit_equal(c->name, buf_cstr(&got), buf_cstr(&want));
    }
    buf_clear(&got);
    assert_int_equal(fs_absolute_path("../../../../../../x", &got, &e), 0);
    unit_equal("above the root", buf_cstr(&got), "/x");
    buf_clear(&got);
    assert_int_equal(fs_absolute_path("../../../../../..", &got, &e), 0);
    unit_equal("the root", buf_cstr(&got), "/");
    assert_int_equal(fs_absolute_path("", &got, &e), -1);
    assert_int_equal(chdir("/"), 0);
    buf_clear(&got);
    assert_int_equal(fs_absolute_path("x", &got, &e), 0);
    unit_equal("in the root", buf_cstr(&got), "/x");
    buf_free(&got);
    buf_free(&want);
}

static void test_mtime(void **state)
{
    struct stat st = {0};

    (void)state;
    st.st_mtim.tv_sec = 1795336612;
    st.st_mtim.tv_nsec = 300728334;
    assert_true(fs_mtime(&st) == 1795336612.3007283);
    st.st_mtim.tv_nsec = 1;
    assert_true(fs_mtime(&st) == 1795336612.0);
}

static const struct printable_case {
    const char *name, *text, *want;
} printable_cases[] = {
    {"plain", "/data/a b.nwb", "/data/a b.nwb"},
    {"tab, newline, escape, DEL", "a\tb\nc\x1b[31m\x7f", "a\\x09b\\x0ac\\x1b[31m\\x7f"},
    {"UTF-8", "naïve €𝄞", "naïve €𝄞"},
    {"C1 as UTF-8", "a\xc2\x9b[31m", "a\\xc2\\x9b[31m"},
    {"C1 alone", "a\x9b[31m", "a\\x9b[31m"},
    {"Latin-1", "caf\xe9", "caf\xe9"},
    {"end of a cut sequence", "\xe2\x82", "\xe2\\x82"},
};

static void test_printable(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(printable_cases); i++) {
        buf_clear(&out);
        fs_put_printable(&out, str_of(printable_cases[i].text));
        unit_equal(printable_cases[i].name, buf_cstr(&out), printable_cases[i].want);
    }
    buf_clear(&out);
    fs_put_printable(&out, STR("nul\0byte"));
    unit_equal("NUL", buf_cstr(&out), "nul\\x00byte");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_make_dirs, enter, leave),
        cmocka_unit_test_setup_teardown(test_read_errors, enter, leave),
        cmocka_unit_test(test_no_path),
        cmocka_unit_test_setup_teardown(test_write_file, enter, leave),
        cmocka_unit_test_setup_teardown(test_write_over_directory, enter, leave),
        cmocka_unit_test_setup_teardown(test_write_past_limit, enter, leave),
        cmocka_unit_test_setup_teardown(test_write_fresh, enter, leave),
        cmocka_unit_test_setup_teardown(test_long_name, enter, leave),
        cmocka_unit_test_setup_teardown(test_ends_of_a_new_file, enter, leave),
        cmocka_unit_test_setup_teardown(test_temporary, enter, leave),
        cmocka_unit_test_setup_teardown(test_held, enter, leave),
        cmocka_unit_test(test_errno_of_write),
        cmocka_unit_test_setup_teardown(test_write_all_to_pipe, enter, leave),
        cmocka_unit_test_setup_teardown(test_absolute, enter, leave),
        cmocka_unit_test(test_mtime),
        cmocka_unit_test(test_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
