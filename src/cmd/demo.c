/*
 * demo: the whole job on loopback, with the real commands in processes of their own: a hub, a host
 * that shares two files, somebody elsewhere who asks for one, and a third who reads a part of the
 * other.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/dirs.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/random.h"
#include "base/setting.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/demo_process.h"
#include "cmd/demo_story.h"

enum {
    DEMO_RANDOM_BYTES = 8 << 20,
    DEMO_MAX_OUTPUT = 65536,
    DEMO_LOG_TAIL_LINES = 20,
    DEMO_PART_START = DEMO_RANDOM_BYTES / 2,
    DEMO_PART_BYTES = 1000,
    DEMO_STATUS_MS = 30000,
    DEMO_STATUS_LOOK_MS = 100
};

struct demo {
    struct demo_processes processes;
    struct demo_story story;
    bool is_kept;
    char *folder;
    char *file, *copy; /* the file that is shared, and the one that came back */
    struct demo_place hub, host, remote, third;
    char *hub_log, *daemon_log, *output_file, *status_file;
    char *url, *uri;
    char *second_file, *second_uri; /* that is never uploaded */
    struct buf output; /* the output of the last command */
    const char *step;  /* the step at hand, for errors */
    int64_t size;      /* of the file */
};

/* printf to a new string; the caller frees. Without memory for it the demo ends here; its processes
 * are told by the kernel. */
static char *make_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *make_text(const char *format, ...)
{
    char *out = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&out, format, args) < 0) {
        fputs("kachery-resource demo: out of memory\n", stderr);
        exit(CMD_FAILED);
    }
    va_end(args);
    return out;
}

static struct demo_command command_at(const struct demo_place *place, const char *const *arguments,
                                      const char *output)
{
    return (struct demo_command){place->directory, (const char *const *)place->environment,
                                 arguments, output};
}

/* The arguments and -q in `with`, which has room for DEMO_MAX_ARGUMENTS and NULL. */
static const char *const *add_quiet(const char *const *arguments, const char **with)
{
    size_t n = 0;

    for (; n + 1 < DEMO_MAX_ARGUMENTS && arguments[n] != NULL; n++)
        with[n] = arguments[n];
    with[n] = "-q";
    with[n + 1] = NULL;
    return with;
}

/* Runs one command there to its end, d->output gets what it printed; it must exit with `want`. */
static int run_to_end(struct demo *d, const struct demo_place *place,
                      const char *const *arguments, int want, int64_t *took_ms, struct err *e)
{
    const char *with[DEMO_MAX_ARGUMENTS + 1], *const *words = arguments;
    int64_t started_ms = clock_now_ms();
    int status;

    if (d->story.is_quiet)
        words = add_quiet(arguments, with);
    struct demo_command command = command_at(place, words, d->output_file);
    d->step = arguments[0];
    demo_story_typed(&d->story, place, "kachery-resource", arguments, "");
    if (demo_processes_run(&d->processes, &command, &status, e) != 0)
        return -1;
    *took_ms = clock_now_ms() - started_ms;
    buf_clear(&d->output);
    if (fs_read_file(d->output_file, DEMO_MAX_OUTPUT, &d->output, e) != 0)
        return -1;
    if (status == want)
        return 0;
    demo_story_result(&d->story, buf_str(&d->output), *took_ms, 0);
    return err_set(e, ERR_FAILED, "exit status %d, want %d", status, want);
}

/* The same, and shows what it printed. */
static int run_and_show(struct demo *d, const struct demo_place *place,
                        const char *const *arguments, int want, int64_t bytes, struct err *e)
{
    int64_t took_ms;

    if (run_to_end(d, place, arguments, want, &took_ms, e) != 0)
        return -1;
    demo_story_result(&d->story, buf_str(&d->output), took_ms, bytes);
    return 0;
}

/* Starts a server there and waits for `ready` in its log; that line is then d->output. */
static int serve_until_ready(struct demo *d, const struct demo_place *place,
                             const char *const *arguments, const char *log, const char *ready,
                             struct err *e)
{
    struct demo_command command = command_at(place, arguments, log);
    int64_t started_ms = clock_now_ms();
    char *after = make_text(" > %s 2>&1 &", strrchr(log, '/') + 1);
    int status;

    d->step = arguments[0];
    buf_clear(&d->output);
    demo_story_typed(&d->story, place, "nohup kachery-resource", arguments, after);
    free(after);
    status = demo_processes_serve(&d->processes, arguments[0], &command, ready, &d->output, e);
    if (status == 0)
        demo_story_result(&d->story, buf_str(&d->output), clock_now_ms() - started_ms, 0);
    return status;
}

/* The four folders; nothing is set from outside but where temporary files go. */
static int make_demo_folder(struct demo *d, struct err *e)
{
    struct buf path = {0};
    char *base;

    if (setting_path("TMPDIR", &base, e) != 0)
        return -1;
    buf_puts(&path, base == NULL ? "/tmp" : base);
    free(base);
    if (place_check(buf_path(&path, e), e) != 0) {
        buf_free(&path);
        return -1;
    }
    buf_puts(&path, "/kachery-demo.XXXXXX");
    char *folder = buf_take(&path);
    if (folder == NULL || mkdtemp(folder) == NULL) {
        cause_create(e, errno, folder == NULL ? "/tmp" : folder, NULL);
        free(folder);
        return -1;
    }
    d->folder = folder;
    d->hub = (struct demo_place){.prompt = "hub", .directory = make_text("%s/hub", folder)};
    d->host = (struct demo_place){.prompt = "host", .directory = make_text("%s/host", folder)};
    d->remote =
        (struct demo_place){.prompt = "elsewhere", .directory = make_text("%s/elsewhere", folder)};
    d->third = (struct demo_place){.prompt = "third", .directory = make_text("%s/third", folder)};
    d->second_file = make_text("%s/second.dat", d->host.directory);
    d->status_file = make_text("%s/kachery-resource.status.json", d->host.directory);
    d->hub_log = make_text("%s/hub.log", d->hub.directory);
    d->daemon_log = make_text("%s/share.log", d->host.directory);
    d->output_file = make_text("%s/output", folder);
    d->copy = make_text("%s/copy", d->remote.directory);
    if (dirs_make(d->hub.directory, e) != 0 || dirs_make(d->host.directory, e) != 0)
        return -1;
    return dirs_make(d->third.directory, e) != 0 ? -1 : dirs_make(d->remote.directory, e);
}

/* Both sides know the proxy's secret. */
static int make_demo_secret(const struct demo *d, struct err *e)
{
    char secret[33], *path = make_text("%s/secret", d->folder);

    random_hex(secret, 32);
    int status = newfile_put(path, str_of(secret), NEWFILE_PRIVATE, e);
    free(path);
    return status;
}

static int make_random_file(const char *path, struct err *e)
{
    char *data = malloc(DEMO_RANDOM_BYTES);

    if (data == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    random_bytes(data, DEMO_RANDOM_BYTES);
    int status = newfile_put(path, (struct str){data, DEMO_RANDOM_BYTES}, 0, e);
    free(data);
    return status;
}

/* The file to share, as an absolute path. */
static int choose_file(struct demo *d, const char *given, struct err *e)
{
    struct buf path = {0};
    struct stat st;

    if (given == NULL) {
        d->file = make_text("%s/random.dat", d->host.directory);
        if (make_random_file(d->file, e) != 0)
            return -1;
    } else {
        if (fs_absolute_path(given, &path, e) != 0)
            return -1;
        d->file = buf_take(&path);
    }
    if (d->file == NULL || stat(d->file, &st) != 0)
        return err_errno(e, ERR_NOT_FOUND, errno, "cannot open %s", given);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FAILED, "%s: not a regular file", given);
    d->size = st.st_size;
    return 0;
}

/* Once the hub's address is known. */
static void set_environments(struct demo *d)
{
    d->host.environment[0] = make_text("KACHERY_CLOUD_DIR=%s/store", d->host.directory);
    d->host.environment[1] = make_text("KACHERY_GATEWAY_URL=%s", d->url);
    d->remote.environment[0] = make_text("KACHERY_CLOUD_DIR=%s/store", d->remote.directory);
    d->remote.environment[1] = make_text("KACHERY_GATEWAY_URL=%s", d->url);
    d->remote.environment[2] = make_text("KACHERY_RESOURCE_URL=%s/r/demo", d->url);
    d->third.environment[0] = make_text("KACHERY_CLOUD_DIR=%s/store", d->third.directory);
    d->third.environment[1] = make_text("KACHERY_GATEWAY_URL=%s", d->url);
}

static int start_demo_hub(struct demo *d, struct err *e)
{
    static const char ready[] = "listening ";

    demo_story_line(&d->story,
                    "\nThe hub, a lab's own server: resource proxy and zone on one port");
    demo_story_place(&d->story, &d->hub);
    if (serve_until_ready(d, &d->hub,
                          ARGUMENTS("hub", "--listen", "127.0.0.1:0", "--data", "zone",
                                    "--open-registration", "--secret-file", "../secret"),
                          d->hub_log, ready, e) != 0)
        return -1;
    const char *url = strstr(cmd_words(&d->output), ready);
    if (url == NULL)
        return err_set(e, ERR_FAILED, "no URL in its output");
    url += strlen(ready);
    d->url = make_text("%.*s", (int)strcspn(url, " "), url);
    set_environments(d);
    return 0;
}

/* The URI that `link` printed. */
static int take_uri(const struct demo *d, char **uri, struct err *e)
{
    struct str line = buf_str(&d->output);

    *uri = make_text("%.*s", STR_ARG(str_slice(line, 0, str_find(line, '\t'))));
    return str_starts_with(str_of(*uri), STR("sha1://"))
               ? 0
               : err_set(e, ERR_FAILED, "no URI in its output");
}

static int start_demo_host(struct demo *d, struct err *e)
{
    demo_story_line(&d->story,
                    "\nThe host with the file: keys, a config, the file's address, the daemon");
    demo_story_place(&d->story, &d->host);
    if (run_and_show(d, &d->host, ARGUMENTS("register", "--label", "demo host"), CMD_OK, 0, e) !=
            0 ||
        run_and_show(d, &d->host,
                     ARGUMENTS("init", "--name", "demo", "--zone", "default", "--max-uploads", "2",
                               "--proxy-url", d->url, "--proxy-secret-file", "../secret",
                               "--no-input"),
                     CMD_OK, 0, e) != 0 ||
        run_and_show(d, &d->host, ARGUMENTS("link", d->file), CMD_OK, d->size, e) != 0)
        return -1;
    if (take_uri(d, &d->uri, e) != 0)
        return -1;
    return serve_until_ready(d, &d->host, ARGUMENTS("share"), d->daemon_log, "acknowledged", e);
}

/* The file is not uploaded yet; it comes because it is asked for. */
static int fetch_elsewhere(struct demo *d, struct err *e)
{
    demo_story_line(&d->story,
                    "\nElsewhere, with an empty store: not in the zone yet, ask for it, get it");
    demo_story_place(&d->story, &d->remote);
    if (run_and_show(d, &d->remote, ARGUMENTS("info", d->uri), CMD_OK, 0, e) != 0 ||
        run_and_show(d, &d->remote, ARGUMENTS("request", d->uri, "--wait"), CMD_OK, d->size, e) !=
            0)
        return -1;
    return run_and_show(d, &d->remote, ARGUMENTS("load", d->uri, "-o", "copy"), CMD_OK, d->size, e);
}

static int compare_open(int a, int b, struct err *e)
{
    enum { BLOCK = 65536 };
    static char left[BLOCK], right[BLOCK];
    ssize_t n, m;

    do {
        n = fs_read_part(a, left, BLOCK);
        m = fs_read_part(b, right, BLOCK);
        if (n < 0 || m < 0)
            return err_errno(e, ERR_FAILED, errno, "cannot read");
        if (n != m || memcmp(left, right, (size_t)n) != 0)
            return err_set(e, ERR_CHANGED, "the bytes that came back differ");
    } while (n > 0);
    return 0;
}

static int prove_copy(struct demo *d, struct err *e)
{
    int status = -1, file, copy;

    d->step = "cmp";
    demo_story_typed(&d->story, &d->remote, "cmp", ARGUMENTS("copy", d->file), "");
    file = open(d->file, O_RDONLY | O_CLOEXEC);
    copy = open(d->copy, O_RDONLY | O_CLOEXEC);
    if (file < 0 || copy < 0)
        err_errno(e, ERR_FAILED, errno, "cannot open %s", file < 0 ? d->file : d->copy);
    else
        status = compare_open(file, copy, e);
    if (file >= 0)
        close(file);
    if (copy >= 0)
        close(copy);
    return status;
}

/* Reads the middle of a file that stays on its host, and compares it. */
static int read_middle(struct demo *d, struct err *e)
{
    static char wanted[DEMO_PART_BYTES];
    char *start = make_text("%d", DEMO_PART_START),
         *end = make_text("%d", DEMO_PART_START + DEMO_PART_BYTES);
    int fd = open(d->second_file, O_RDONLY | O_CLOEXEC), result = -1;
    int64_t took_ms;

    if (fd < 0 || pread(fd, wanted, sizeof wanted, DEMO_PART_START) != (ssize_t)sizeof wanted)
        err_errno(e, ERR_FAILED, errno, "cannot read %s", d->second_file);
    else
        result = run_to_end(d, &d->third,
                            ARGUMENTS("cat", d->second_uri, "--start", start, "--end", end), CMD_OK,
                            &took_ms, e);
    if (result == 0 && !str_equal(buf_str(&d->output), (struct str){wanted, sizeof wanted}))
        result = err_set(e, ERR_CHANGED, "the bytes of the part differ");
    if (fd >= 0)
        close(fd);
    free(start);
    free(end);
    return result;
}

/* Sets *bytes if the daemon's status (or NULL) has them. */
static void take_left_bytes(const struct json *status, int64_t *bytes)
{
    static const struct field status_fields[] = {{.name = "totals", .kind = FIELD_OBJECT},
                                                 {.kind = FIELD_OTHERS}};
    static const struct field totals_fields[] = {{.name = "rangeBytes", .kind = FIELD_INT},
                                                 {.kind = FIELD_OTHERS}};
    const struct json *totals;

    if (fields_read(status_fields, status, &totals, NULL, ERR_IGNORED) == 0)
        (void)!fields_read(totals_fields, totals, bytes, NULL, ERR_IGNORED);
}

/* Sets *bytes to those that left the host block by block, once the daemon's status has them. */
static int count_left(struct demo *d, int64_t *bytes, struct err *e)
{
    int64_t deadline_ms = clock_now_ms() + DEMO_STATUS_MS;

    for (;;) {
        struct buf content = {0};
        struct json *status = NULL;
        *bytes = 0;
        if (fs_read_file(d->status_file, DEMO_MAX_OUTPUT, &content, ERR_IGNORED) == 0)
            status = json_parse(buf_str(&content), JSON_STRICT, ERR_IGNORED);
        take_left_bytes(status, bytes);
        json_free(status);
        buf_free(&content);
        if (*bytes > 0)
            return 0;
        if (clock_now_ms() > deadline_ms)
            return err_set(e, ERR_TIMEOUT, "the daemon's status does not say what left the host");
        if (demo_processes_pause(&d->processes, DEMO_STATUS_LOOK_MS, e) != 0)
            return -1;
    }
}

/* From a third place, a part of a second file, which nobody uploads. */
static int read_second_file_part(struct demo *d, struct err *e)
{
    int64_t left;

    demo_story_line(&d->story, "\nThe host links a second file, which nobody uploads");
    if (make_random_file(d->second_file, e) != 0 ||
        run_and_show(d, &d->host, ARGUMENTS("link", d->second_file), CMD_OK, DEMO_RANDOM_BYTES,
                     e) != 0 ||
        take_uri(d, &d->second_uri, e) != 0)
        return -1;
    demo_story_line(&d->story, "\nA third place reads its middle through the hub");
    demo_story_place(&d->story, &d->third);
    if (run_and_show(d, &d->third, ARGUMENTS("url", d->second_uri), CMD_OK, 0, e) != 0 ||
        read_middle(d, e) != 0 || count_left(d, &left, e) != 0)
        return -1;
    if (!d->story.is_quiet)
        printf("\nThe part is right. %lld of the %d bytes of the file left the host, and none of "
               "it was uploaded\n", (long long)left, DEMO_RANDOM_BYTES);
    return 0;
}

static int run_story(struct demo *d, const char *given, struct err *e)
{
    d->step = "prepare";
    if (make_demo_folder(d, e) != 0 || choose_file(d, given, e) != 0 || make_demo_secret(d, e) != 0)
        return -1;
    if (!d->story.is_quiet)
        printf("All of this is real, on loopback, in %s\n", d->folder);
    if (start_demo_hub(d, e) != 0 || start_demo_host(d, e) != 0 || fetch_elsewhere(d, e) != 0 ||
        prove_copy(d, e) != 0)
        return -1;
    if (!d->story.is_quiet)
        printf("\nThe %lld bytes that came back are those of %s\n", (long long)d->size, d->file);
    if (read_second_file_part(d, e) != 0)
        return -1;
    puts(d->uri);
    if (fflush(stdout) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot write to standard output");
    return 0;
}

/* Prints the commands with which a user goes on by hand. */
static void print_kept_commands(const struct demo *d)
{
    printf("\nHub and daemon run on. To try it by hand:\n");
    for (size_t i = 0; d->remote.environment[i] != NULL; i++)
        printf("export %s\n", d->remote.environment[i]);
    printf("kachery-resource load %s\n", d->uri);
    printf("\nTo end it:\nkill");
    for (size_t i = d->processes.server_count; i-- > 0;)
        printf(" %ld", (long)d->processes.servers[i].pid);
    printf("\nrm -r %s\n", d->folder);
}

/* The last lines of a server's log, when something went wrong. */
static void show_log(const struct demo_server *server)
{
    struct buf log = {0};
    size_t at, lines = 0;

    if (fs_read_file(server->log, 1 << 20, &log, ERR_IGNORED) == 0 && log.len > 0) {
        for (at = log.len - 1; at > 0; at--)
            if (log.data[at - 1] == '\n' && ++lines == DEMO_LOG_TAIL_LINES)
                break;
        fprintf(stderr, "--- %s:\n%.*s", server->log, (int)(log.len - at), log.data + at);
    }
    buf_free(&log);
}

static int remove_demo_file(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void free_demo_place(struct demo_place *place)
{
    for (size_t i = 0; i < DEMO_MAX_VARIABLES; i++)
        free(place->environment[i]);
    free(place->directory);
}

static void clean_up_demo(struct demo *d, bool is_failed)
{
    if (is_failed || !d->is_kept) {
        demo_processes_stop(&d->processes);
        for (size_t i = 0; is_failed && i < d->processes.server_count; i++)
            show_log(&d->processes.servers[i]);
        if (d->folder != NULL)
            nftw(d->folder, remove_demo_file, 16, FTW_DEPTH | FTW_PHYS);
    }
    demo_processes_deinit(&d->processes);
    free_demo_place(&d->hub);
    free_demo_place(&d->host);
    free_demo_place(&d->remote);
    free_demo_place(&d->third);
    free(d->folder);
    free(d->file);
    free(d->copy);
    free(d->hub_log);
    free(d->daemon_log);
    free(d->output_file);
    free(d->status_file);
    free(d->second_file);
    free(d->second_uri);
    free(d->url);
    free(d->uri);
    buf_free(&d->output);
}

int cmd_demo(int argc, char **argv)
{
    struct demo d = {.step = ""};
    const struct cmd_option options[] = {
        {.name = "keep", .flag = &d.is_kept},
        {0},
    };
    struct cmd_args args = {.options = options, .max_operands = 1};
    int status = cmd_parse("demo", argc, argv, &args);
    struct err e = {0};

    if (status >= 0)
        return status;
    d.story.is_quiet = args.is_quiet;
    demo_processes_init(&d.processes);
    d.processes.outlive_us = d.is_kept;
    status = CMD_OK;
    if (run_story(&d, args.operand_count > 0 ? args.operands[0] : NULL, &e) != 0) {
        err_wrap(&e, "%s", d.step);
        cmd_warn("demo", &e);
        status = CMD_FAILED;
    } else if (d.is_kept) {
        print_kept_commands(&d);
    }
    clean_up_demo(&d, status != CMD_OK);
    return cmd_finish("demo", status);
}
