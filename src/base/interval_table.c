#include "base/interval_table.h"

#include "base/env.h"

static int64_t *member_of_row(void *t, const struct interval_row *row)
{
    return (int64_t *)(void *)((char *)t + row->offset);
}

static int set_interval(const struct interval_table *table, void *t, struct str part, struct err *e)
{
    size_t equals = str_find(part, '=');
    struct str name = str_slice(part, 0, equals);
    uint64_t ms;

    for (size_t i = 0; i < table->count; i++) {
        if (!str_equal(name, str_of(table->rows[i].name)))
            continue;
        if (!str_to_uint(str_slice(part, equals + 1, part.len), INTERVAL_MAX_MS, &ms))
            break;
        *member_of_row(t, &table->rows[i]) = (int64_t)ms;
        return 0;
    }
    return err_set(e, ERR_USAGE, "interval \"%.*s\": want NAME=MILLISECONDS", STR_ARG(part));
}

int interval_table_parse(const struct interval_table *table, void *t, struct str text,
                         struct err *e)
{
    while (text.len > 0) {
        size_t end = str_find(text, ',');
        if (set_interval(table, t, str_slice(text, 0, end), e) != 0)
            return -1;
        text = str_slice(text, end + 1, text.len);
    }
    return 0;
}

int interval_table_load(const struct interval_table *table, void *t, const char *variable,
                        struct err *e)
{
    for (size_t i = 0; i < table->count; i++)
        *member_of_row(t, &table->rows[i]) = table->rows[i].ms;
    if (interval_table_parse(table, t, str_of(env_get(variable)), e) == 0)
        return 0;
    return err_wrap(e, "%s", variable);
}
