#include "cmd/demo_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cmd/cmd.h"
#include "loop/loop.h"
#include "proc/descriptors.h"

enum {
    DEMO_READY_MS = 30000,
    DEMO_STOP_MS = 12000, /* the daemon gives its uploads 10 s */
    DEMO_LOOK_MS = 10,    /* how often a log is looked at */
    DEMO_MAX_LOG_BYTES = 1 << 20
};

extern char **environ;

void demo_processes_init(struct demo_processes *p)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGCHLD, SIGHUP};
    struct sigaction hangup;

    *p = (struct demo_processes){0};
    sigemptyset(&p->waited);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&p->waited, numbers[i]);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN)
        sigdelset(&p->waited, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &p->waited, &p->before);
}

void demo_processes_deinit(struct demo_processes *p)
{
    sigprocmask(SIG_SETMASK, &p->before, NULL);
    signal(SIGPIPE, SIG_DFL);
}

/* Variables that would send the demo's commands elsewhere. */
static bool is_foreign(const char *variable)
{
    static const char *const names[] = {"PROXY_SECRET=", "PORT=", "http_proxy=", "HTTP_PROXY=",
                                        "https_proxy=", "HTTPS_PROXY=", "all_proxy=",
                                        "ALL_PROXY=", NULL};
    struct str text = str_of(variable);

    if (str_starts_with(text, STR("KACHERY_")))
        return true;
    for (const char *const *name = names; *name != NULL; name++)
        if (str_starts_with(text, str_of(*name)))
            return true;
    return false;
}

/* The environment of the child: ours without what is foreign, and then its own. */
static int set_environment(const char *const *own)
{
    size_t count = 0, kept = 0;

    while (environ[count] != NULL)
        count++;
    for (const char *const *variable = own; *variable != NULL; variable++)
        count++;
    char **all = malloc((count + 1) * sizeof *all);
    if (all == NULL)
        return -1;
    for (char **variable = environ; *variable != NULL; variable++)
        if (!is_foreign(*variable))
            all[kept++] = *variable;
    for (; *own != NULL; own++)
        all[kept++] = strdup(*own);
    all[kept] = NULL;
    environ = all;
    return 0;
}

static int redirect_descriptor(const char *path, int flags, int to)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);

    if (fd < 0 || dup2(fd, to) < 0)
        return -1;
    if (fd > STDERR_FILENO)
        close(fd);
    return 0;
}

static int set_descriptors(const struct demo_command *command, bool is_server)
{
    /* An empty root has no devices; a directory gives nothing to read either. */
    if ((redirect_descriptor("/dev/null", O_RDONLY, STDIN_FILENO) != 0 &&
         redirect_descriptor("/", O_RDONLY, STDIN_FILENO) != 0) ||
        redirect_descriptor(command->output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
                            STDOUT_FILENO) != 0)
        return -1;
    return is_server && dup2(STDOUT_FILENO, STDERR_FILENO) < 0 ? -1 : 0;
}

/* As main() would call it. */
static int run_from_table(const char *const *arguments)
{
    char *argv[DEMO_MAX_ARGUMENTS + 1] = {NULL};
    int argc = 0;

    for (; argc < DEMO_MAX_ARGUMENTS && arguments[argc] != NULL; argc++)
        argv[argc] = strdup(arguments[argc]);
    for (const struct cmd *row = cmd_table; row->name != NULL; row++)
        if (strcmp(row->name, arguments[0]) == 0)
            return row->run(argc, argv);
    fprintf(stderr, "kachery-resource demo: no command %s\n", arguments[0]);
    return CMD_USAGE;
}

/* A server is a session of its own, so that a terminal's Ctrl-C reaches us first; what would hold
 * open the descriptors of whoever started us is closed. */
static void become_server(const struct demo_processes *p)
{
    int none[1];

    setsid();
    descriptors_close_others(none, 0);
    if (p->outlive_us) {
        prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
        signal(SIGHUP, SIG_IGN);
    }
}

static void become_command(const struct demo_processes *p, const struct demo_command *command,
                           bool is_server, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent)
        _exit(CMD_FAILED);
    signal(SIGPIPE, SIG_DFL);
    if (is_server)
        become_server(p);
    sigprocmask(SIG_SETMASK, &p->before, NULL);
    if (chdir(command->directory) != 0 || set_descriptors(command, is_server) != 0 ||
        set_environment(command->environment) != 0) {
        fprintf(stderr, "kachery-resource demo: %s: %s\n", command->directory, strerror(errno));
        _exit(CMD_FAILED);
    }
    exit(run_from_table(command->arguments));
}

static int start_demo_process(const struct demo_processes *p, const struct demo_command *command,
                              bool is_server, pid_t *pid, struct err *e)
{
    pid_t parent = getpid();

    /* Buffered output would be written twice. */
    fflush(stdout);
    fflush(stderr);
    *pid = fork();
    if (*pid == 0)
        loop_after_fork();
    if (*pid == 0)
        become_command(p, command, is_server, parent);
    return *pid > 0 ? 0 : err_errno(e, ERR_FAILED, errno, "cannot start a process");
}

/* Says how a process that nobody ended came to its end. */
static int fail_ended(const char *name, int wait_status, struct err *e)
{
    if (WIFSIGNALED(wait_status))
        return err_set(e, ERR_FAILED, "%s was ended by signal %d (%s)", name,
                       WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    return err_set(e, ERR_FAILED, "%s ended with exit status %d", name, WEXITSTATUS(wait_status));
}

/* Collects what ended. 1 when the command did (*command_status is how), 0 when not, -1 when a
 * server did. */
static int reap_processes(struct demo_processes *p, int *command_status, struct err *e)
{
    int is_done = 0, status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == p->command) {
            p->command = 0;
            *command_status = status;
            is_done = 1;
        }
        for (size_t i = 0; i < p->server_count; i++)
            if (pid == p->servers[i].pid) {
                p->servers[i].pid = 0;
                return fail_ended(p->servers[i].name, status, e);
            }
    }
    return is_done;
}

/* Sleeps until a signal or for `ms`. -1 when the signal asks us to stop. */
static int pause_for(const struct demo_processes *p, int ms, struct err *e)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    int number = sigtimedwait(&p->waited, NULL, &time);

    if (number < 0 || number == SIGCHLD)
        return 0;
    return err_set(e, ERR_FAILED, "interrupted (%s)", strsignal(number));
}

int demo_processes_pause(struct demo_processes *p, int ms, struct err *e)
{
    int ignored;

    return reap_processes(p, &ignored, e) < 0 ? -1 : pause_for(p, ms, e);
}

int demo_processes_run(struct demo_processes *p, const struct demo_command *command,
                       int *exit_status, struct err *e)
{
    int state, status = 0;

    if (start_demo_process(p, command, false, &p->command, e) != 0)
        return -1;
    while ((state = reap_processes(p, &status, e)) == 0)
        if (pause_for(p, 1000, e) != 0)
            return -1;
    if (state < 0)
        return -1;
    if (!WIFEXITED(status))
        return fail_ended(command->arguments[0], status, e);
    *exit_status = WEXITSTATUS(status);
    return 0;
}

/* Appends the first whole line of the log that has `text`; false when there is none yet. */
static bool find_line(const char *log, const char *text, struct buf *line)
{
    struct buf content = {0};
    bool is_found = false;

    if (fs_read_file(log, DEMO_MAX_LOG_BYTES, &content, ERR_IGNORED) == 0) {
        const char *start = buf_cstr(&content), *hit = strstr(start, text);
        const char *end = hit == NULL ? NULL : strchr(hit, '\n');
        if (end != NULL) {
            while (hit > start && hit[-1] != '\n')
                hit--;
            buf_append(line, hit, (size_t)(end - hit));
            is_found = true;
        }
    }
    buf_free(&content);
    return is_found;
}

int demo_processes_serve(struct demo_processes *p, const char *name,
                         const struct demo_command *command, const char *text, struct buf *line,
                         struct err *e)
{
    int64_t deadline_ms = clock_now_ms() + DEMO_READY_MS;
    int ignored;
    pid_t pid;

    if (start_demo_process(p, command, true, &pid, e) != 0)
        return -1;
    p->servers[p->server_count++] =
        (struct demo_server){.pid = pid, .name = name, .log = command->output};
    while (!find_line(command->output, text, line)) {
        if (reap_processes(p, &ignored, e) < 0 || pause_for(p, DEMO_LOOK_MS, e) != 0)
            return -1;
        if (clock_now_ms() > deadline_ms)
            return err_set(e, ERR_TIMEOUT, "%s was not ready within %d s", name,
                           DEMO_READY_MS / 1000);
    }
    return 0;
}

static bool is_any_running(const struct demo_processes *p)
{
    for (size_t i = 0; i < p->server_count; i++)
        if (p->servers[i].pid > 0)
            return true;
    return p->command > 0;
}

static void signal_all(const struct demo_processes *p, int number)
{
    if (p->command > 0)
        kill(p->command, number);
    for (size_t i = p->server_count; i-- > 0;)
        if (p->servers[i].pid > 0)
            kill(p->servers[i].pid, number);
}

void demo_processes_stop(struct demo_processes *p)
{
    int64_t deadline_ms = clock_now_ms() + DEMO_STOP_MS;
    bool is_killed = false;
    int ignored;

    signal_all(p, SIGTERM);
    for (;;) {
        while (reap_processes(p, &ignored, ERR_IGNORED) != 0)
            ;
        if (!is_any_running(p))
            return;
        if (pause_for(p, 100, ERR_IGNORED) == 0 && clock_now_ms() < deadline_ms)
            continue;
        if (!is_killed)
            signal_all(p, SIGKILL);
        is_killed = true;
    }
}
