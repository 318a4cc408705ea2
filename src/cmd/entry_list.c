#include "cmd/entry_list.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "proto/kachery_uri.h"

/* Writes "-" for a value that is not known or not there. */
static void put_entry_line(struct buf *out, const char *uri, const struct store_entry *entry,
                           enum manifest_file_state manifest)
{
    static const char *const words[] = {"-", "no", "yes", "-", "yes"};
    const char *state = store_state_name(entry->state);
    const char *kind = entry->state == STORE_ABSENT ? "-" : store_kind_name(entry->kind);
    char size[24] = "-";

    if (entry->path != NULL)
        snprintf(size, sizeof size, "%lld", (long long)entry->size);
    if (isatty(STDOUT_FILENO))
        buf_printf(out, "%-7s  %-4s  %15s  %-3s  %s  ", state, kind, size,
                   words[manifest], uri);
    else
        buf_printf(out, "%s\t%s\t%s\t%s\t%s\t", state, kind, size, words[manifest], uri);
    fs_put_printable(out, str_of(entry->path == NULL ? "-" : entry->path));
    buf_putc(out, '\n');
}

static void put_entry_element(struct buf *out, const char *uri, const struct store_entry *entry,
                              enum manifest_file_state manifest)
{
    buf_putc(out, '{');
    json_put_str(out, "uri", str_of(uri));
    if (entry->path == NULL) {
        json_put_null(out, "path");
        json_put_null(out, "size");
    } else {
        json_put_path(out, "path", str_of(entry->path));
        json_put_int(out, "size", entry->size);
    }
    if (entry->state == STORE_ABSENT)
        json_put_null(out, "kind");
    else
        json_put_str(out, "kind", str_of(store_kind_name(entry->kind)));
    json_put_str(out, "state", str_of(store_state_name(entry->state)));
    if (manifest == MANIFEST_FILE_NEEDLESS || manifest == MANIFEST_FILE_UNKNOWN)
        json_put_null(out, "manifest");
    else
        json_put_bool(out, "manifest", manifest != MANIFEST_FILE_ABSENT);
    json_close(out, '}');
}

void entry_list_add(struct entry_list *list, const char *hash, const struct store_entry *entry,
                    enum manifest_file_state manifest)
{
    struct buf out = {0}, uri = {0};

    kachery_uri_put(&uri, hash, STR(""));
    if (list->is_json) {
        buf_puts(&out, list->is_begun ? ",\n" : "[\n");
        put_entry_element(&out, cmd_words(&uri), entry, manifest);
    } else {
        put_entry_line(&out, cmd_words(&uri), entry, manifest);
    }
    list->is_begun = true;
    out.failed |= uri.failed;
    cmd_print_buf(&out);
    buf_free(&out);
    buf_free(&uri);
}

int entry_list_end(struct entry_list *list, int status)
{
    if (list->is_json)
        cmd_print(list->is_begun ? STR("\n]\n") : STR("[]\n"));
    return cmd_finish(list->name, status);
}
