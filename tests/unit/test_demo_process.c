/* Commands as processes: what they see, how they end, and that nothing is left behind. The command
 * table is this file's. */
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "cmd/cmd.h"
#include "cmd/demo_process.h"

/* Prints arguments, folder and the variables that matter. */
static int run_show(int argc, char **argv)
{
    static const char *const names[] = {"KACHERY_CLOUD_DIR", "KACHERY_ZONE", "PROXY_SECRET",
                                        "KEPT"};
    char folder[256];

    for (int i = 0; i < argc; i++)
        printf("%s|", argv[i]);
    printf("%s|", getcwd(folder, sizeof folder) ? strrchr(folder, '/') : "");
    for (size_t i = 0; i < UNIT_COUNT(names); i++)
        printf("%s|", getenv(names[i]) ? getenv(names[i]) : "unset");
    return 7;
}

static int run_killed(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return raise(SIGKILL);
}

static int run_server(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "log: starting\nlog: ready at %s\n", argv[1]);
    while (pause() < 0)
        ;
    return 0;
}

/* Does not want to end. */
static int run_stubborn(int argc, char **argv)
{
    signal(SIGTERM, SIG_IGN);
    return run_server(argc, argv);
}

static int run_failing(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "no %s\n", argv[0]);
    return 3;
}

const struct cmd cmd_table[] = {
    {"show", run_show, "", "", ""},         {"killed", run_killed, "", "", ""},
    {"server", run_server, "", "", ""},     {"stubborn", run_stubborn, "", "", ""},
    {"failing", run_failing, "", "", ""},   {NULL, NULL, NULL, NULL, NULL},
};

static char folder[] = "/tmp/test_demo.XXXXXX";
static struct demo_processes processes;

static int enter(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '.'), ".XXXXXX", sizeof ".XXXXXX");
    setenv("KACHERY_ZONE", "from outside", 1);
    setenv("PROXY_SECRET", "from outside", 1);
    setenv("KEPT", "kept", 1);
    demo_processes_init(&processes);
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
    demo_processes_stop(&processes);
    demo_processes_deinit(&processes);
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        return -1; /* somebody was left */
    return chdir("/") != 0 || nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0;
}

static struct demo_command command(const char *const *arguments)
{
    static const char *const environment[] = {"KACHERY_CLOUD_DIR=/its/store", NULL};

    return (struct demo_command){folder, environment, arguments, "output"};
}

static void assert_output(const char *want)
{
    struct buf content = {0};
    struct err e = {0};

    assert_int_equal(fs_read_file("output", 1000, &content, &e), 0);
    unit_equal("output", buf_cstr(&content), want);
    buf_free(&content);
}

static void test_command(void **state)
{
    const char *const arguments[] = {"show", "-x", "a b", NULL};
    const struct demo_command show = command(arguments);
    char want[200];
    struct err e = {0};
    int status = -1;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(demo_processes_run(&processes, &show, &status, &e), 0);
        assert_int_equal(status, 7);
        snprintf(want, sizeof want, "show|-x|a b|%s|/its/store|unset|unset|kept|",
                 strrchr(folder, '/'));
        assert_output(want);
    }
    unit_equal("not ours", getenv("KACHERY_ZONE"), "from outside");
}

static void test_killed(void **state)
{
    const char *const arguments[] = {"killed", NULL};
    const struct demo_command killed = command(arguments);
    struct err e = {0};
    int status = -1;

    (void)state;
    assert_int_equal(demo_processes_run(&processes, &killed, &status, &e), -1);
    unit_equal("killed", e.msg, "killed was ended by signal 9 (Killed)");
    assert_int_equal(status, -1);
}

static int serve(const char *name, struct buf *line, struct err *e)
{
    const char *const arguments[] = {name, "port 5", NULL};
    const struct demo_command server = command(arguments);

    return demo_processes_serve(&processes, name, &server, "ready", line, e);
}

static void test_server(void **state)
{
    const char *const arguments[] = {"show", NULL};
    const struct demo_command show = {folder, (const char *const[]){NULL}, arguments, "other"};
    struct buf line = {0};
    struct err e = {0};
    int status = -1;

    (void)state;
    assert_int_equal(serve("server", &line, &e), 0);
    unit_equal("its line", buf_cstr(&line), "log: ready at port 5");
    assert_int_equal(demo_processes_run(&processes, &show, &status, &e), 0);
    assert_int_equal(getsid(processes.servers[0].pid), processes.servers[0].pid);
    demo_processes_stop(&processes);
    assert_int_equal(processes.servers[0].pid, 0);
    buf_free(&line);
}

static void test_server_that_fails(void **state)
{
    struct buf line = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(serve("failing", &line, &e), -1);
    unit_equal("said", e.msg, "failing ended with exit status 3");
    assert_output("no failing\n");
    assert_int_equal(line.len, 0);
}

/* A server that dies ends the command that may wait for it for ever. */
static void test_server_dies_later(void **state)
{
    const char *const arguments[] = {"server", "x", NULL};
    const struct demo_command endless = command(arguments);
    struct buf line = {0};
    struct err e = {0};
    int status;

    (void)state;
    assert_int_equal(serve("server", &line, &e), 0);
    kill(processes.servers[0].pid, SIGKILL);
    assert_int_equal(demo_processes_run(&processes, &endless, &status, &e), -1);
    unit_equal("said", e.msg, "server was ended by signal 9 (Killed)");
    assert_true(processes.command > 0);
    buf_free(&line);
}

/* Ctrl-C ends a command that runs for ever; a second one also a server that does not want to. */
static void test_interrupted(void **state)
{
    const char *const arguments[] = {"server", "x", NULL};
    const struct demo_command endless = command(arguments);
    struct buf line = {0};
    struct err e = {0};
    int status;

    (void)state;
    assert_int_equal(serve("stubborn", &line, &e), 0);
    raise(SIGINT);
    assert_int_equal(demo_processes_run(&processes, &endless, &status, &e), -1);
    unit_equal("said", e.msg, "interrupted (Interrupt)");
    raise(SIGINT);
    demo_processes_stop(&processes);
    assert_int_equal(processes.command, 0);
    assert_int_equal(processes.servers[0].pid, 0);
    buf_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_command, enter, leave),
        cmocka_unit_test_setup_teardown(test_killed, enter, leave),
        cmocka_unit_test_setup_teardown(test_server, enter, leave),
        cmocka_unit_test_setup_teardown(test_server_that_fails, enter, leave),
        cmocka_unit_test_setup_teardown(test_server_dies_later, enter, leave),
        cmocka_unit_test_setup_teardown(test_interrupted, enter, leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
