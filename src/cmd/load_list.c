#include "cmd/load_list.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dirs.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/oddity.h"
#include "base/place.h"
#include "base/text_lines.h"
#include "cmd/cmd.h"
#include "cmd/ending.h"
#include "cmd/load_message.h"
#include "cmd/load_names.h"
#include "cmd/load_worker.h"
#include "cmd/remote.h"
#include "proc/pool.h"
#include "proto/folder_index.h"
#include "zone/download.h"

enum {
    LINE_BYTES = 16384, /* of a list: a URI with its label, and a path */
    INDEX_PIECE_BYTES = 65536
};

/* Of some jobs: how many there are, and of how many the size is known. */
struct load_sum {
    int64_t jobs, bytes, size, sized;
};

struct load_list {
    const struct load_list_options *options;
    struct load_job job;
    struct load_entry *entries; /* first those that were given, then the files of indexes */
    size_t count, cap, given_count;
    struct load_folder *folders;
    size_t folder_count;
    size_t next_job, next_line; /* the first entries that may be in no job yet, not printed yet */
    void *by_text, *by_hash;    /* trees of struct load_place */
    struct load_names names;
    struct loop *loop;
    struct ending ending;
    struct pool *pool;
    struct loop_call turn; /* gives jobs, prints and shows what came of them */
    struct loop_timer redraw;
    bool is_over;
    int status; /* then; -1: it cannot go on, and why */
    struct err why;
    struct buf frame;
    struct remote_bar bar;
    size_t jobs_left, jobs_total;
    int64_t jobs_small;       /* that ended without a word */
    struct load_sum here, at_host; /* here also of jobs that ended */
    struct load_sum ahead;         /* of known size, not begun */
    size_t failed, not_found;
};

/* The last entry of a text or of a hash. */
struct load_place {
    char *key;
    size_t index;
};

/* An index that becomes a folder. */
struct load_folder {
    size_t entry;     /* that names it */
    size_t next, end; /* its files: the next one whose end is not known yet */
    size_t failed, not_found;
};

/* ---- reading what is wanted ---- */

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct load_place *)a)->key, ((const struct load_place *)b)->key);
}

static void free_load_place(void *node)
{
    struct load_place *place = node;

    free(place->key);
    free(place);
}

/* The place of that key, made with LOAD_NONE; NULL without memory. */
static struct load_place *find_load_place(void **tree, const char *key)
{
    struct load_place wanted = {.key = (char *)(uintptr_t)key}, *made;
    struct load_place **found = tfind(&wanted, tree, compare_places);

    if (found != NULL)
        return *found;
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->key = strdup(key);
    made->index = LOAD_NONE;
    if (made->key != NULL && tsearch(made, tree, compare_places) != NULL)
        return made;
    free_load_place(made);
    return NULL;
}

static struct load_entry *add_entry(struct load_list *l, struct str text)
{
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct load_entry *entries = realloc(l->entries, cap * sizeof *entries);
        if (entries == NULL)
            return NULL;
        l->entries = entries;
        l->cap = cap;
    }
    struct load_entry *entry = &l->entries[l->count];
    *entry = (struct load_entry){.twin = LOAD_NONE, .next = LOAD_NONE, .size = -1};
    entry->text = text.p == NULL ? NULL : strndup(text.p, text.len);
    if (entry->text == NULL && text.p != NULL)
        return NULL;
    l->count++;
    return entry;
}

/* For messages: a file of an index has no URI that the user gave. */
static const char *shown_of(const struct load_entry *entry)
{
    return entry->text != NULL ? entry->text : entry->to_file;
}

static void fail_entry(struct load_list *l, struct load_entry *entry, const struct err *e)
{
    entry->is_done = true;
    entry->code = e->code;
    cmd_warn_file(l->options->name, shown_of(entry), e);
}

/* The file's path, in the folder. */
static int name_file(struct load_list *l, struct load_entry *entry, struct err *e)
{
    struct buf wanted = {0}, path = {0};
    int result;

    load_names_put(&wanted, entry->uri.label, entry->uri.hash);
    buf_printf(&path, "%s%s", l->options->folder,
               str_ends_with(str_of(l->options->folder), STR("/")) ? "" : "/");
    result = buf_check(&wanted, e);
    if (result == 0)
        result = load_names_take(&l->names, buf_str(&wanted), entry->uri.hash, &path, e);
    if (result == 0)
        entry->to_file = buf_take(&path);
    buf_free(&wanted);
    buf_free(&path);
    return result;
}

/* Puts the entry behind the others of its hash, which one job gets. */
static int join_job(struct load_list *l, size_t index, struct err *e)
{
    struct load_place *place = find_load_place(&l->by_hash, l->entries[index].uri.hash);

    if (place == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (place->index == LOAD_NONE) {
        l->jobs_total++;
        l->entries[index].is_first = true;
    } else {
        l->entries[place->index].next = index;
    }
    place->index = index;
    return 0;
}

/* The label of an index ends with a slash. Without -d it is a file as any other. */
static bool is_folder(const struct load_list *l, const struct load_entry *entry)
{
    const struct str label = entry->uri.label;

    return l->options->folder != NULL && entry->text != NULL &&
           (str_ends_with(label, STR("/")) || str_ends_with(label, STR("%2F")) ||
            str_ends_with(label, STR("%2f")));
}

static int add_load_folder(struct load_list *l, size_t index, struct err *e)
{
    struct load_folder *folders = realloc(l->folders, (l->folder_count + 1) * sizeof *folders);

    if (folders == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    folders[l->folder_count++] = (struct load_folder){.entry = index};
    l->folders = folders;
    return 0;
}

/* -1 only without memory: a text that is no URI is an entry that failed. */
static int add_text(struct load_list *l, struct str text, struct err *e)
{
    struct load_entry *entry = add_entry(l, text);
    size_t index = l->count - 1;
    char odd[ODDITY_SIZE];
    struct load_place *place;
    struct err why;

    if (entry == NULL)
        return err_set(e, ERR_FAILED, "out of memory for the list of URIs");
    if (kachery_uri_parse(&entry->uri, str_of(entry->text), KACHERY_URI_USER, &why) != 0) {
        if (oddity_find(text, ODDITY_INSIDE, odd))
            err_wrap(&why, "the entry %s", odd);
        fail_entry(l, entry, &why);
        return 0;
    }
    place = find_load_place(&l->by_text, entry->text);
    if (place == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (place->index != LOAD_NONE) {
        entry->twin = place->index;
        return 0;
    }
    place->index = index;
    if (l->options->folder != NULL && name_file(l, entry, e) != 0)
        return -1;
    return is_folder(l, entry) ? add_load_folder(l, index, e) : join_job(l, index, e);
}

/* The URI of a line, which may be one that `link` printed: URI<TAB>path. */
static struct str uri_of_line(struct str line)
{
    return str_trim(str_slice(line, 0, str_find(line, '\t')));
}

/* An entry that cannot be read as one. -1 only without memory. */
static int add_bad(struct load_list *l, struct str shown, const struct err *why, struct err *e)
{
    struct buf name = {0};
    struct load_entry *entry;

    buf_printf(&name, "--files-from \"%s\"", l->options->list);
    entry = name.failed ? NULL : add_entry(l, shown.len > 0 ? shown : buf_str(&name));
    buf_free(&name);
    if (entry == NULL)
        return err_set(e, ERR_FAILED, "out of memory for the list of URIs");
    fail_entry(l, entry, why);
    return 0;
}

static int add_line(struct load_list *l, struct str line, struct err *e)
{
    struct str uri = uri_of_line(line);

    return uri.len == 0 || uri.p[0] == '#' ? 0 : add_text(l, uri, e);
}

static int add_lines(struct load_list *l, struct text_lines *lines, struct err *e)
{
    struct str entry;
    size_t total = 0;

    for (;;) {
        struct err why = {0};
        int status = 0;
        switch (text_lines_next(lines, &entry, &why)) {
        case TEXT_LINES_ENTRY:
            status = add_line(l, entry, e);
            total += entry.len;
            break;
        case TEXT_LINES_BAD:
            status = add_bad(l, entry, &why, e);
            break;
        case TEXT_LINES_WAIT:
            text_lines_wait(lines);
            break;
        case TEXT_LINES_END:
            return 0;
        }
        if (status != 0)
            return -1;
        if (total > LOAD_LIST_MAX_BYTES)
            return err_set(e, ERR_TOO_LARGE, "the list has more than %d bytes",
                           (int)LOAD_LIST_MAX_BYTES);
    }
}

static int read_list(struct load_list *l, struct err *e)
{
    const char *list = l->options->list;
    struct text_lines lines;
    int result = text_lines_open(&lines, list, false, LINE_BYTES, e);

    if (result != 0)
        return err_wrap(e, "--files-from \"%s\"", list);
    result = add_lines(l, &lines, e);
    text_lines_close(&lines);
    return result == 0 ? 0 : err_wrap(e, "--files-from \"%s\"", list);
}

static int read_all_entries(struct load_list *l, struct err *e)
{
    const struct load_list_options *o = l->options;

    for (size_t i = 0; i < o->count; i++)
        if (add_text(l, str_of(o->uris[i]), e) != 0)
            return -1;
    if (o->list != NULL && read_list(l, e) != 0)
        return -1;
    l->given_count = l->count;
    return 0;
}

/* ---- folders ---- */

/* A file of the index, below the entry's folder. -1 only without memory. */
static int add_load_file(struct load_list *l, size_t folder, const struct folder_file *file,
                         struct err *e)
{
    struct load_entry *entry = add_entry(l, (struct str){NULL, 0});
    struct str path = folder_file_path(file), name;
    struct buf to_file = {0};
    size_t base = path.len;
    struct err why;

    if (entry == NULL)
        return err_set(e, ERR_FAILED, "out of memory for the files of the folder");
    while (base > 0 && path.p[base - 1] != '/')
        base--;
    name = str_slice(path, base, path.len);
    buf_printf(&to_file, "%s/%.*s", l->entries[folder].to_file, STR_ARG(path));
    if (buf_check(&to_file, e) != 0 || (entry->to_file = buf_take(&to_file)) == NULL) {
        buf_free(&to_file);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    hex_encode(file->sha1, sizeof file->sha1, entry->uri.hash);
    entry->size = file->size;
    entry->below = strlen(l->options->folder) +
                   !str_ends_with(str_of(l->options->folder), STR("/"));
    if (load_names_is_reserved(name)) {
        err_set(&why, ERR_FAILED, "downloads keep such names for what is not complete");
        fail_entry(l, entry, &why);
        return 0;
    }
    return join_job(l, l->count - 1, e);
}

static int add_files(struct load_list *l, struct load_folder *folder,
                     const struct folder_index *index, struct err *e)
{
    folder->next = l->count;
    for (size_t i = 0; i < index->count; i++)
        if (add_load_file(l, folder->entry, &index->files[i], e) != 0)
            return -1;
    folder->end = l->count;
    return 0;
}

/* The folder itself is there before its files: an empty one has none. */
static int make_folder(const struct load_list *l, const struct load_entry *entry, struct err *e)
{
    const char *top = l->options->folder;
    struct buf below = {0};
    struct place place = {.dir = -1};
    size_t root = strlen(top) + !str_ends_with(str_of(top), STR("/"));
    int result;

    buf_printf(&below, "%s/-", entry->to_file + root);
    result = buf_check(&below, e) == 0 ? place_make_below(top, buf_str(&below), &place, e) : -1;
    place_close(&place);
    buf_free(&below);
    return result;
}

static int read_index(const char *path, struct folder_index *out, struct err *e)
{
    struct folder_parser parser = {.at = 0};
    char *piece = malloc(INDEX_PIECE_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), result = -1;
    ssize_t n = -1;

    if (fd < 0 || piece == NULL)
        err_errno(e, ERR_FAILED, errno, "%s", path);
    else
        result = 0;
    while (result == 0 && (n = read(fd, piece, INDEX_PIECE_BYTES)) > 0)
        result = folder_parser_feed(&parser, (struct str){piece, (size_t)n}, e);
    if (result == 0 && n < 0)
        result = err_errno(e, ERR_FAILED, errno, "%s", path);
    if (result == 0)
        result = folder_parser_end(&parser, out, e);
    if (result != 0 && e->code == ERR_PROTOCOL)
        err_wrap(e, "it is no folder index (without -d, or without the / of its label, it is got "
                    "as the file that it is)");
    folder_parser_free(&parser);
    free(piece);
    if (fd >= 0)
        close(fd);
    return result;
}

/* Gets the index: into the folder, where it is only as long as it is needed. */
static int get_index(struct load_list *l, struct remote *remote, const struct load_entry *entry,
                     struct folder_index *out, struct err *e)
{
    const struct load_list_options *o = l->options;
    struct transfer transfer = *o->each;
    struct buf path = {0};
    char *got = NULL;
    int result = -1;

    buf_printf(&path, "%s%s.%s.kachery-folder", o->folder,
               str_ends_with(str_of(o->folder), STR("/")) ? "" : "/", entry->uri.hash);
    const char *name = buf_path(&path, e);
    transfer.uri = entry->uri;
    transfer.to_file = name;
    transfer.is_in_folder = true;
    transfer.max_bytes = FOLDER_INDEX_MAX_BYTES;
    if (name != NULL && remote_fetch(remote, &transfer, &got, e) == 0) {
        result = read_index(name, out, e);
        unlink(name);
    }
    if (result != 0 && e->code == ERR_TOO_LARGE)
        err_wrap(e, "a folder index has at most %d bytes", FOLDER_INDEX_MAX_BYTES);
    free(got);
    buf_free(&path);
    return result;
}

/* Adds the files of each index that was named. */
static int read_folders(struct load_list *l, struct err *e)
{
    struct remote remote;
    int result = 0;

    if (l->folder_count > 0 &&
        remote_open(&remote, l->options->name, REMOTE_KEYS_SILENTLY, e) != 0)
        return -1;
    for (size_t n = 0; n < l->folder_count && result == 0; n++) {
        struct load_folder *folder = &l->folders[n];
        struct folder_index index = {.count = 0};
        struct err why;
        if (get_index(l, &remote, &l->entries[folder->entry], &index, &why) != 0 ||
            make_folder(l, &l->entries[folder->entry], &why) != 0)
            fail_entry(l, &l->entries[folder->entry], &why);
        else
            result = add_files(l, folder, &index, e);
        folder_index_free(&index);
    }
    if (l->folder_count > 0)
        remote_close(&remote);
    return result;
}

/* Of files of known size the totals are known before they come. */
static void count_ahead(struct load_list *l)
{
    l->jobs_left = l->jobs_total;
    for (size_t i = l->given_count; i < l->count; i++) {
        l->ahead.jobs += l->entries[i].is_first;
        l->ahead.size += l->entries[i].is_first ? l->entries[i].size : 0;
    }
}

static bool is_ahead(const struct load_entry *entry)
{
    return entry->below > 0 && !entry->is_begun;
}

static void begin_load_job(struct load_list *l, const struct load_entry *entry)
{
    l->ahead.jobs--;
    l->ahead.size -= entry->size;
}

/* Looks how far the files of a folder are: it is done when they all are. */
static void follow_folder(struct load_list *l, struct load_folder *folder)
{
    struct load_entry *entry = &l->entries[folder->entry];

    for (; folder->next < folder->end && l->entries[folder->next].is_done; folder->next++) {
        folder->failed += l->entries[folder->next].code != ERR_NONE;
        folder->not_found += l->entries[folder->next].code == ERR_NOT_FOUND;
    }
    if (entry->is_done || folder->next < folder->end)
        return;
    entry->is_done = true;
    entry->code = folder->failed == 0 ? ERR_NONE
                  : folder->failed == folder->not_found ? ERR_NOT_FOUND : ERR_FAILED;
    entry->path = strdup(entry->to_file);
    if (entry->path == NULL)
        entry->code = ERR_FAILED;
}

/* ---- getting it ---- */

static void print_entry_line(const struct load_list *l, const struct load_entry *entry)
{
    struct buf line = {0};

    if (!l->options->is_bare) {
        fs_put_printable(&line, str_of(entry->text));
        buf_putc(&line, '\t');
        fs_put_printable(&line, str_of(entry->path));
    } else {
        buf_puts(&line, entry->path);
    }
    buf_putc(&line, '\n');
    cmd_print_buf(&line);
    buf_free(&line);
}

/* Prints the entries that are done, up to the first that is not. */
static void print_lines(struct load_list *l)
{
    for (size_t n = 0; n < l->folder_count; n++)
        follow_folder(l, &l->folders[n]);
    for (; l->next_line < l->given_count; l->next_line++) {
        const struct load_entry *entry = &l->entries[l->next_line];
        const struct load_entry *result =
            entry->twin == LOAD_NONE ? entry : &l->entries[entry->twin];
        if (!result->is_done)
            break;
        l->failed += result->code != ERR_NONE;
        l->not_found += result->code == ERR_NOT_FOUND;
        if (result->code != ERR_NONE)
            continue;
        remote_bar_end(&l->bar);
        print_entry_line(l, result);
    }
    fflush(stdout); /* somebody may be reading along */
}

static void take_entry_path(struct load_entry *entry, struct str path)
{
    entry->path = strndup(path.p, path.len);
    entry->is_done = true;
    entry->code = entry->path == NULL ? ERR_FAILED : ERR_NONE;
}

static void take_error(struct load_list *l, struct load_entry *entry, const struct load_message *m)
{
    struct err e;

    err_set(&e, (enum err_code)m->code, "%.*s", STR_ARG(m->text));
    remote_bar_end(&l->bar);
    fail_entry(l, entry, &e);
}

/* The bytes that the host sends are not counted with the bytes that arrive here. */
static bool is_at_host(const struct load_entry *entry)
{
    return entry->phase < TRANSFER_CHECKING;
}

/* Takes what the job has told into the sums, or out of them. */
static void count_job(struct load_list *l, const struct load_entry *entry, int sign)
{
    struct load_sum *sum = is_at_host(entry) ? &l->at_host : &l->here;

    sum->jobs += sign;
    sum->bytes += sign * entry->bytes;
    sum->size += entry->size < 0 ? 0 : sign * entry->size;
    sum->sized += entry->size < 0 ? 0 : sign;
}

static void take_load_progress(struct load_list *l, struct load_entry *entry,
                               const struct load_message *m)
{
    if (entry->is_begun)
        count_job(l, entry, -1);
    else if (is_ahead(entry))
        begin_load_job(l, entry);
    entry->is_begun = true;
    entry->phase = (enum transfer_phase)m->phase;
    entry->bytes = m->bytes;
    entry->size = entry->below > 0 ? entry->size : m->size;
    count_job(l, entry, 1);
}

static void take_note(struct load_list *l, const struct load_entry *entry, struct str text)
{
    struct err note;

    remote_bar_end(&l->bar);
    err_set(&note, ERR_NONE, "%.*s", STR_ARG(text));
    cmd_warn_file(l->options->name, shown_of(entry), &note);
}

/* A file of known size counts as a whole when its job has ended. */
static void end_known(struct load_list *l, struct load_entry *entry)
{
    if (entry->is_begun)
        count_job(l, entry, -1);
    else
        begin_load_job(l, entry);
    entry->is_begun = true;
    entry->phase = TRANSFER_DOWNLOADING;
    entry->bytes = entry->size;
    count_job(l, entry, 1);
}

static void end_load_job(struct load_list *l, size_t index)
{
    struct load_entry *entry = &l->entries[index];

    l->jobs_left--;
    if (entry->below > 0) {
        end_known(l, entry);
    } else if (!entry->is_begun || is_at_host(entry) || entry->size < 0)
        l->jobs_small++;
    if (entry->below == 0 && entry->is_begun && is_at_host(entry))
        count_job(l, entry, -1);
    for (size_t i = index; i != LOAD_NONE; i = l->entries[i].next)
        l->entries[i].is_done = true;
}

static void defer_load_turn(void *owner)
{
    struct load_list *l = owner;

    loop_defer(l->loop, &l->turn);
}

static enum pool_said on_load_message(void *owner, uint64_t id, const struct json *doc)
{
    struct load_list *l = owner;
    struct load_message m;

    if (load_message_read(&m, doc, ERR_IGNORED) != 0 || (uint64_t)m.entry >= l->count)
        return POOL_NONSENSE;
    defer_load_turn(l);
    switch (m.type) {
    case LOAD_MESSAGE_PROGRESS: take_load_progress(l, &l->entries[id], &m); return POOL_GOES_ON;
    case LOAD_MESSAGE_NOTE: take_note(l, &l->entries[id], m.text); return POOL_GOES_ON;
    case LOAD_MESSAGE_GOT: take_entry_path(&l->entries[m.entry], m.path); return POOL_GOES_ON;
    case LOAD_MESSAGE_FAILED: take_error(l, &l->entries[m.entry], &m); return POOL_GOES_ON;
    case LOAD_MESSAGE_END: end_load_job(l, (size_t)id); return POOL_IS_LAST;
    case LOAD_MESSAGE_GET: break; /* no worker sends it */
    }
    return POOL_NONSENSE;
}

static void on_load_lost(void *owner, uint64_t id, const char *reason)
{
    struct load_list *l = owner;
    struct err e;

    err_set(&e, ERR_FAILED, "the process that was getting it is lost: %s", reason);
    remote_bar_end(&l->bar);
    for (size_t i = (size_t)id; i != LOAD_NONE; i = l->entries[i].next)
        if (!l->entries[i].is_done && l->entries[i].twin == LOAD_NONE)
            fail_entry(l, &l->entries[i], &e);
    end_load_job(l, (size_t)id);
    defer_load_turn(l);
}

static int open_pool(struct load_list *l, struct err *e)
{
    unsigned jobs = l->options->jobs == 0 ? LOAD_LIST_DEFAULT_JOBS : l->options->jobs;
    struct pool_options pool = {
        .loop = l->loop,
        .process = {.name = "kachery-load",
                    .run = load_worker_run,
                    .ctx = &l->job,
                    .asks_servers = true},
        .max_workers = jobs,
        .depth = 1,
        .on_message = on_load_message,
        .on_lost = on_load_lost,
        .on_room = defer_load_turn,
        .owner = l,
    };

    l->job = (struct load_job){.name = l->options->name,
                               .folder = l->options->folder,
                               .entries = l->entries,
                               .each = l->options->each};
    l->pool = pool_new(&pool, e);
    return l->pool == NULL ? -1 : 0;
}

static int feed_load_pool(struct load_list *l, struct err *e)
{
    for (; l->next_job < l->count && pool_has_room(l->pool); l->next_job++) {
        if (!l->entries[l->next_job].is_first)
            continue;
        load_message_put(&l->frame, &(struct load_message){.type = LOAD_MESSAGE_GET,
                                                           .id = (int64_t)l->next_job});
        if (buf_check(&l->frame, e) != 0 ||
            pool_submit(l->pool, l->next_job, buf_str(&l->frame), e) != 0)
            return -1;
    }
    return 0;
}

/* The bytes that come; while there are none, those that the hosts upload; else that it waits. */
static void show_load(struct load_list *l)
{
    bool is_coming = l->here.jobs > 0 || l->at_host.bytes == 0;
    const struct load_sum *sum = is_coming ? &l->here : &l->at_host;
    bool is_sized = is_coming ? sum->sized + l->ahead.jobs + l->jobs_small ==
                                    (int64_t)l->jobs_total
                              : sum->sized == sum->jobs;
    int64_t size = sum->size + (is_coming ? l->ahead.size : 0);

    remote_bar_show(&l->bar,
                    !is_coming ? "the host uploads" : l->here.jobs > 0 ? "loading" : "waiting",
                    sum->bytes, is_sized ? size : 0);
    l->bar.progress.files_total = l->jobs_total;
    l->bar.progress.files = l->jobs_total - l->jobs_left;
}

static void stop_load(struct load_list *l, int status)
{
    l->is_over = true;
    l->status = status;
}

static void on_load_turn(void *owner)
{
    struct load_list *l = owner;

    if (l->is_over)
        return;
    if (feed_load_pool(l, &l->why) != 0)
        stop_load(l, -1);
    print_lines(l);
    if (l->jobs_left == 0 || ferror(stdout))
        stop_load(l, l->is_over ? -1 : 0);
    if (l->is_over)
        return;
    show_load(l);
    loop_set_timer(l->loop, &l->redraw, progress_due_ms(&l->bar.progress));
}

static bool is_load_over(void *owner)
{
    const struct load_list *l = owner;

    return l->is_over || l->ending.number != 0;
}

/* 0: to the end. -1: it cannot go on. Else the number of a signal. */
static int run_load_loop(struct load_list *l, struct err *e)
{
    defer_load_turn(l);
    if (loop_run_until(l->loop, is_load_over, l, e) != 0)
        return -1;
    if (l->is_over && l->status != 0)
        err_copy(e, &l->why);
    return l->is_over ? l->status : l->ending.number;
}

static int run_load(struct load_list *l, struct err *e)
{
    int status = -1;

    l->turn = (struct loop_call){.call = on_load_turn, .owner = l};
    l->redraw = (struct loop_timer){.call = defer_load_turn, .owner = l};
    l->loop = loop_new(NULL, e);
    if (l->loop == NULL)
        return -1;
    count_ahead(l);
    if (ending_open(&l->ending, l->loop, e) == 0 && open_pool(l, e) == 0)
        status = run_load_loop(l, e);
    remote_bar_end(&l->bar);
    loop_undefer(l->loop, &l->turn);
    loop_clear_timer(l->loop, &l->redraw);
    ending_close(&l->ending);
    pool_free(l->pool);
    loop_free(l->loop);
    return status;
}

/* An error that all workers would meet is reported once; the workers open their own. */
static int check_remote(const char *name, struct err *e)
{
    struct remote remote;

    if (remote_open(&remote, name, REMOTE_KEYS_IF_THERE, e) != 0)
        return -1;
    remote_close(&remote);
    return 0;
}

static int check_load_folder(const char *folder, struct err *e)
{
    struct stat st;

    if (*folder == '\0')
        return err_set(e, ERR_USAGE, "-d: the name of the folder is empty");
    if (stat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(e, ERR_USAGE, "-d %s: is there, and no folder", folder);
    return download_check_folder(folder, e) == 0 ? dirs_make(folder, e) : -1;
}

static void free_list(struct load_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->entries[i].text);
        free(l->entries[i].to_file);
        free(l->entries[i].path);
    }
    free(l->entries);
    free(l->folders);
    tdestroy(l->by_text, free_load_place);
    tdestroy(l->by_hash, free_load_place);
    load_names_free(&l->names);
    buf_free(&l->frame);
}

static int load_exit_status(const struct load_list *l)
{
    if (l->failed == 0)
        return CMD_OK;
    return l->failed == l->not_found ? CMD_NOT_FOUND : CMD_FAILED;
}

int load_list_run(const struct load_list_options *options)
{
    struct load_list l = {.options = options, .bar.is_quiet = options->each->is_quiet};
    struct err e;
    int result = -1, status = CMD_FAILED;

    if ((options->folder == NULL || check_load_folder(options->folder, &e) == 0) &&
        check_remote(options->name, &e) == 0 && read_all_entries(&l, &e) == 0 &&
        read_folders(&l, &e) == 0)
        result = run_load(&l, &e);
    if (result < 0)
        status = cmd_fail(options->name, &e);
    else if (result == 0)
        status = load_exit_status(&l);
    free_list(&l);
    status = cmd_finish(options->name, status);
    if (result > 0)
        ending_die(result);
    return status;
}
