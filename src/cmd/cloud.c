#include "cmd/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/quote.h"
#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "cmd/label.h"
#include "proto/url.h"
#include "store/hash_file.h"
#include "zone/download.h"

/* As cmd_parse, for exactly one argument. */
static int parse_one_argument(int argc, char **argv, const struct cmd_option *options,
                              const char **argument)
{
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    int status = cmd_parse(argv[0], argc, argv, &args);

    if (status < 0)
        *argument = args.operands[0];
    return status;
}

/* ---- store, store-local, link ---- */

static int fail_without_memory(const char *name)
{
    struct err e;

    err_set(&e, ERR_FAILED, "out of memory");
    return cmd_fail(name, &e);
}

/* Appends the label: the one that was given, else the file's base name. */
static void put_file_label(struct buf *out, const char *given, const char *path)
{
    if (given != NULL && given[0] != '\0')
        buf_puts(out, given);
    else
        label_put_base_name(out, path);
}

int cloud_store(int argc, char **argv)
{
    struct store_files what = {.name = argv[0], .count = 1, .form = URI_LIST_BARE};
    const char *given = NULL, *path;
    const struct cmd_option options[] = {
        {.name = "cache-locally", .flag = &what.cache_locally},
        {.name = "label", .value = &given},
        {0},
    };
    struct buf label = {0};
    int status = parse_one_argument(argc, argv, options, &path);

    if (status >= 0)
        return status;
    put_file_label(&label, given, path);
    what.paths = &path;
    what.label = buf_cstr(&label);
    status = label.failed ? fail_without_memory(argv[0]) : store_run(&what);
    buf_free(&label);
    return status;
}

static int add_one(const char *name, enum batch_work work, const char *path, const char *label)
{
    const char *trees = work == BATCH_LINK ? "kachery-resource link -r"
                                           : "kachery-resource store-local -r";
    const struct add_files what = {.name = name,
                                   .work = work,
                                   .sources = {.paths = &path,
                                               .path_count = 1,
                                               .for_trees = trees},
                                   .label = label,
                                   .jobs = 1,
                                   .form = URI_LIST_BARE};

    return add_files_run(&what);
}

int cloud_link(int argc, char **argv)
{
    const char *given = NULL, *path;
    const struct cmd_option options[] = {{.name = "label", .value = &given}, {0}};
    struct buf label = {0};
    int status = parse_one_argument(argc, argv, options, &path);

    if (status >= 0)
        return status;
    put_file_label(&label, given, path);
    const char *text = buf_cstr(&label);
    status = label.failed ? fail_without_memory(argv[0]) : add_one(argv[0], BATCH_LINK, path, text);
    buf_free(&label);
    return status;
}

static bool show_hashed(void *ctx, int64_t bytes)
{
    remote_bar_show(ctx, "hashing", bytes, 0);
    return true;
}

/* Appends a URI that tells where the file is; nothing is stored but its hash, in the cache. */
static int put_reference(struct buf *out, const char *path, struct str label, struct err *e)
{
    struct remote_bar bar = {.is_quiet = false};
    const struct hash_watch watch = {show_hashed, &bar};
    const struct hash_options options = {.flags = HASH_USE_CACHE, .watch = &watch};
    struct hash_result hashed;
    struct buf absolute = {0};
    struct store store;
    int result = -1;

    if (store_init(&store, e) != 0)
        return -1;
    if (fs_absolute_path(path, &absolute, e) == 0 &&
        hash_file(&store, buf_path(&absolute, e), &options, &hashed, e) == 0) {
        kachery_uri_put(out, hashed.hash, label);
        kachery_uri_put_location(out, buf_str(&absolute));
        result = buf_check(out, e);
    }
    remote_bar_end(&bar);
    buf_free(&absolute);
    store_deinit(&store);
    return result;
}

static int refer_to_file(const char *name, const char *path, struct str label)
{
    struct uri_list list = {.name = name, .form = URI_LIST_BARE};
    struct buf uri = {0};
    struct err e;

    const char *text = put_reference(&uri, path, label, &e) == 0 ? buf_path(&uri, &e) : NULL;
    if (text != NULL)
        uri_list_add(&list, path, text, -1);
    else
        uri_list_fail(&list, path, &e);
    buf_free(&uri);
    return uri_list_end(&list);
}

static int store_path_locally(const char *name, const char *path, struct str label,
                              bool is_reference)
{
    struct buf text = {0};
    int status;

    if (is_reference)
        return refer_to_file(name, path, label);
    buf_put(&text, label);
    const char *given = buf_cstr(&text);
    status = text.failed ? fail_without_memory(name) : add_one(name, BATCH_COPY, path, given);
    buf_free(&text);
    return status;
}

/* The URI's own label, decoded; the Python client has none for one without but its hash. */
static void put_uri_label(struct buf *out, const struct kachery_uri *uri)
{
    if (uri->label.len == 0 || !url_put_decoded(out, uri->label) || !str_is_utf8(buf_str(out))) {
        buf_clear(out);
        buf_puts(out, uri->hash);
    }
}

/* store-local of a URI: of the file that it names, got first where it is not here. */
static int store_uri_locally(const char *name, const char *text, const char *given,
                             bool is_reference)
{
    struct transfer transfer = {.keeps_copy = true};
    struct buf label = {0};
    struct remote remote;
    char *path = NULL;
    struct err e;
    int status, result = -1;

    if (kachery_uri_parse(&transfer.uri, str_of(text), KACHERY_URI_USER, &e) != 0)
        return cmd_fail(name, &e);
    if (remote_open(&remote, name, REMOTE_KEYS_IF_THERE, &e) == 0) {
        result = remote_fetch(&remote, &transfer, &path, &e);
        remote_close(&remote);
    }
    if (result != 0) {
        err_wrap(&e, "%s", text);
        return cmd_fail(name, &e);
    }
    if (str_of(given).len > 0)
        buf_puts(&label, given);
    else
        put_uri_label(&label, &transfer.uri);
    status = label.failed ? fail_without_memory(name)
                          : store_path_locally(name, path, buf_str(&label), is_reference);
    buf_free(&label);
    free(path);
    return status;
}

int cloud_store_local(int argc, char **argv)
{
    const char *given = NULL, *path;
    bool is_reference = false;
    const struct cmd_option options[] = {
        {.name = "reference", .flag = &is_reference},
        {.name = "label", .value = &given},
        {0},
    };
    struct buf label = {0};
    int status = parse_one_argument(argc, argv, options, &path);

    if (status >= 0)
        return status;
    if (str_starts_with(str_of(path), STR("sha1://")))
        return store_uri_locally(argv[0], path, given, is_reference);
    put_file_label(&label, given, path);
    status = label.failed ? fail_without_memory(argv[0])
                          : store_path_locally(argv[0], path, buf_str(&label), is_reference);
    buf_free(&label);
    return status;
}

/* ---- load, load-info, cat ---- */

/* A file that nobody has is no error here, and nothing is said of it. */
static int finish_load(const char *name, int result, const struct err *e)
{
    if (result != 0 && e->code != ERR_NOT_FOUND)
        return cmd_fail(name, e);
    return cmd_finish(name, CMD_OK);
}

/* The kinds of arguments of the Python client's load_file. */
enum argument {
    ARGUMENT_URI,
    ARGUMENT_PATH,      /* an absolute one: the file is there or not */
    ARGUMENT_ELSEWHERE, /* that client downloads it from elsewhere, and we do not */
    ARGUMENT_NOTHING    /* none of these: it is not found */
};

static enum argument argument_kind(const char *text)
{
    static const char *const elsewhere[] = {"gh://", "zenodo://", "zenodo-sandbox://", "http://",
                                            "https://"};

    if (str_starts_with(str_of(text), STR("sha1://")))
        return ARGUMENT_URI;
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (str_starts_with(str_of(text), str_of(elsewhere[i])))
            return ARGUMENT_ELSEWHERE;
    return *text == '/' ? ARGUMENT_PATH : ARGUMENT_NOTHING;
}

/* Says that we get files of sha1:// URIs alone; -1. */
static int refuse_argument(const char *text, struct err *e)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_FAILED,
                   "\"%s\" is not supported: want sha1:// and 40 lower-case hex digits",
                   quote_str(quoted, str_of(text)));
}

/* Copies a file that has no URI to `to_file`. */
static int copy_plain_file(const char *path, const char *to_file, struct err *e)
{
    struct transfer transfer = {.to_file = to_file, .on_temporary = interrupt_guard};
    const struct download_source copy = {.transfer = &transfer};
    struct hash_result hashed;
    struct store store;
    int result;

    if (store_init(&store, e) != 0)
        return -1;
    result = hash_file(&store, path, NULL, &hashed, e);
    store_deinit(&store);
    if (result != 0)
        return err_wrap(e, "%s", path);
    memcpy(transfer.uri.hash, hashed.hash, sizeof transfer.uri.hash);
    return download_copy(&copy, path, e);
}

/* load of a path: it is the answer, if something is there. */
static int load_path(const char *path, const char *to_file, struct err *e)
{
    struct stat st;
    struct buf line = {0};

    if (stat(path, &st) != 0)
        return err_set(e, ERR_NOT_FOUND, "%s: not there", path);
    if (to_file != NULL && copy_plain_file(path, to_file, e) != 0)
        return -1;
    buf_printf(&line, "%s\n", to_file != NULL ? to_file : path);
    cmd_print_buf(&line);
    buf_free(&line);
    return 0;
}

static int load_argument(const char *name, const char *text, const char *to_file, struct err *e)
{
    struct transfer transfer = {.keeps_copy = true, .to_file = to_file};

    switch (argument_kind(text)) {
    case ARGUMENT_PATH: return load_path(text, to_file, e);
    case ARGUMENT_ELSEWHERE: return refuse_argument(text, e);
    case ARGUMENT_NOTHING: return err_set(e, ERR_NOT_FOUND, "no URI");
    default: break;
    }
    if (kachery_uri_parse(&transfer.uri, str_of(text), KACHERY_URI_USER, e) != 0)
        return -1;
    return load_run(name, &transfer, e);
}

int cloud_load(int argc, char **argv)
{
    const char *to_file = NULL, *text;
    const struct cmd_option options[] = {{.name = "dest", .value = &to_file}, {0}};
    int status = parse_one_argument(argc, argv, options, &text);
    struct err e = {0};

    if (status >= 0)
        return status;
    if (to_file != NULL && *to_file == '\0')
        to_file = NULL;
    return finish_load(argv[0], load_argument(argv[0], text, to_file, &e), &e);
}

int cloud_load_info(int argc, char **argv)
{
    struct kachery_uri uri;
    const char *text;
    int status = parse_one_argument(argc, argv, NULL, &text);
    struct err e = {0};

    if (status >= 0)
        return status;
    if (kachery_uri_parse(&uri, str_of(text), KACHERY_URI_USER, &e) != 0)
        return cmd_fail(argv[0], &e);
    return finish_load(argv[0], info_run(argv[0], &uri, INFO_INDENTED, &e), &e);
}

static int cat_argument(const char *name, const char *text, struct err *e)
{
    const struct cat_range all = {.start = 0, .end = -1};
    struct transfer transfer = {.to_file = NULL};

    switch (argument_kind(text)) {
    case ARGUMENT_PATH: return cat_path(text, e);
    case ARGUMENT_ELSEWHERE: return refuse_argument(text, e);
    case ARGUMENT_NOTHING: return err_set(e, ERR_NOT_FOUND, "no URI");
    default: break;
    }
    if (kachery_uri_parse(&transfer.uri, str_of(text), KACHERY_URI_USER, e) != 0)
        return -1;
    return cat_run(name, &transfer, all, e);
}

int cloud_cat(int argc, char **argv)
{
    const char *text;
    int status = parse_one_argument(argc, argv, NULL, &text);
    struct err e = {0};

    if (status >= 0)
        return status;
    return finish_load(argv[0], cat_argument(argv[0], text, &e), &e);
}

/* ---- init ---- */

static void print_registered_client(const struct remote *remote,
                                    const struct gateway_client *client)
{
    struct buf text = {0};

    buf_printf(&text, "Client ID: %s\nLabel: ", remote->gateway.identity.client_id);
    fs_put_printable(&text, str_of(client->label));
    buf_puts(&text, "\nOwner: ");
    fs_put_printable(&text, str_of(client->owner_id));
    buf_putc(&text, '\n');
    cmd_print_buf(&text);
    buf_free(&text);
}

/* Registers the client with the user's help; -1 when that did not happen. */
static int initialize_client(struct remote *remote, struct gateway_client *client, struct err *e)
{
    char host_name[REGISTER_LABEL_SIZE];
    struct buf link = {0};
    int result = register_begin(remote, register_default_label(host_name), client, &link, e);

    if (result == 0 && !client->is_found) {
        printf("\n%s\n\nOpen this link to register the client, then press Enter here.\n\n",
               cmd_words(&link));
        fflush(stdout);
        result = register_wait(remote, STDIN_FILENO, client, e);
    }
    if (result != 0)
        register_tell_refused(buf_str(&link));
    if (result == 0 && !client->is_found)
        result = err_set(e, ERR_FAILED, "the client is not registered with the zone \"%s\" of %s",
                         remote->gateway.zone, remote->gateway.shown);
    if (result == 0 && link.len > 0)
        printf("Client initialized successfully.\n");
    else if (result == 0)
        printf("This client has already been registered:\n%s/client/%s\n\n", remote->gateway.url,
               remote->gateway.identity.client_id);
    buf_free(&link);
    return result;
}

int cloud_init(int argc, char **argv)
{
    struct cmd_args args = {.options = NULL};
    int status = cmd_parse(argv[0], argc, argv, &args);
    struct gateway_client client = {0};
    struct remote remote;
    struct err e;

    if (status >= 0)
        return status;
    if (remote_open(&remote, argv[0], REMOTE_KEYS_LATER, &e) != 0)
        return cmd_fail(argv[0], &e);
    status = CMD_OK;
    if (initialize_client(&remote, &client, &e) == 0)
        print_registered_client(&remote, &client);
    else
        status = cmd_fail(argv[0], &e);
    gateway_client_deinit(&client);
    remote_close(&remote);
    return cmd_finish(argv[0], status);
}
