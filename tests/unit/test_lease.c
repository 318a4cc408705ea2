/* The lease: one holder, whoever asks at the same time, and the end of those that died. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "daemon/lease.h"

enum { PLAIN_MS = 180000 };

/* 150 times shorter than those of the product, but for the age of plain records. */
static const struct intervals times = {.lease_refresh_ms = 60,
                                       .lease_hold_ms = 200,
                                       .lease_stale_ms = 300,
                                       .lease_look_ms = 15,
                                       .lease_claim_ms = 60,
                                       .lease_plain_ms = PLAIN_MS};

/* For processes that must not be taken for dead because they got no processor. */
static const struct intervals patient_times = {.lease_refresh_ms = 60,
                                               .lease_hold_ms = 20000,
                                               .lease_stale_ms = 30000,
                                               .lease_look_ms = 15,
                                               .lease_claim_ms = 20000,
                                               .lease_plain_ms = PLAIN_MS};

struct bench {
    char top[64], folder[96], owner[128];
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    snprintf(b->top, sizeof b->top, "/tmp/kachery-lease-XXXXXX");
    if (mkdtemp(b->top) == NULL)
        return 1;
    snprintf(b->folder, sizeof b->folder, "%s/" LEASE_FOLDER, b->top);
    snprintf(b->owner, sizeof b->owner, "%s/owner", b->folder);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", b->top);
    int result = system(command);
    free(b);
    return result;
}

/* Ends with lease_deinit where it succeeds. */
static int take_with(const struct intervals *t, struct bench *b, struct lease *l, struct err *e)
{
    assert_int_equal(lease_init(l, b->folder, "lab", t, e), 0);
    int result = lease_take(l, NULL, e);
    if (result != 0)
        lease_deinit(l);
    return result;
}

static int take(struct bench *b, struct lease *l, struct err *e)
{
    return take_with(&times, b, l, e);
}

static void give_back(struct lease *l)
{
    assert_true(lease_release(l));
    lease_deinit(l);
}

static void set_age(struct bench *b, int64_t age_ms)
{
    int64_t then = clock_wall_ms() - age_ms;
    struct timespec when[2] = {{then / 1000, 0}, {then / 1000, 0}};

    assert_int_equal(utimensat(AT_FDCWD, b->owner, when, 0), 0);
}

static void put_owner(struct bench *b, struct str bytes)
{
    struct err e;

    mkdir(b->folder, 0777);
    assert_int_equal(newfile_put(b->owner, bytes, 0, &e), 0);
}

/* A lease of release 0.1 on another host, renewed `age_ms` ago. */
static void put_foreign(struct bench *b, const char *text, int64_t age_ms)
{
    put_owner(b, str_of(text));
    set_age(b, age_ms);
}

static const char foreign[] =
    "{\"host\":\"elsewhere\",\"pid\":77,\"pidStarted\":5,\"boot\":\"b\",\"pidNamespace\":\"n\","
    "\"token\":\"0123456789abcdef0123456789abcdef\",\"sinceMs\":1}";

/* A record of another host, with a counter. */
static struct lease_record far_record(int64_t counter)
{
    return (struct lease_record){.resource = "lab",
                                 .host = "elsewhere",
                                 .pid = 77,
                                 .pid_started = 5,
                                 .boot = "b",
                                 .pid_namespace = "n",
                                 .token = "0123456789abcdef0123456789abcdef",
                                 .since_ms = 1,
                                 .counter = counter,
                                 .renewed_ms = 1,
                                 .renewed_boot_ms = 1};
}

static void put_record(struct bench *b, const struct lease_record *record)
{
    struct buf bytes = {0};

    lease_record_put(&bytes, record);
    put_owner(b, buf_str(&bytes));
    buf_free(&bytes);
}

static void write_counter(struct bench *b, int64_t counter)
{
    const struct lease_record record = far_record(counter);
    struct buf bytes = {0};
    struct err e;

    lease_record_put(&bytes, &record);
    assert_int_equal(lease_record_write_over(b->owner, buf_str(&bytes), &e), 0);
    buf_free(&bytes);
}

static ino_t inode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

/* An emulator invents when its own process was started. */
#define START_TIMES "start times of processes"

static void test_take_and_release(void **state)
{
    struct bench *b = *state;
    struct lease first, second;
    struct err e = {0};
    char want[512], host[256];

    unit_needs_a_kernel(START_TIMES);
    assert_int_equal(take(b, &first, &e), 0);
    assert_int_equal(take(b, &second, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    gethostname(host, sizeof host);
    snprintf(want, sizeof want, "the resource is already shared by %s (process %d)", host,
             (int)getpid());
    unit_equal("refused", e.msg, want);
    give_back(&first);
    assert_int_equal(access(b->folder, F_OK), -1);
    assert_int_equal(take(b, &second, &e), 0);
    give_back(&second);
}

/* Renewed in place, at the same length, with a counter that grows. */
static void test_renewal(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_record before, after;
    struct stat st;
    bool is_anew;
    struct err e = {0};

    assert_int_equal(take(b, &l, &e), 0);
    ino_t inode = inode_of(b->owner);
    assert_int_equal(lease_record_read(b->folder, &before, NULL, &e), 0);
    set_age(b, 1000000);
    assert_int_equal(lease_renew(&l, &is_anew, &e), 0);
    assert_false(is_anew);
    assert_int_equal(lease_record_read(b->folder, &after, NULL, &e), 0);
    assert_int_equal(stat(b->owner, &st), 0);
    assert_int_equal(st.st_ino, inode);
    assert_int_equal(st.st_size, LEASE_RECORD_BYTES);
    assert_true(st.st_mtim.tv_sec > clock_wall_ms() / 1000 - 100); /* what release 0.1 looks at */
    assert_int_equal(after.counter, before.counter + 1);
    unit_equal("token", after.token, before.token);
    unit_equal("resource", after.resource, "lab");
    give_back(&l);
}

/* kill -9: nobody gave it back, and nobody has to wait. */
static void test_dead_holder_of_this_host(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};
    int status;

    pid_t pid = fork();
    if (pid == 0)
        _exit(take(b, &l, &e) == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    ino_t inode = inode_of(b->owner);
    assert_int_equal(take(b, &l, &e), 0);
    assert_int_equal(l.self.pid, getpid());
    assert_int_equal(inode_of(b->owner), inode); /* readers may have its name cached */
    give_back(&l);
}

/* The parent does not reap, as an init of some containers. */
static void test_zombie(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_record record;
    siginfo_t info;
    struct err e = {0};

    pid_t pid = fork();
    if (pid == 0)
        _exit(take(b, &l, &e) == 0 ? 0 : 1);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(lease_record_read(b->folder, &record, NULL, &e), 0);
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(lease_process_look(&record), LEASE_PROCESS_DEAD);
    assert_int_equal(take(b, &l, &e), 0);
    give_back(&l);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Which process is meant, and what shows that it is gone. */
static void test_process_of_a_record(void **state)
{
    static const struct {
        const char *name;
        bool other_boot, other_pids, other_time;
        int64_t pid, started;
        enum lease_process want;
    } cases[] = {
        {"this one", false, false, false, 0, 0, LEASE_PROCESS_RUNNING},
        {"another start", false, false, false, 0, 7, LEASE_PROCESS_DEAD},
        {"another start, in another time namespace", false, false, true, 0, 7,
         LEASE_PROCESS_RUNNING},
        {"a number that is free", false, false, false, 1 << 22, 0, LEASE_PROCESS_DEAD},
        {"another boot", true, false, false, 0, 0, LEASE_PROCESS_ELSEWHERE},
        {"another PID namespace", false, true, false, 1 << 22, 0, LEASE_PROCESS_ELSEWHERE},
    };
    (void)state;

    unit_needs_a_kernel(START_TIMES);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct lease_record r;
        lease_process_describe(&r);
        r.counter = 1;
        r.pid = cases[i].pid == 0 ? r.pid : cases[i].pid;
        r.pid_started = cases[i].started == 0 ? r.pid_started : cases[i].started;
        if (cases[i].other_boot)
            snprintf(r.boot, sizeof r.boot, "b");
        if (cases[i].other_pids)
            snprintf(r.pid_namespace, sizeof r.pid_namespace, "pid:[1]");
        if (cases[i].other_time)
            snprintf(r.time_namespace, sizeof r.time_namespace, "time:[1]");
        unit_true(cases[i].name, lease_process_look(&r) == cases[i].want);
    }
}

/* A stopped process is there, and renews nothing. */
static void test_stopped_holder_of_this_host(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};
    int status, told[2];
    char byte;

    unit_needs_a_kernel(START_TIMES);
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (take(b, &l, &e) == 0 && write(told[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(take(b, &l, &e), 0);
    assert_true(clock_now_ms() - start_ms >= times.lease_stale_ms);
    give_back(&l);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(told[0]);
    close(told[1]);
}

static void test_holder_of_another_host(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};
    struct lease_record far = far_record(41);

    put_record(b, &far);
    set_age(b, 1000000); /* times of files count for nothing */
    int64_t start_ms = clock_now_ms();
    assert_int_equal(take(b, &l, &e), 0);
    int64_t took_ms = clock_now_ms() - start_ms;
    assert_true(took_ms >= times.lease_stale_ms && took_ms < 4 * times.lease_stale_ms);
    assert_true(l.self.counter > 41);
    give_back(&l);
}

/* Its counter moves: it is found alive at once, whatever the time of the file. */
static void test_counter_that_moves(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_watch watch;
    enum lease_verdict verdict;
    struct err e = {0};
    struct lease_record far = far_record(1);
    int status;

    put_record(b, &far);
    lease_watch_init(&watch, b->folder, &times);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lease_watch_look(&watch, &verdict, &e), 0);
        assert_int_equal(verdict, LEASE_WATCHING);
        assert_true(watch.left_ms > 0 && watch.left_ms <= times.lease_stale_ms);
    }
    write_counter(b, 2);
    set_age(b, 1000000);
    assert_int_equal(lease_watch_look(&watch, &verdict, &e), 0);
    assert_int_equal(verdict, LEASE_HELD);
    assert_int_equal(watch.record.counter, 2);
    lease_watch_deinit(&watch);

    pid_t pid = fork();
    if (pid == 0) {
        usleep(50000);
        write_counter(b, 3);
        _exit(0);
    }
    assert_int_equal(take(b, &l, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    unit_equal("names it", e.msg, "the resource is already shared by elsewhere (process 77)");
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* A process that was stopped between two looks has not seen the lease all the time. */
static void test_watcher_that_slept(void **state)
{
    struct bench *b = *state;
    struct lease_watch watch;
    enum lease_verdict verdict;
    struct err e = {0};
    struct lease_record far = far_record(1);

    put_record(b, &far);
    lease_watch_init(&watch, b->folder, &times);
    assert_int_equal(lease_watch_look(&watch, &verdict, &e), 0);
    watch.looked_ms -= 100000;
    assert_int_equal(lease_watch_look(&watch, &verdict, &e), 0);
    assert_int_equal(verdict, LEASE_WATCHING);
    assert_int_equal(watch.unchanged_ms, 2 * times.lease_look_ms);
    lease_watch_deinit(&watch);
}

static void test_nobody_holds_it(void **state)
{
    struct bench *b = *state;
    struct lease_watch watch;
    enum lease_verdict verdict;
    struct err e = {0};
    struct lease_record left = far_record(1);

    lease_watch_init(&watch, b->folder, &times);
    assert_int_equal(lease_watch_look(&watch, &verdict, &e), 0);
    assert_int_equal(verdict, LEASE_FREE);
    left.is_released = true;
    put_record(b, &left);
    assert_int_equal(lease_watch_look(&watch, &verdict, &e), 0);
    assert_int_equal(verdict, LEASE_FREE);
    unit_equal("by whom", watch.record.host, "elsewhere");
    lease_watch_deinit(&watch);
}

/* The holder was killed between its last record and the removal of it. */
static void test_record_of_a_holder_that_left(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};
    struct lease_record left = far_record(9);

    left.is_released = true;
    put_record(b, &left);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(take(b, &l, &e), 0);
    assert_true(clock_now_ms() - start_ms < times.lease_stale_ms);
    assert_true(lease_release(&l));
    lease_deinit(&l);
}

/* ---- release 0.1 ---- */

static void test_plain_record(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};

    put_foreign(b, foreign, PLAIN_MS - 20000);
    assert_int_equal(take(b, &l, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    unit_equal("names it", e.msg, "the resource is already shared by elsewhere (process 77)");
    put_foreign(b, foreign, PLAIN_MS + 20000);
    assert_int_equal(take(b, &l, &e), 0);
    give_back(&l);
}

/* A time to come, from before a clock was set back, keeps nobody waiting until it comes. */
static void test_plain_record_from_the_future(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct stat st;
    struct err e = {0};

    put_foreign(b, foreign, -(int64_t)365 * 24 * 3600 * 1000);
    assert_int_equal(take(b, &l, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN); /* it may be alive, and renew it */
    assert_int_equal(stat(b->owner, &st), 0);
    assert_true(st.st_mtim.tv_sec <= clock_wall_ms() / 1000 + 1);
}

/* Then nobody can tell whether the other is alive (a full quota, say): no reason to be silent. */
static void test_folder_that_takes_no_files(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};
    int status;

    put_foreign(b, foreign, 1000);
    assert_int_equal(chmod(b->top, 0755), 0);
    assert_int_equal(chmod(b->folder, 0555), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit((getuid() != 0 || setuid(65534) == 0) && take(b, &l, &e) != 0 &&
                      e.code == ERR_FAILED && strstr(e.msg, "Permission denied") != NULL
                  ? 0
                  : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(b->folder, 0755), 0);
    assert_int_equal(status, 0);
}

/* A record that was cut or is another program's is judged by its age; an empty one is new. */
static void test_unreadable_owner(void **state)
{
    static const char *const texts[] = {"{\"host\":\"x\"", "{\"host\":\"x\",\"pid\":1}",
                                        "{\"host\":5}"};
    struct bench *b = *state;
    struct lease l;
    struct err e = {0};

    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        put_foreign(b, texts[i], 1000);
        unit_true(texts[i], take(b, &l, &e) != 0 && e.code == ERR_TAKEN);
        put_foreign(b, texts[i], PLAIN_MS + 20000);
        unit_true(texts[i], take(b, &l, &e) == 0);
        assert_true(lease_release(&l));
        lease_deinit(&l);
    }
    put_foreign(b, "", 0);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(take(b, &l, &e), 0);
    assert_true(clock_now_ms() - start_ms >= times.lease_claim_ms);
    give_back(&l);
}

/* ---- what happens to a holder ---- */

/* This process was away for so long that another took over. */
static void test_lost(void **state)
{
    struct bench *b = *state;
    struct lease l;
    bool is_anew;
    struct err e = {0};

    assert_int_equal(take(b, &l, &e), 0);
    write_counter(b, 70);
    assert_int_equal(lease_renew(&l, &is_anew, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    assert_false(lease_is_elsewhere(&l));
    unit_equal("who", e.msg, "the resource is already shared by elsewhere (process 77)");
    assert_false(lease_release(&l));
    assert_int_equal(access(b->owner, F_OK), 0);
    lease_deinit(&l);
}

/* A record that cannot be read is nobody else's. */
static void test_damaged(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_record now;
    bool is_anew;
    struct err e = {0};

    assert_int_equal(take(b, &l, &e), 0);
    assert_int_equal(truncate(b->owner, 0), 0);
    assert_int_equal(lease_renew(&l, &is_anew, &e), 0);
    assert_true(is_anew);
    assert_int_equal(lease_record_read(b->folder, &now, NULL, &e), 0);
    unit_equal("ours", now.token, l.self.token);
    give_back(&l);
}

static void test_deleted_by_hand(void **state)
{
    struct bench *b = *state;
    struct lease l, second;
    bool is_anew;
    struct err e = {0};

    unit_needs_a_kernel(START_TIMES);
    assert_int_equal(take(b, &l, &e), 0);
    assert_int_equal(unlink(b->owner), 0);
    assert_int_equal(rmdir(b->folder), 0);
    assert_int_equal(lease_renew(&l, &is_anew, &e), 0);
    assert_true(is_anew);
    assert_int_equal(take(b, &second, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    assert_int_equal(lease_renew(&l, &is_anew, &e), 0);
    assert_false(is_anew);
    give_back(&l);
}

/* From a backup: the folder has the record of a holder that is long dead. */
static void test_folder_put_back(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_record old = far_record(5), now;
    char away[128];
    bool is_anew;
    int64_t again_ms;
    struct err e = {0};

    assert_int_equal(take(b, &l, &e), 0);
    snprintf(away, sizeof away, "%s/away", b->top);
    assert_int_equal(rename(b->folder, away), 0);
    put_record(b, &old);
    assert_int_equal(lease_renew(&l, &is_anew, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    assert_true(lease_is_elsewhere(&l));
    do {
        assert_int_equal(lease_try(&l, &again_ms, &e), 0);
        usleep((useconds_t)again_ms * 1000);
    } while (again_ms > 0);
    assert_false(lease_is_elsewhere(&l));
    assert_int_equal(lease_record_read(b->folder, &now, NULL, &e), 0);
    unit_equal("ours", now.token, l.self.token);
    give_back(&l);
}

/* Its folder is there again, as it was, elsewhere on the disk. */
static void test_folder_copied_back(void **state)
{
    struct bench *b = *state;
    struct lease l;
    char command[512];
    bool is_anew;
    struct err e = {0};

    assert_int_equal(take(b, &l, &e), 0);
    snprintf(command, sizeof command, "cp -a %s %s/copy && rm -r %s && mv %s/copy %s", b->folder,
             b->top, b->folder, b->top, b->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(lease_renew(&l, &is_anew, &e), 0);
    assert_true(is_anew);
    give_back(&l);
}

/* ---- takers ---- */

static void make_claim(struct bench *b, const char *name, const char *text)
{
    char path[192];
    struct err e;

    mkdir(b->folder, 0777);
    snprintf(path, sizeof path, "%s/%s", b->folder, name);
    assert_int_equal(newfile_put(path, str_of(text), 0, &e), 0);
}

/* Takers that were killed as they took over: they are in nobody's way for long. */
static void test_dead_takers(void **state)
{
    struct bench *b = *state;
    char name[64];
    struct lease l;
    struct err e = {0};
    struct lease_record dead;

    lease_process_describe(&dead);
    dead.counter = 3;
    dead.pid_started = 7; /* another process has the number */
    put_record(b, &dead);
    snprintf(name, sizeof name, "after.%s", dead.token);
    make_claim(b, name, "");
    snprintf(name, sizeof name, "after.%s.1", dead.token);
    make_claim(b, name, "{");
    int64_t start_ms = clock_now_ms();
    assert_int_equal(take(b, &l, &e), 0);
    int64_t took_ms = clock_now_ms() - start_ms;
    assert_true(took_ms >= 2 * times.lease_claim_ms && took_ms < 8 * times.lease_claim_ms);
    give_back(&l);
    assert_int_equal(access(b->folder, F_OK), -1); /* nothing is left */
}

/* Many at once, from nothing and after a dead one: exactly one gets it each time. */
static void test_race(void **state)
{
    struct bench *b = *state;

    unit_needs_a_kernel(START_TIMES);
    for (int round = 0; round < 20; round++) {
        int start[2], taken[2], won = 0, status;
        pid_t pids[8];
        struct lease l;
        struct lease_record other;
        struct err e = {0};
        char byte;
        if (round % 4 == 1) {
            char text[sizeof foreign];
            snprintf(text, sizeof text, "%s", foreign);
            strstr(text, "0123")[0] = (char)('a' + round / 4); /* a token is used once */
            put_foreign(b, text, PLAIN_MS + 20000);
        }
        assert_int_equal(pipe(start), 0);
        assert_int_equal(pipe(taken), 0);
        for (size_t i = 0; i < UNIT_COUNT(pids); i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                close(start[1]);
                if (read(start[0], &byte, 1) != 0)
                    _exit(9);
                int result = take_with(&patient_times, b, &l, &e);
                if (result != 0 && e.code != ERR_TAKEN)
                    _exit(2);
                if (result != 0)
                    _exit(1);
                bool is_anew;
                if (write(taken[1], "x", 1) != 1)
                    _exit(3);
                while (lease_renew(&l, &is_anew, &e) == 0)
                    usleep(20000);
                _exit(4);
            }
        }
        close(start[0]);
        close(start[1]);
        assert_int_equal(read(taken[0], &byte, 1), 1);
        close(taken[0]);
        close(taken[1]);
        /* All losers end by themselves; the winner is alive until then. */
        for (size_t ended = 0; ended < UNIT_COUNT(pids) - 1; ended++) {
            assert_true(waitpid(-1, &status, 0) > 0);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 1);
        }
        assert_int_equal(lease_record_read(b->folder, &other, NULL, &e), 0);
        for (size_t i = 0; i < UNIT_COUNT(pids); i++)
            won += other.pid == pids[i];
        assert_int_equal(won, 1);
        kill((pid_t)other.pid, SIGKILL);
        assert_int_equal(waitpid((pid_t)other.pid, &status, 0), other.pid);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_take_and_release),
        CASE(test_renewal),
        CASE(test_dead_holder_of_this_host),
        CASE(test_zombie),
        CASE(test_process_of_a_record),
        CASE(test_stopped_holder_of_this_host),
        CASE(test_holder_of_another_host),
        CASE(test_counter_that_moves),
        CASE(test_watcher_that_slept),
        CASE(test_nobody_holds_it),
        CASE(test_record_of_a_holder_that_left),
        CASE(test_plain_record),
        CASE(test_plain_record_from_the_future),
        CASE(test_folder_that_takes_no_files),
        CASE(test_unreadable_owner),
        CASE(test_lost),
        CASE(test_damaged),
        CASE(test_deleted_by_hand),
        CASE(test_folder_put_back),
        CASE(test_folder_copied_back),
        CASE(test_dead_takers),
        CASE(test_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
