/* Folder indexes: a text that is taken is taken in pieces too; what is written of it is read as the
 * same, and each of its files is found and stands in the folder that its path names. */
#include "fuzz.h"
#include "proto/folder_index.h"

static bool parse_bytes(struct str text, struct folder_index *out)
{
    struct folder_parser p = {0};
    struct err e = {0};
    int result = 0;

    for (size_t i = 0; i < text.len && result == 0; i++)
        result = folder_parser_feed(&p, str_slice(text, i, i + 1), &e);
    if (result == 0)
        result = folder_parser_end(&p, out, &e);
    folder_parser_free(&p);
    return result == 0;
}

static void look_up(const struct folder_index *index, const struct folder_file *file)
{
    struct str path = folder_file_path(file), name;
    const struct folder_file *found;
    size_t folder = path.len, at, end;
    bool is_there = false;

    require(folder_index_is_path(path) && folder_index_find(index, path) == file);
    while (folder > 0 && path.p[folder - 1] != '/')
        folder--;
    require(folder_index_range(index, str_slice(path, 0, folder), &at, &end));
    while (folder_index_next(index, str_slice(path, 0, folder), &at, end, &name, &found))
        is_there = is_there || found == file;
    require(is_there);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = {(const char *)data, size};
    struct folder_index index = {0}, again = {0};
    struct buf out = {0};
    struct err e = {0};

    bool is_index = folder_index_parse(&index, text, &e) == 0;
    require(is_index || e.code == ERR_PROTOCOL);
    require(parse_bytes(text, &again) == is_index);
    require(again.count == index.count);
    folder_index_free(&again);
    if (is_index) {
        for (size_t i = 0; i < index.count && i < 100; i++)
            look_up(&index, &index.files[i]);
        require(folder_index_put(&index, &out, &e) == 0);
        require(folder_index_parse(&again, buf_str(&out), &e) == 0);
        require(again.count == index.count);
    }
    folder_index_free(&again);
    folder_index_free(&index);
    buf_free(&out);
    return 0;
}
