#include "cmd/uri_list.h"

#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/fs.h"
#include "base/json.h"
#include "cmd/cmd.h"

/* One element of the array, on a line of its own. */
static void print_element(struct uri_list *list, const char *path, const char *uri, int64_t size,
                          const char *error)
{
    struct buf out = {0};

    buf_puts(&out, list->is_begun ? ",\n" : "[\n");
    list->is_begun = true;
    buf_putc(&out, '{');
    if (uri != NULL)
        json_put_str(&out, "uri", str_of(uri));
    else
        json_put_null(&out, "uri");
    json_put_path(&out, "path", str_of(path));
    if (size >= 0)
        json_put_int(&out, "size", size);
    else
        json_put_null(&out, "size");
    if (error != NULL)
        json_put_path(&out, "error", str_of(error));
    else
        json_put_null(&out, "error");
    json_close(&out, '}');
    cmd_print_buf(&out);
    buf_free(&out);
}

void uri_list_add(struct uri_list *list, const char *path, const char *uri, int64_t size)
{
    struct buf line = {0};

    if (list->form == URI_LIST_JSON) {
        print_element(list, path, uri, size, NULL);
        return;
    }
    buf_puts(&line, uri);
    if (list->form == URI_LIST_PATHS) {
        buf_putc(&line, '\t');
        fs_put_printable(&line, str_of(path));
    }
    buf_putc(&line, '\n');
    cmd_print_buf(&line);
    buf_free(&line);
}

/* The user may know what strangers must not: whose a file is, and where a link leads. */
static struct err explained_error(const char *path, const struct err *e)
{
    struct err told = *e;

    if (path[0] == '/' && strstr(e->msg, "cannot ") != NULL)
        cause_explain(path, &told);
    return told;
}

void uri_list_fail(struct uri_list *list, const char *path, const struct err *cause)
{
    const struct err told = explained_error(path, cause), *e = &told;

    cmd_warn_file(list->name, path, e);
    if (list->form == URI_LIST_JSON)
        print_element(list, path, NULL, -1, e->msg);
    list->has_failed = true;
}

int uri_list_end(struct uri_list *list)
{
    if (list->form == URI_LIST_JSON)
        cmd_print(list->is_begun ? STR("\n]\n") : STR("[]\n"));
    return cmd_finish(list->name, list->has_failed ? CMD_FAILED : CMD_OK);
}
