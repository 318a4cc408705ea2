#include "daemon/cron_record.h"

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/newfile.h"

enum { MAX_CRON_BYTES = 4096 };

#define AT(member) offsetof(struct cron_record, member)
static const struct field cron_fields[] = {
    {.name = "host", .kind = FIELD_CHARS, .at = AT(host), .max = CRON_RECORD_TEXT - 1},
    {.name = "ms", .kind = FIELD_INT, .at = AT(at_ms)},
    {.name = "outcome", .kind = FIELD_CHARS, .at = AT(outcome), .max = ERR_MESSAGE_SIZE - 1},
    {.kind = FIELD_OTHERS},
};
#undef AT

static int put_cron_file(const char *path, const struct cron_record *record, struct err *e)
{
    struct buf text = {0};
    int result;

    fields_put(&text, cron_fields, record);
    buf_putc(&text, '\n');
    result = buf_check(&text, e);
    if (result == 0)
        result = newfile_put_mode(path, buf_str(&text), 0,
                                  newfile_is_in_group_folder(path) ? 0660 : 0600, e);
    buf_free(&text);
    return result;
}

int cron_record_write(const char *folder, const char *outcome, struct err *e)
{
    struct cron_record record = {.at_ms = clock_wall_ms()};
    struct buf path = {0};
    int result;

    if (gethostname(record.host, sizeof record.host - 1) != 0)
        snprintf(record.host, sizeof record.host, "unknown host");
    struct str fits = str_cut(str_of(outcome), sizeof record.outcome - 1);
    snprintf(record.outcome, sizeof record.outcome, "%.*s", STR_ARG(fits));
    buf_printf(&path, "%s/cron", folder);
    result = buf_path(&path, e) == NULL ? -1 : put_cron_file(path.data, &record, e);
    buf_free(&path);
    return result;
}

int cron_record_read(const char *folder, struct cron_record *out, struct err *e)
{
    struct cron_record read = {.at_ms = 0};
    struct buf path = {0}, text = {0};
    struct json *root = NULL;
    int result;

    buf_printf(&path, "%s/cron", folder);
    result = fs_read_file(buf_path(&path, e), MAX_CRON_BYTES, &text, e);
    if (result == 0 && (root = json_parse(buf_str(&text), JSON_STRICT, e)) == NULL)
        result = err_wrap(e, "%s", path.data);
    if (result == 0)
        result = fields_read(cron_fields, root, &read, NULL, e);
    if (result == 0)
        *out = read;
    json_free(root);
    buf_free(&text);
    buf_free(&path);
    return result;
}
