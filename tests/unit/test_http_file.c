/* Files as answers, on file systems that are not as they should be. */
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "http_world.h"

#define H     " HTTP/1.1\r\nHost: h\r\n"
#define CLOSE "Connection: close\r\n"

static int sendfile_errno; /* 0: sendfile works */

/* In the place of the library's. */
ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
    errno = sendfile_errno;
    return errno != 0 ? -1 : syscall(SYS_sendfile, to, from, offset, count);
}

/* "23456", or more than the file has. */
static void on_file(struct http_conn *conn, const struct http_request *request, void *owner)
{
    bool is_too_long = str_ends_with(request->path, STR("long"));
    int fd = fileno(tmpfile());

    (void)owner;
    assert_int_equal(write(fd, "0123456789", 10), 10);
    http_conn_answer_file(conn, &(struct http_answer){.status = 206}, dup(fd), 2,
                          is_too_long ? 50 : 5);
}

static void on_hello(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = STR("hello")});
}

static const struct http_route routes[] = {
    {"GET", "/file", 0, NULL, on_file, false, false, NULL},
    {"GET", "/long", 0, NULL, on_file, false, false, NULL},
    {"GET", "/hello", 0, on_hello, NULL, false, false, NULL},
};

static void keep_line(void *ctx, const char *line, size_t len)
{
    buf_append(ctx, line, len);
}

/* A client that does not get all that was promised gets nothing else; the log tells why. */
static const struct file_case {
    const char *name, *path;
    int sendfile_errno;
    const char *log; /* NULL: all is sent */
} file_cases[] = {
    {"as it should be", "/file", 0, NULL},
    {"without sendfile", "/file", EINVAL, NULL},
    {"without sendfile in this kernel", "/file", ENOSYS, NULL},
    {"a disk that fails", "/file", EIO, " at 2: "},
    {"cut short", "/long", 0, " at 10: it became shorter"},
    {"cut short, without sendfile", "/long", EINVAL, " at 10: it became shorter"},
    {"a client that is gone", "/file", ECONNRESET, ""},
};

static void check_file(const struct file_case *c)
{
    struct http_world w = {.options = {.routes = routes,
                                       .route_count = UNIT_COUNT(routes),
                                       .times = http_server_times()}};
    struct buf text = {0}, lines = {0}, summary = {0};

    buf_printf(&text, "GET %s" H "\r\nGET /hello" H CLOSE "\r\n", c->path);
    sendfile_errno = c->sendfile_errno;
    log_set_sink(keep_line, &lines);
    world_open(&w);
    world_talk(&w, c->name, buf_str(&text), 0, text.len);
    log_set_sink(NULL, NULL);
    unit_true(c->name, w.is_ended);
    if (c->log == NULL) {
        world_summary(&w, false, &summary);
        unit_equal(c->name, buf_cstr(&summary), "206 23456 | 200 hello");
    } else {
        unit_true(c->name, strstr(buf_cstr(&w.got), "hello") == NULL);
    }
    unit_true(c->name, (strstr(buf_cstr(&lines), "error cannot read /") != NULL) ==
                           (c->log != NULL && c->log[0] != '\0'));
    unit_true(c->name, c->log == NULL || strstr(buf_cstr(&lines), c->log) != NULL);
    world_close(&w);
    buf_free(&text);
    buf_free(&lines);
    buf_free(&summary);
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(file_cases); i++)
        check_file(&file_cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
