#include "proxy/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "proxy/relay_note.h"

struct member {
    struct ranges_daemon daemon;
    struct member *next;
};

/* A question of a relay that was passed to daemons. */
struct relay_question {
    int64_t id; /* as daemons know it; 0: free */
    uint64_t relay, relay_id;
    int64_t open;      /* daemons that have not answered */
    int64_t *daemons;  /* the daemons that were asked; 0: it has answered */
    size_t count;
};

struct ticket {
    char text[RANGE_TICKET_DIGITS + 1]; /* empty: free */
    int64_t daemon, until_ms;
    uint64_t relay;
    enum range_class line_class;
};

struct away {
    char name[RANGES_NAME_BYTES]; /* empty: free */
    int64_t left_ms;
};

struct ranges {
    struct ranges_options options;
    struct member *members;
    size_t member_count;
    int64_t last_number, last_question, started_ms;
    struct relay_question questions[RANGES_MAX_QUESTIONS]; /* at id % RANGES_MAX_QUESTIONS */
    struct ticket tickets[RANGES_MAX_TICKETS];
    struct away away[RANGES_MAX_AWAY];
    struct buf text;
};

struct ranges *ranges_new(const struct ranges_options *options, struct err *e)
{
    struct ranges *ranges = calloc(1, sizeof *ranges);

    if (ranges == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    ranges->options = *options;
    ranges->started_ms = loop_now_ms(options->loop);
    return ranges;
}

static void free_question(struct relay_question *question)
{
    free(question->daemons);
    *question = (struct relay_question){0};
}

void ranges_free(struct ranges *ranges)
{
    if (ranges == NULL)
        return;
    for (struct member *m = ranges->members, *next; m != NULL; m = next) {
        next = m->next;
        free(m);
    }
    for (size_t n = 0; n < RANGES_MAX_QUESTIONS; n++)
        free(ranges->questions[n].daemons);
    explicit_bzero(ranges->tickets, sizeof ranges->tickets);
    buf_free(&ranges->text);
    free(ranges);
}

size_t ranges_daemons(const struct ranges *ranges)
{
    return ranges->member_count;
}

static struct member *find_member(const struct ranges *ranges, int64_t number)
{
    struct member *m = ranges->members;

    while (m != NULL && m->daemon.number != number)
        m = m->next;
    return m;
}

static int send_note_to_relay(struct ranges *ranges, uint64_t relay, uint64_t id,
                              const struct relay_note *note, int fd)
{
    buf_clear(&ranges->text);
    relay_note_put(&ranges->text, note);
    return ranges->text.failed ? -1
                               : ranges->options.send_to_relay(ranges->options.owner, relay, id,
                                                               buf_str(&ranges->text), fd);
}

static int send_to_member(struct ranges *ranges, const struct member *member,
                          const struct range_message *m)
{
    buf_clear(&ranges->text);
    range_message_put(&ranges->text, m);
    return ranges->text.failed
               ? -1
               : ranges->options.send_to_daemon(ranges->options.owner, member->daemon.session,
                                                buf_str(&ranges->text));
}

/* ---- who is here, and who was ---- */

static void forget_away(struct ranges *ranges, const char *name)
{
    for (size_t n = 0; n < RANGES_MAX_AWAY; n++)
        if (strcmp(ranges->away[n].name, name) == 0)
            ranges->away[n].name[0] = '\0';
}

/* The place of the one who left first is used again. */
static void note_away(struct ranges *ranges, const char *name)
{
    struct away *best = &ranges->away[0];

    for (size_t n = 0; n < RANGES_MAX_AWAY; n++) {
        struct away *a = &ranges->away[n];
        if (best->name[0] != '\0' && (a->name[0] == '\0' || a->left_ms < best->left_ms))
            best = a;
    }
    memcpy(best->name, name, strlen(name) + 1); /* a member's name: it fits */
    best->left_ms = loop_now_ms(ranges->options.loop);
}

static int64_t count_away(const struct ranges *ranges)
{
    int64_t now = loop_now_ms(ranges->options.loop);
    int64_t count = now - ranges->started_ms < ranges->options.start_ms;

    for (size_t n = 0; n < RANGES_MAX_AWAY; n++)
        count += ranges->away[n].name[0] != '\0' &&
                 now - ranges->away[n].left_ms < RANGES_AWAY_MS;
    return count;
}

int64_t ranges_joined(struct ranges *ranges, void *session, const char *name, const char *zone)
{
    struct member *m = strlen(name) >= RANGES_NAME_BYTES || strlen(zone) >= RANGES_NAME_BYTES
                           ? NULL
                           : calloc(1, sizeof *m);

    if (m == NULL)
        return 0;
    *m = (struct member){.daemon = {.number = ++ranges->last_number, .session = session},
                         .next = ranges->members};
    memcpy(m->daemon.name, name, strlen(name));
    memcpy(m->daemon.zone, zone, strlen(zone));
    ranges->members = m;
    ranges->member_count++;
    forget_away(ranges, name);
    return m->daemon.number;
}

/* It answers nothing any more. */
static void answer_for_daemon(struct ranges *ranges, int64_t daemon)
{
    struct range_message m = range_message(RANGE_FILE_IS);

    m.state = RANGE_ERROR;
    for (size_t n = 0; n < RANGES_MAX_QUESTIONS; n++) {
        m.ask_id = ranges->questions[n].id;
        if (m.ask_id != 0)
            ranges_file_is(ranges, daemon, &m);
    }
}

void ranges_left(struct ranges *ranges, int64_t daemon)
{
    struct relay_note note = relay_note(RELAY_GONE);
    struct member **link = &ranges->members;

    while (*link != NULL && (*link)->daemon.number != daemon)
        link = &(*link)->next;
    if (*link == NULL)
        return;
    struct member *m = *link;
    if (str_equal(str_of(m->daemon.zone), ranges->options.zone))
        note_away(ranges, m->daemon.name);
    answer_for_daemon(ranges, daemon);
    *link = m->next;
    ranges->member_count--;
    free(m);
    for (size_t n = 0; n < RANGES_MAX_TICKETS; n++)
        if (ranges->tickets[n].daemon == daemon)
            ranges->tickets[n].text[0] = '\0';
    note.daemon = daemon;
    buf_clear(&ranges->text);
    relay_note_put(&ranges->text, &note);
    if (!ranges->text.failed)
        ranges->options.send_to_relays(ranges->options.owner, buf_str(&ranges->text));
}

/* ---- questions ---- */

bool ranges_file_is(struct ranges *ranges, int64_t daemon, const struct range_message *m)
{
    struct relay_question *q = &ranges->questions[m->ask_id % RANGES_MAX_QUESTIONS];
    struct relay_note note = relay_note(RELAY_IS);
    size_t n = 0;

    if (m->ask_id == 0 || q->id != m->ask_id)
        return m->ask_id > 0 && m->ask_id <= ranges->last_question; /* late */
    while (n < q->count && q->daemons[n] != daemon)
        n++;
    if (n == q->count)
        return false;
    q->daemons[n] = 0;
    note.daemon = daemon;
    note.state = m->state;
    note.size = m->size;
    note.done = m->done;
    note.root = m->root;
    send_note_to_relay(ranges, q->relay, q->relay_id, &note, -1);
    if (--q->open == 0)
        free_question(q);
    return true;
}

/* Asks every daemon of the zone; answers with how many. */
static void pass_question(struct ranges *ranges, uint64_t relay, uint64_t id, struct str sha1)
{
    struct range_message m = range_message(RANGE_ASK_FILE);
    struct relay_note note = relay_note(RELAY_ASKED);
    struct relay_question *q = &ranges->questions[++ranges->last_question % RANGES_MAX_QUESTIONS];

    free_question(q); /* the oldest one, which nobody answered */
    q->daemons = calloc(ranges->member_count + 1, sizeof *q->daemons);
    if (q->daemons == NULL)
        return; /* the relay asks again */
    q->id = m.ask_id = ranges->last_question;
    q->relay = relay;
    q->relay_id = id;
    m.sha1 = sha1;
    for (const struct member *member = ranges->members; member != NULL; member = member->next)
        if (str_equal(str_of(member->daemon.zone), ranges->options.zone) &&
            send_to_member(ranges, member, &m) == 0)
            q->daemons[q->count++] = member->daemon.number;
    q->open = (int64_t)q->count;
    note.asked = q->open;
    note.away = count_away(ranges);
    note.daemon = q->count == 1 ? q->daemons[0] : 0;
    send_note_to_relay(ranges, relay, id, &note, -1);
    if (q->open == 0)
        free_question(q);
}

/* ---- lines ---- */

static struct ticket *new_ticket(struct ranges *ranges)
{
    int64_t now = loop_now_ms(ranges->options.loop);

    for (size_t n = 0; n < RANGES_MAX_TICKETS; n++) {
        struct ticket *t = &ranges->tickets[n];
        if (t->text[0] != '\0' && t->until_ms > now)
            continue;
        random_hex(t->text, RANGE_TICKET_DIGITS);
        t->until_ms = now + RANGES_TICKET_MS;
        return t;
    }
    return NULL;
}

static void order_line(struct ranges *ranges, uint64_t relay, const struct relay_note *wanted)
{
    struct range_message m = range_message(RANGE_OPEN_LINE);
    struct relay_note no = relay_note(RELAY_NO_LINE);
    struct member *member = find_member(ranges, wanted->daemon);
    struct ticket *ticket = member == NULL ? NULL : new_ticket(ranges);

    no.daemon = wanted->daemon;
    no.line_class = wanted->line_class;
    if (ticket != NULL) {
        ticket->daemon = wanted->daemon;
        ticket->relay = relay;
        ticket->line_class = wanted->line_class;
        m.ticket = str_of(ticket->text);
        m.line_class = wanted->line_class;
        if (send_to_member(ranges, member, &m) == 0)
            return;
        ticket->text[0] = '\0';
    }
    send_note_to_relay(ranges, relay, 0, &no, -1);
}

void ranges_on_note(struct ranges *ranges, uint64_t relay, uint64_t id, struct str bytes)
{
    struct relay_note note;
    struct err e = {0};

    if (relay_note_parse(&note, bytes, &e) != 0) {
        log_line(LOG_WARN, "a relay's note: %s", e.msg);
        return;
    }
    if (note.type == RELAY_ASK)
        pass_question(ranges, relay, id, note.sha1);
    else if (note.type == RELAY_LINE)
        order_line(ranges, relay, &note);
    relay_note_deinit(&note);
}

/* Looks at all of them, whichever it is, and at all of their bytes. */
static struct ticket *find_ticket(struct ranges *ranges, struct str text)
{
    int64_t now = loop_now_ms(ranges->options.loop);
    struct ticket *found = NULL;

    for (size_t n = 0; n < RANGES_MAX_TICKETS; n++) {
        struct ticket *t = &ranges->tickets[n];
        if (t->text[0] != '\0' && t->until_ms > now &&
            str_equal_constant_time(text, str_of(t->text)))
            found = t;
    }
    return found;
}

bool ranges_take_line(struct ranges *ranges, struct str ticket, int fd, struct str early)
{
    struct ticket *t = find_ticket(ranges, ticket);
    const struct member *member = t == NULL ? NULL : find_member(ranges, t->daemon);
    struct relay_note note = relay_note(RELAY_LINE);

    if (member == NULL)
        return false;
    t->text[0] = '\0';
    note.daemon = t->daemon;
    note.line_class = t->line_class;
    note.name = str_of(member->daemon.name);
    note.zone = str_of(member->daemon.zone);
    note.early = early;
    return send_note_to_relay(ranges, t->relay, 0, &note, fd) == 0;
}
