#include "zone/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/newfile.h"
#include "unit.h"

static struct json *vectors;
static char dir[64];

static struct str vector(const char *key)
{
    struct str text = {0};

    assert_true(json_str(json_get(vectors, key), &text));
    return text;
}

/* `dir`/name, until the next call. */
static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, struct str text)
{
    struct err e;

    if (newfile_put(path_of(name), text, 0, &e) != 0)
        fail_msg("%s", e.msg);
}

static void read_file(const char *name, struct buf *out)
{
    struct err e;

    buf_clear(out);
    if (fs_read_file(path_of(name), 4096, out, &e) != 0)
        fail_msg("%s", e.msg);
}

static int setup(void **state)
{
    (void)state;
    unsetenv("KACHERY_CLOUD_CLIENT_ID");
    unsetenv("KACHERY_CLOUD_PRIVATE_KEY");
    strcpy(dir, "/tmp/test_identity.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path_of("private.pem"));
    unlink(path_of("public.pem"));
    return rmdir(dir); /* fails when anything else was left behind */
}

static void write_vectors(void)
{
    write_file("private.pem", vector("privatePem"));
    write_file("public.pem", vector("publicPem"));
}

/* The recorded keys sign every recorded payload as the deployed client did. */
static void test_vectors(void **state)
{
    const struct json *signed_list = json_get(vectors, "signed");
    struct identity id;
    struct err e;

    (void)state;
    write_vectors();
    if (identity_load(&id, dir, &e) != 0)
        fail_msg("%s", e.msg);
    unit_equal_str("client ID", str_of(id.client_id), vector("clientId"));
    assert_int_equal(json_count(signed_list), 7);
    for (const struct json *one = json_first(signed_list); one; one = json_next(one)) {
        struct str canonical, want;
        char got[2 * ED25519_SIGNATURE + 1];

        assert_true(json_str(json_get(one, "canonical"), &canonical));
        assert_true(json_str(json_get(one, "signature"), &want));
        signature_make(id.pair, canonical, got);
        unit_equal_str(canonical.p, str_of(got), want);
        unit_true(canonical.p, signature_is_right(vector("clientId"), canonical, want));
        got[0] = got[0] == '0' ? '1' : '0';
        unit_true(canonical.p, !signature_is_right(vector("clientId"), canonical, str_of(got)));
    }
    assert_false(signature_is_right(vector("clientId"), STR("{}"), STR("00")));
    assert_false(signature_is_right(STR("xy"), STR("{}"), STR("00")));
}

static const struct {
    const char *name, *file, *begin, *body, *end;
    bool is_right;
} pems[] = {
#define B "-----BEGIN PRIVATE KEY-----\n"
#define K "MC4CAQAwBQYDK2VwBCIEIA34ujHA8KrT2CyDlvSQAqB2/jKII/yWh2K2YTXLO5Nq"
#define E "\n-----END PRIVATE KEY-----"
    {"without last line feed", "private.pem", B, K, E, true},
    {"with last line feed", "private.pem", B, K, E "\n", true},
    {"two last line feeds", "private.pem", B, K, E "\n\n", false},
    {"carriage returns", "private.pem", "-----BEGIN PRIVATE KEY-----\r\n", K,
     "\r\n-----END PRIVATE KEY-----\r\n", true},
    {"empty", "private.pem", "", "", "", false},
    {"cut", "private.pem", B, K, "\n-----END PRIVATE", false},
    {"no body", "private.pem", B, "", E, false},
    {"begin and end overlap", "private.pem", "-----BEGIN PRIVATE KEY-----", "", E, false},
    {"public key", "private.pem", "-----BEGIN PUBLIC KEY-----\n",
     "MCowBQYDK2VwAyEAh/XDusJIatCkIzdQGFAVWRWxF4ahIoPgZgsm00c9kPo=",
     "\n-----END PUBLIC KEY-----\n", false},
    {"public key as private", "private.pem", B,
     "MCowBQYDK2VwAyEAh/XDusJIatCkIzdQGFAVWRWxF4ahIoPgZgsm00c9kPo=", E, false},
    {"X25519", "private.pem", B, "MC4CAQAwBQYDK2VuBCIEIA34ujHA8KrT2CyDlvSQAqB2/jKII/yWh2K2YTXLO5Nq",
     E, false},
    {"a byte short", "private.pem", B,
     "MC4CAQAwBQYDK2VwBCIEIA34ujHA8KrT2CyDlvSQAqB2/jKII/yWh2K2YTXLO5M=", E, false},
    {"text before", "private.pem", "x\n" B, K, E, false},
    {"wrapped body", "private.pem", B,
     "MC4CAQAwBQYDK2VwBCIEIA34ujHA8KrT2CyD\nlvSQAqB2/jKII/yWh2K2YTXLO5Nq", E, false},
};

static void test_pems(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(pems); i++) {
        struct buf text = {0};
        struct identity id;
        struct err e = {0};

        buf_printf(&text, "%s%s%s", pems[i].begin, pems[i].body, pems[i].end);
        write_file(pems[i].file, buf_str(&text));
        unit_true(pems[i].name, (identity_load(&id, dir, &e) == 0) == pems[i].is_right);
        if (!pems[i].is_right) {
            unit_true(pems[i].name, strstr(e.msg, "private.pem: not an Ed25519 PRIVATE KEY"));
            unit_true(pems[i].name, strstr(e.msg, pems[i].body) == NULL || !*pems[i].body);
        }
        buf_free(&text);
    }
}

static void test_halves(void **state)
{
    struct identity id;
    struct err e;

    (void)state;
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "kachery-resource register"));

    write_file("public.pem", vector("publicPem"));
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_int_equal(e.code, ERR_FAILED);
    assert_non_null(strstr(e.msg, "no private.pem"));

    write_vectors();
    write_file("public.pem", STR("-----BEGIN PUBLIC KEY-----\n"
                                 "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                                 "-----END PUBLIC KEY-----\n"));
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_non_null(strstr(e.msg, "does not belong"));
}

static void test_environment(void **state)
{
    struct identity id;
    struct err e;
    char id_text[65], key_text[65];

    (void)state;
    snprintf(id_text, sizeof id_text, "%.*s", STR_ARG(vector("clientId")));
    snprintf(key_text, sizeof key_text, "%.*s", STR_ARG(vector("privateKeyHex")));
    setenv("KACHERY_CLOUD_CLIENT_ID", id_text, 1);
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_non_null(strstr(e.msg, "KACHERY_CLOUD_PRIVATE_KEY is not"));

    setenv("KACHERY_CLOUD_PRIVATE_KEY", key_text, 1);
    assert_int_equal(identity_load(&id, dir, &e), 0);
    assert_string_equal(id.client_id, id_text);
    assert_int_equal(identity_create(&id, dir, &e), 0); /* and no files: see teardown */
    assert_int_not_equal(access(path_of("public.pem"), F_OK), 0);

    key_text[63] = 'x';
    setenv("KACHERY_CLOUD_PRIVATE_KEY", key_text, 1);
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_null(strstr(e.msg, key_text));

    key_text[63] = key_text[63] == '0' ? '1' : '0';
    setenv("KACHERY_CLOUD_PRIVATE_KEY", key_text, 1);
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_non_null(strstr(e.msg, "does not belong"));

    setenv("KACHERY_CLOUD_CLIENT_ID", "", 1); /* counts as unset */
    assert_int_equal(identity_load(&id, dir, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void test_create(void **state)
{
    struct buf private_pem = {0}, public_pem = {0}, again = {0};
    struct identity made, id;
    struct stat st;
    struct err e;

    (void)state;
    umask(0022);
    if (identity_create(&made, dir, &e) != 0)
        fail_msg("%s", e.msg);
    assert_int_equal(stat(path_of("private.pem"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(path_of("public.pem"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600); /* the folder is 0700 */
    read_file("private.pem", &private_pem);
    read_file("public.pem", &public_pem);
    assert_int_equal(identity_load(&id, dir, &e), 0);
    assert_string_equal(id.client_id, made.client_id);

    assert_int_equal(identity_create(&id, dir, &e), 0); /* keeps what is there */
    read_file("private.pem", &again);
    unit_equal_str("private kept", buf_str(&again), buf_str(&private_pem));

    unlink(path_of("public.pem")); /* follows from the private one */
    assert_int_equal(identity_create(&id, dir, &e), 0);
    read_file("public.pem", &again);
    unit_equal_str("public restored", buf_str(&again), buf_str(&public_pem));
    buf_free(&private_pem);
    buf_free(&public_pem);
    buf_free(&again);
}

static void test_create_never_overwrites(void **state)
{
    struct buf text = {0};
    struct identity id;
    struct err e;

    (void)state;
    write_file("private.pem", STR("something else\n"));
    assert_int_equal(identity_create(&id, dir, &e), -1);
    read_file("private.pem", &text);
    unit_equal_str("kept", buf_str(&text), STR("something else\n"));
    assert_int_not_equal(access(path_of("public.pem"), F_OK), 0);
    buf_free(&text);
}

/* Many at once agree on one key pair. */
static void test_create_race(void **state)
{
    enum { RACERS = 8 };
    struct identity ids[RACERS];
    pid_t pids[RACERS];
    int pipes[RACERS][2], start[2];
    struct err e;
    char byte;

    (void)state;
    assert_int_equal(pipe(start), 0);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        pids[i] = fork();
        if (pids[i] == 0) {
            close(start[1]);
            if (read(start[0], &byte, 1) != 0 || identity_create(&ids[i], dir, &e) != 0)
                _exit(1);
            _exit(write(pipes[i][1], &ids[i], sizeof ids[i]) == sizeof ids[i] ? 0 : 1);
        }
    }
    close(start[0]);
    close(start[1]); /* now */
    for (int i = 0; i < RACERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        assert_int_equal(read(pipes[i][0], &ids[i], sizeof ids[i]), sizeof ids[i]);
        assert_string_equal(ids[i].client_id, ids[0].client_id);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    assert_int_equal(identity_load(&ids[1], dir, &e), 0);
    assert_string_equal(ids[1].client_id, ids[0].client_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pems, setup, teardown),
        cmocka_unit_test_setup_teardown(test_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_never_overwrites, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_race, setup, teardown),
    };
    struct buf text = {0};
    struct err e;
    int status;

    if (fs_read_file("tests/vectors/signatures.json", 1 << 20, &text, &e) != 0 ||
        (vectors = json_parse(buf_str(&text), JSON_STRICT, &e)) == NULL)
        return fprintf(stderr, "%s\n", e.msg), 1;
    status = cmocka_run_group_tests(tests, NULL, NULL);
    json_free(vectors);
    buf_free(&text);
    return status;
}
