#include "proxy/folder_page.h"

#include "base/hex.h"
#include "base/json.h"
#include "http/html.h"
#include "proto/url.h"

enum { COUNTED_BYTES = 65536 };

bool folder_page_begin(struct folder_page *page)
{
    page->part = FOLDER_PAGE_HEAD;
    page->has_entries = false;
    buf_clear(&page->made);
    return folder_index_range(page->index, page->folder, &page->at, &page->end);
}

static void put_page_head(struct folder_page *page)
{
    struct buf *out = &page->made, title = {0};

    if (page->is_json) {
        buf_puts(out, "[");
        return;
    }
    buf_puts(&title, "Index of /");
    buf_put(&title, page->folder);
    html_open(out, buf_str(&title));
    buf_puts(out, "<pre>\n");
    if (page->folder.len > 0)
        buf_puts(out, "<a href=\"../\">../</a>\n");
    out->failed |= title.failed;
    buf_free(&title);
}

static void put_json_entry(struct folder_page *page, struct str name,
                           const struct folder_file *file)
{
    struct buf *out = &page->made, entry = {0};
    char hash[SHA1_HEX + 1];

    json_open(&entry, '{');
    json_put_str(&entry, "name", name);
    json_put_str(&entry, "type", file == NULL ? STR("directory") : STR("file"));
    if (file != NULL) {
        hex_encode(file->sha1, sizeof file->sha1, hash);
        json_put_int(&entry, "size", file->size);
        json_put_str(&entry, "sha1", str_of(hash));
    }
    json_close(&entry, '}');
    buf_puts(out, page->has_entries ? ",\n" : "\n");
    buf_put_buf(out, &entry);
    buf_free(&entry);
}

static void put_html_entry(struct folder_page *page, struct str name,
                           const struct folder_file *file)
{
    const char *end = file == NULL ? "/" : "";
    struct buf *out = &page->made;

    buf_puts(out, "<a href=\"");
    url_put_encoded(out, name, "");
    buf_printf(out, "%s\">", end);
    html_put(out, name);
    buf_printf(out, "%s</a>", end);
    if (file != NULL)
        buf_printf(out, "  %lld", (long long)file->size);
    buf_putc(out, '\n');
}

static void put_page_end(struct folder_page *page)
{
    if (page->is_json) {
        buf_puts(&page->made, page->has_entries ? "\n]\n" : "]\n");
        return;
    }
    buf_puts(&page->made, "</pre>\n");
    html_close(&page->made);
}

/* Makes the next piece; false at the end. */
static bool make_next_piece(struct folder_page *page)
{
    const struct folder_file *file;
    struct str name;

    switch (page->part) {
    case FOLDER_PAGE_HEAD:
        put_page_head(page);
        page->part = FOLDER_PAGE_FILES;
        return true;
    case FOLDER_PAGE_FILES:
        if (!folder_index_next(page->index, page->folder, &page->at, page->end, &name, &file)) {
            put_page_end(page);
            page->part = FOLDER_PAGE_END;
            return true;
        }
        if (page->is_json)
            put_json_entry(page, name, file);
        else
            put_html_entry(page, name, file);
        page->has_entries = true;
        return true;
    case FOLDER_PAGE_END: break;
    }
    return false;
}

bool folder_page_make(struct folder_page *page, struct buf *out, size_t room)
{
    while (page->made.len < room && !page->made.failed && make_next_piece(page))
        continue;
    if (page->made.failed)
        return false;
    struct str part = str_slice(buf_str(&page->made), 0, room);
    buf_put(out, part);
    buf_consume(&page->made, part.len);
    return !out->failed;
}

int64_t folder_page_length(struct folder_page *page)
{
    int64_t length = 0;

    while (!page->made.failed && make_next_piece(page))
        if (page->made.len >= COUNTED_BYTES || page->part == FOLDER_PAGE_END) {
            length += (int64_t)page->made.len;
            buf_clear(&page->made);
        }
    if (page->made.failed)
        return -1;
    folder_page_begin(page);
    return length;
}

void folder_page_free(struct folder_page *page)
{
    buf_free(&page->made);
}
