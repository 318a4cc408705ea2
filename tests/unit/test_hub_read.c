/* Reading a file from a hub block by block: what is right is passed on, once and in order; what is
 * wrong is asked for again, and no byte of it is used. */
#include "zone/hub_read.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/sha1.h"
#include "peer.h"
#include "waker.h"

enum { LEAF = MANIFEST_LEAF_BYTES, SIZE = 2 * LEAF + 100, LEAVES = 3, MAX_ANSWERS = 5 };

static unsigned char content[SIZE];
static char address[SHA1_HEX + 1];

/* An answer of the hub: [start, end) of the file, of which it sends the first `sent` bytes. */
struct hub_answer {
    int status; /* 206, else one without bytes; 0: there is none */
    int64_t start, end;
    int64_t sent;    /* -1: all, and the connection stays */
    int64_t flipped; /* the byte of the file that is wrong; -1: none */
};

#define ALL -1
#define RIGHT -1

/* A hub of which that many answers are asked, one after the other. */
struct hub {
    struct peer peer;
    struct peer_step script[4 * MAX_ANSWERS + 1];
    struct buf texts[MAX_ANSWERS];
    struct gateway gateway;
    struct zone_call how;
    struct hub_manifest manifest;
    struct gateway_file file;
    struct buf url;
};

static void put_answer(struct buf *text, const struct hub_answer *answer)
{
    if (answer->status != 206) {
        buf_printf(text, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", answer->status);
        return;
    }
    buf_printf(text,
               "HTTP/1.1 206 Part\r\nContent-Length: %lld\r\nContent-Range: bytes %lld-%lld/%d\r\n"
               "\r\n",
               (long long)(answer->end - answer->start), (long long)answer->start,
               (long long)answer->end - 1, SIZE);
    size_t head = text->len;
    int64_t sent = answer->sent == ALL ? answer->end - answer->start : answer->sent;
    buf_append(text, content + answer->start, (size_t)sent);
    assert_false(text->failed);
    if (answer->flipped != RIGHT)
        text->data[head + (size_t)(answer->flipped - answer->start)] ^= 1;
}

static void start_hub(struct hub *hub, const struct hub_answer *answers)
{
    struct err e = {0};
    size_t steps = 0;
    bool is_new = true;

    memset(hub, 0, sizeof *hub);
    for (size_t n = 0; n < MAX_ANSWERS && answers[n].status != 0; n++) {
        put_answer(&hub->texts[n], &answers[n]);
        if (is_new)
            hub->script[steps++] = (struct peer_step)PEER_DO(ACCEPT);
        hub->script[steps++] = (struct peer_step)PEER_DO(HEAD);
        hub->script[steps++] =
            (struct peer_step){PEER_SEND, hub->texts[n].data, hub->texts[n].len};
        /* A client that got a wrong byte, or too few, comes again. */
        is_new = answers[n].sent != ALL || answers[n].flipped != RIGHT;
        if (is_new)
            hub->script[steps++] = (struct peer_step)PEER_DO(CLOSE);
    }
    hub->script[steps] = (struct peer_step)PEER_DO(END);
    peer_start(&hub->peer, hub->script);
    buf_printf(&hub->url, "http://127.0.0.1:%u/f/%s", hub->peer.port, address);
    hub->file = (struct gateway_file){.is_found = true, .url = hub->url.data, .size = SIZE};
    assert_int_equal(patience_load(&hub->gateway.patience, &e), 0);
    hub->gateway.patience.pause_min_ms = hub->gateway.patience.pause_max_ms = 1;
    hub->gateway.patience.attempts = 3;
    hub->gateway.patience.lost_ms = 0;
    hub->gateway.http = http_client_new(waker.loop, &e);
    assert_non_null(hub->gateway.http);
    hub->gateway.zone = hub->gateway.url = hub->gateway.shown = hub->url.data;
    hub->manifest =
        (struct hub_manifest){.gateway = &hub->gateway, .how = &hub->how, .size = SIZE, .page = 0};
    memcpy(hub->manifest.hash, address, sizeof address);
    for (uint64_t i = 0; i < LEAVES; i++) {
        unsigned char hash[SHA256_SIZE];
        sha256_of((struct str){(const char *)content + i * LEAF, manifest_block_bytes(SIZE, i)},
                  hash);
        buf_append(&hub->manifest.leaves, hash, sizeof hash);
    }
}

static void stop_hub(struct hub *hub)
{
    http_client_free(hub->gateway.http);
    peer_free(&hub->peer);
    for (size_t n = 0; n < MAX_ANSWERS; n++)
        buf_free(&hub->texts[n]);
    hub_manifest_close(&hub->manifest);
    buf_free(&hub->url);
}

/* What the reader received. */
struct taken {
    struct buf bytes;
    int64_t stops_at; /* the sink fails there; -1: never */
    int64_t told, total;
};

static int take_bytes(void *ctx, struct str chunk, struct err *e)
{
    struct taken *taken = ctx;

    if (taken->stops_at >= 0 && (int64_t)(taken->bytes.len + chunk.len) > taken->stops_at)
        return err_set(e, ERR_REFUSED, "the reader's own reason");
    buf_put(&taken->bytes, chunk);
    return buf_check(&taken->bytes, e);
}

static void on_progress(void *ctx, int64_t bytes, int64_t total)
{
    struct taken *taken = ctx;

    taken->told = bytes;
    taken->total = total;
}

static const struct reading_case {
    const char *name;
    int64_t start, end, stops_at;
    struct hub_answer answers[MAX_ANSWERS];
    const char *asked; /* the Range of each request */
    int64_t given;     /* bytes from `start` on */
    enum err_code code;
    const char *words; /* of the error */
} cases[] = {
    {"a few bytes of one block", 10, 15, -1, {{206, 0, LEAF, ALL, RIGHT}}, "0-262143 ", 5, ERR_NONE,
     ""},
    {"over the edge of two", LEAF - 3, LEAF + 4, -1, {{206, 0, 2 * LEAF, ALL, RIGHT}},
     "0-524287 ", 7, ERR_NONE, ""},
    {"the last block, which is shorter", 2 * LEAF + 99, -1, -1,
     {{206, 2 * LEAF, SIZE, ALL, RIGHT}}, "524288-524387 ", 1, ERR_NONE, ""},
    {"all, and further", 0, 1 << 30, -1, {{206, 0, SIZE, ALL, RIGHT}}, "0-524387 ", SIZE,
     ERR_NONE, ""},
    {"an empty range asks for nothing", 7, 7, -1, {{0, 0, 0, 0, 0}}, "", 0, ERR_NONE, ""},
    {"behind the end", SIZE + 1, -1, -1, {{0, 0, 0, 0, 0}}, "", 0, ERR_FAILED,
     "the file has 524388 bytes"},
    {"a block that is wrong once", 5, LEAF + 9, -1,
     {{206, 0, 2 * LEAF, ALL, LEAF + 200000}, {206, LEAF, 2 * LEAF, ALL, RIGHT}},
     "0-524287 262144-524287 ", LEAF + 4, ERR_NONE, ""},
    {"wrong where nobody reads", 0, 9, -1,
     {{206, 0, LEAF, ALL, LEAF - 1}, {206, 0, LEAF, ALL, RIGHT}}, "0-262143 0-262143 ", 9,
     ERR_NONE, ""},
    {"a block that stays wrong", 0, SIZE, -1,
     {{206, 0, SIZE, ALL, LEAF}, {206, LEAF, SIZE, ALL, LEAF}, {206, LEAF, SIZE, ALL, LEAF + 1}},
     "0-524387 262144-524387 262144-524387 ", LEAF, ERR_CHANGED,
     "asked for 3 times: block 1 (bytes 262144 to 524287)"},
    {"cut in mid-block: what came of it counts", 0, SIZE, -1,
     {{206, 0, SIZE, LEAF + 1000, RIGHT}, {206, LEAF + 1000, SIZE, ALL, RIGHT}},
     "0-524387 263144-524387 ", SIZE, ERR_NONE, ""},
    {"cut, and the half that came was wrong", 0, SIZE, -1,
     {{206, 0, SIZE, LEAF + 1000, LEAF + 7},
      {206, LEAF + 1000, SIZE, SIZE - LEAF - 1000, RIGHT}, /* it is hung up */
      {206, LEAF, SIZE, ALL, RIGHT}},
     "0-524387 263144-524387 262144-524387 ", SIZE, ERR_NONE, ""},
    {"a hub that lost the file before", 0, SIZE, -1, {{404, 0, 0, 0, RIGHT}}, "0-524387 ", 0,
     ERR_NOT_FOUND, ""},
    {"and after the first bytes", 0, SIZE, -1,
     {{206, 0, SIZE, LEAF + 5, RIGHT}, {404, 0, 0, 0, RIGHT}}, "0-524387 262149-524387 ", LEAF,
     ERR_FAILED, ""},
    {"a reader that has enough", 0, SIZE, LEAF, {{206, 0, SIZE, ALL, 2 * LEAF}}, "0-524387 ",
     LEAF, ERR_REFUSED, "the reader's own reason"},
};

/* "first-last " of each request that came. */
static void put_asked_ranges(struct buf *out, const struct buf *log)
{
    struct str rest = buf_str(log);
    const char *at;

    while ((at = memmem(rest.p, rest.len, "Range: bytes=", 13)) != NULL) {
        rest = str_slice(rest, (size_t)(at - rest.p) + 13, rest.len);
        buf_put(out, str_slice(rest, 0, str_find(rest, '\r')));
        buf_putc(out, ' ');
    }
}

static void test_ranges(void **state)
{
    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(cases); n++) {
        const struct reading_case *c = &cases[n];
        struct taken taken = {.stops_at = c->stops_at};
        const struct bucket_range range = {.start = c->start,
                                           .end = c->end,
                                           .sink = take_bytes,
                                           .ctx = &taken,
                                           .on_bytes = on_progress,
                                           .on_bytes_ctx = &taken};
        struct buf asked = {0};
        struct err e = {0};
        struct hub hub;
        start_hub(&hub, c->answers);
        int result = hub_read_range(&hub.manifest, &hub.file, &range, &e);
        unit_true(c->name, (result == 0) == (c->code == ERR_NONE) && e.code == c->code);
        unit_true(c->name, strstr(e.msg, c->words) != NULL);
        unit_true(c->name, (int64_t)taken.bytes.len == c->given);
        unit_true(c->name,
                  c->given == 0 ||
                      memcmp(taken.bytes.data, content + c->start, taken.bytes.len) == 0);
        unit_true(c->name, result != 0 || c->given == 0 ||
                               (taken.told == c->given && taken.total == c->given));
        http_client_free(hub.gateway.http); /* hangs up: the script is over */
        hub.gateway.http = NULL;
        peer_finish(&hub.peer);
        put_asked_ranges(&asked, &hub.peer.log);
        unit_equal_str(c->name, buf_str(&asked), str_of(c->asked));
        buf_free(&asked);
        buf_free(&taken.bytes);
        stop_hub(&hub);
    }
}

/* ---- parts ---- */

static char folder[32], final[64];

static int set_up_folder(void **state)
{
    strcpy(folder, "/tmp/test_hub_read.XXXXXX");
    if (waker_setup(state) != 0 || mkdtemp(folder) == NULL)
        return -1;
    snprintf(final, sizeof final, "%s/file", folder);
    return 0;
}

static int tear_down_folder(void **state)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 || waker_teardown(state) != 0;
}

static void keep_earlier_part(const void *bytes, size_t len)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s.part", folder, address);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static int read_into_part(struct hub *hub, struct part *part, struct err *e)
{
    static struct transfer transfer;
    const struct part_target target = {.final = final,
                                       .shown = "file",
                                       .size = SIZE,
                                       .check_block = hub_read_check,
                                       .check_ctx = &hub->manifest};

    transfer = (struct transfer){.uri = {.hash = ""}};
    memcpy(transfer.uri.hash, hub->manifest.hash, SHA1_HEX + 1);
    assert_int_equal(part_open(part, &transfer, &target, e), 0);
    return hub_read_part(&hub->manifest, &hub->file, part, e);
}

static void test_a_part_goes_on_behind_its_last_right_block(void **state)
{
    static const struct {
        const char *name;
        size_t kept, flipped; /* of the earlier time */
        struct hub_answer answer;
        const char *asked;
    } parts[] = {
        {"nothing", 0, SIZE, {206, 0, SIZE, ALL, RIGHT}, "0-524387 "},
        {"a block and a half", LEAF + LEAF / 2, SIZE, {206, LEAF, SIZE, ALL, RIGHT},
         "262144-524387 "},
        {"a wrong first block", 2 * LEAF, 9, {206, 0, SIZE, ALL, RIGHT}, "0-524387 "},
        {"a wrong second block", 2 * LEAF, LEAF, {206, LEAF, SIZE, ALL, RIGHT}, "262144-524387 "},
        {"all of it", SIZE, SIZE, {0, 0, 0, 0, 0}, ""}};
    char *bytes = malloc(SIZE);

    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(parts); n++) {
        const struct hub_answer answers[MAX_ANSWERS] = {parts[n].answer};
        struct buf asked = {0};
        struct err e = {0};
        struct part part;
        struct hub hub;
        memcpy(bytes, content, SIZE);
        if (parts[n].flipped < SIZE)
            bytes[parts[n].flipped] ^= 1;
        keep_earlier_part(bytes, parts[n].kept);
        start_hub(&hub, answers);
        unit_true(parts[n].name, read_into_part(&hub, &part, &e) == 0);
        unit_true(parts[n].name, part.bytes == SIZE && !part.is_spoilt);
        assert_int_equal(part_publish(&part, &e), 0);
        part_close(&part);
        http_client_free(hub.gateway.http);
        hub.gateway.http = NULL;
        peer_finish(&hub.peer);
        put_asked_ranges(&asked, &hub.peer.log);
        unit_equal_str(parts[n].name, buf_str(&asked), str_of(parts[n].asked));
        buf_free(&asked);
        stop_hub(&hub);
        assert_int_equal(unlink(final), 0);
    }
    free(bytes);
}

/* Each block is right by the manifest, which is of another file than the address. */
static void test_a_manifest_of_another_file_makes_none(void **state)
{
    const struct hub_answer answers[MAX_ANSWERS] = {{206, 0, SIZE, ALL, RIGHT}};
    char path[128];
    struct err e = {0};
    struct part part;
    struct hub hub;

    (void)state;
    start_hub(&hub, answers);
    memset(hub.manifest.hash, 'a', SHA1_HEX);
    assert_int_equal(read_into_part(&hub, &part, &e), -1);
    assert_int_equal(e.code, ERR_CHANGED);
    assert_non_null(strstr(e.msg, "the host's manifest is of another file"));
    assert_true(part.is_spoilt);
    part_close(&part);
    snprintf(path, sizeof path, "%s/%s.part", folder, hub.manifest.hash);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(final, F_OK), -1);
    stop_hub(&hub);
}

static int make_content(void **state)
{
    unsigned char digest[SHA1_SIZE];

    (void)state;
    for (size_t n = 0; n < SIZE; n++)
        content[n] = (unsigned char)(n * 2654435761u >> 13);
    sha1_of((struct str){(const char *)content, SIZE}, digest);
    hex_encode(digest, sizeof digest, address);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(test_ranges),
        cmocka_unit_test_setup_teardown(test_a_part_goes_on_behind_its_last_right_block,
                                        set_up_folder, tear_down_folder),
        cmocka_unit_test_setup_teardown(test_a_manifest_of_another_file_makes_none, set_up_folder,
                                        tear_down_folder),
    };

    return cmocka_run_group_tests(tests, make_content, NULL);
}
