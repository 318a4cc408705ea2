#include "proxy/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/openings.h"
#include "proxy/relay_note.h"
#include "proxy/relay_state.h"

struct relay_times relay_default_times(void)
{
    return (struct relay_times){.silent_ms = 10000,
                                .overdue_ms = 5000,
                                .instead_ms = 3000,
                                .ping_ms = 20000,
                                .idle_ms = 120000,
                                .keep_ms = 600000,
                                .absent_ms = 10000,
                                .doubt_ms = 10000,
                                .ask_again_ms = 2000,
                                .line_again_ms = 2000};
}

struct relay *relay_new(const struct relay_options *options, struct err *e)
{
    struct relay *relay = calloc(1, sizeof *relay);
    const struct block_cache_options cache = {.dir = options->cache_dir,
                                              .max_disk_bytes = options->cache_bytes};

    if (relay == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    relay->options = *options;
    relay->loop = options->loop;
    relay->openings_fd = -1;
    relay->cache = block_cache_new(&cache, e); /* makes the folder that they all are in */
    if (relay->cache == NULL) {
        free(relay);
        return NULL;
    }
    relay->verdicts = verdicts_open(options->verdicts_path);
    if (relay->verdicts == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        block_cache_free(relay->cache);
        free(relay);
        return NULL;
    }
    if (options->openings_path != NULL)
        relay->openings_fd = openings_open(options->openings_path);
    return relay;
}

/* ---- daemons ---- */

static void on_daemon_retry_time(void *owner)
{
    struct relay_daemon *daemon = owner;

    relay_pump_soon(daemon->relay); /* asks for lines again, if any are needed */
    relay_retry(daemon->relay);
}

void relay_retry(struct relay *relay)
{
    for (size_t n = 0; n < RELAY_FILE_SLOTS; n++)
        for (struct relay_file *file = relay->files[n]; file != NULL; file = file->next)
            if (file->readers != NULL && file->state == RELAY_FILE_SOUGHT)
                relay_file_seek(file);
}

struct relay_daemon *relay_daemon_get(struct relay *relay, int64_t number)
{
    struct relay_daemon *daemon = relay->daemons;

    while (daemon != NULL && daemon->number != number)
        daemon = daemon->next;
    if (daemon != NULL || (daemon = calloc(1, sizeof *daemon)) == NULL)
        return daemon;
    *daemon = (struct relay_daemon){.relay = relay,
                                    .next = relay->daemons,
                                    .number = number,
                                    .timer = {.call = on_daemon_retry_time, .owner = daemon}};
    relay->daemons = daemon;
    return daemon;
}

static void free_relay_daemon(struct relay_daemon *daemon)
{
    struct relay_daemon **link = &daemon->relay->daemons;

    for (int line_class = RANGE_BULK; line_class <= RANGE_SMALL; line_class++)
        if (daemon->lines[line_class] != NULL)
            relay_line_end(daemon->lines[line_class], NULL);
    loop_clear_timer(daemon->relay->loop, &daemon->timer);
    while (*link != daemon)
        link = &(*link)->next;
    *link = daemon->next;
    free(daemon);
}

static void lose_relay_daemon(struct relay *relay, int64_t number)
{
    struct relay_daemon *daemon = relay->daemons;

    while (daemon != NULL && daemon->number != number)
        daemon = daemon->next;
    relay_file_lose_daemon(relay, number);
    if (daemon != NULL)
        free_relay_daemon(daemon);
}

/* ---- what the hub says ---- */

static struct relay_file *find_by_question(const struct relay *relay, uint64_t id)
{
    for (size_t n = 0; n < RELAY_FILE_SLOTS; n++)
        for (struct relay_file *file = relay->files[n]; file != NULL; file = file->next)
            if (file->ask == id)
                return file;
    return NULL;
}

static void take_relay_line(struct relay *relay, const struct relay_note *note, int *fd)
{
    struct relay_daemon *daemon = relay_daemon_get(relay, note->daemon);

    if (daemon == NULL || *fd < 0)
        return;
    snprintf(daemon->name, sizeof daemon->name, "%.*s", STR_ARG(note->name));
    snprintf(daemon->zone, sizeof daemon->zone, "%.*s", STR_ARG(note->zone));
    daemon->has_asker = note->has_asker;
    relay_line_start(relay, daemon, note->line_class, *fd, note->early);
    *fd = -1;
}

void relay_on_note(struct relay *relay, uint64_t id, struct str bytes, int fd)
{
    struct relay_note note;
    struct relay_file *file;
    struct err e = {0};

    if (relay_note_parse(&note, bytes, &e) != 0) {
        log_line(LOG_WARN, "relay: %s", e.msg);
    } else {
        switch (note.type) {
        case RELAY_IS:
        case RELAY_ASKED:
            file = id == 0 ? NULL : find_by_question(relay, id);
            if (file != NULL)
                relay_file_on_note(file, &note);
            break;
        case RELAY_LINE: take_relay_line(relay, &note, &fd); break;
        case RELAY_GONE: lose_relay_daemon(relay, note.daemon); break;
        default: break; /* no line: it is asked for again when its time comes */
        }
        relay_note_deinit(&note);
    }
    if (fd >= 0)
        close(fd);
}

int64_t relay_bytes_fetched(const struct relay *relay)
{
    return relay->bytes_fetched;
}

void relay_free(struct relay *relay)
{
    if (relay == NULL)
        return;
    while (relay->daemons != NULL)
        free_relay_daemon(relay->daemons);
    for (size_t n = 0; n < RELAY_FILE_SLOTS; n++)
        while (relay->files[n] != NULL)
            relay_file_free(relay->files[n]);
    for (size_t n = 0; n < RELAY_MAX_PAGES; n++)
        free(relay->pages[n].leaves);
    loop_undefer(relay->loop, &relay->pump);
    for (struct relay_zone *zone = relay->zones, *next; zone != NULL; zone = next) {
        next = zone->next;
        free(zone);
    }
    for (size_t n = 0; n < RELAY_UNCHECKED; n++)
        block_cache_free_memory(relay->unchecked[n].bytes);
    loop_clear_timer(relay->loop, &relay->unchecked_timer);
    block_cache_free(relay->cache);
    if (relay->openings_fd >= 0)
        close(relay->openings_fd);
    verdicts_close(relay->verdicts);
    buf_free(&relay->text);
    free(relay);
}
