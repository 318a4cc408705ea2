#include "proxy/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sha256.h"
#include "proto/manifest.h"
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
    bool is_finding;   /* for the gateway: the rest says what is sought, instead of a relay */
    bool is_unsure;    /* not all have said that they do not have it */
    unsigned char key[SHA256_SIZE];
};

struct ticket {
    char text[RANGE_TICKET_DIGITS + 1]; /* empty: free */
    int64_t daemon, until_ms;
    uint64_t relay;
    enum range_class line_class;
};

struct away {
    char name[RANGES_NAME_BYTES], zone[RANGES_NAME_BYTES]; /* empty: free */
    int64_t left_ms;
};

/* A worker of the gateway that waits for an answer to a question. */
struct finding {
    int64_t question, until_ms; /* question 0: free */
    uint64_t worker, id;
};

/* The last word of daemons on a file, at its key. */
struct known_file {
    unsigned char key[SHA256_SIZE];
    int64_t daemon; /* that has it; 0: none has */
    int64_t size, until_ms;
};

struct ranges {
    struct ranges_options options;
    struct member *members;
    size_t member_count;
    int64_t last_number, last_question, started_ms;
    struct relay_question questions[RANGES_MAX_QUESTIONS]; /* at id % RANGES_MAX_QUESTIONS */
    struct ticket tickets[RANGES_MAX_TICKETS];
    struct away away[RANGES_MAX_AWAY];
    struct finding findings[RANGES_MAX_FINDINGS];
    struct known_file known[RANGES_MAX_KNOWN]; /* at the number that its key begins with */
    struct loop_timer finding_timer;
    struct buf text;
};

static void on_finding_time(void *owner);

struct ranges *ranges_new(const struct ranges_options *options, struct err *e)
{
    struct ranges *ranges = calloc(1, sizeof *ranges);

    if (ranges == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    ranges->options = *options;
    ranges->finding_timer = (struct loop_timer){.call = on_finding_time, .owner = ranges};
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
    loop_clear_timer(ranges->options.loop, &ranges->finding_timer);
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
static void note_away(struct ranges *ranges, const char *name, const char *zone)
{
    struct away *best = &ranges->away[0];

    for (size_t n = 0; n < RANGES_MAX_AWAY; n++) {
        struct away *a = &ranges->away[n];
        if (best->name[0] != '\0' && (a->name[0] == '\0' || a->left_ms < best->left_ms))
            best = a;
    }
    memcpy(best->name, name, strlen(name) + 1); /* a member's: they fit */
    memcpy(best->zone, zone, strlen(zone) + 1);
    best->left_ms = loop_now_ms(ranges->options.loop);
}

static int64_t count_away(const struct ranges *ranges, struct str zone)
{
    int64_t now = loop_now_ms(ranges->options.loop);
    int64_t count = now - ranges->started_ms < ranges->options.start_ms;

    for (size_t n = 0; n < RANGES_MAX_AWAY; n++)
        count += ranges->away[n].name[0] != '\0' &&
                 str_equal(str_of(ranges->away[n].zone), zone) &&
                 now - ranges->away[n].left_ms < RANGES_AWAY_MS;
    return count;
}

void ranges_knows_asker(struct ranges *ranges, int64_t daemon)
{
    struct member *member = find_member(ranges, daemon);

    if (member != NULL)
        member->daemon.has_asker = true;
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
    note_away(ranges, m->daemon.name, m->daemon.zone);
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

/* Zone and hash as one number; nobody finds a file of another zone with it. */
static void make_key(struct str zone, struct str sha1, unsigned char key[SHA256_SIZE])
{
    struct sha256 hash;

    sha256_init(&hash);
    sha256_update(&hash, sha1.p, sha1.len);
    sha256_update(&hash, zone.p, zone.len);
    sha256_final(&hash, key);
}

static struct known_file *place_of(struct ranges *ranges, const unsigned char *key)
{
    return &ranges->known[(key[0] << 8 | key[1]) % RANGES_MAX_KNOWN];
}

static void answer_finding(struct ranges *ranges, uint64_t worker, uint64_t id, int64_t size)
{
    struct relay_note note = relay_note(RELAY_FOUND);

    note.size = size;
    buf_clear(&ranges->text);
    relay_note_put(&ranges->text, &note);
    ranges->options.send_to_finder(ranges->options.owner, worker, id, buf_str(&ranges->text));
}

/* Answers the workers that wait for this question, or have waited long enough. `size` -1: it is not
 * there. */
static void end_findings(struct ranges *ranges, int64_t question, int64_t size, int64_t now_ms)
{
    for (size_t n = 0; n < RANGES_MAX_FINDINGS; n++) {
        const struct finding f = ranges->findings[n];
        if (f.question == 0 || (f.question != question && f.until_ms > now_ms))
            continue;
        ranges->findings[n].question = 0;
        answer_finding(ranges, f.worker, f.id, f.question == question ? size : -1);
    }
}

static void on_finding_time(void *owner)
{
    struct ranges *ranges = owner;
    int64_t now = loop_now_ms(ranges->options.loop), next = CLOCK_NEVER_MS;

    end_findings(ranges, 0, -1, now);
    for (size_t n = 0; n < RANGES_MAX_FINDINGS; n++)
        if (ranges->findings[n].question != 0)
            next = clock_earlier(next, ranges->findings[n].until_ms);
    loop_set_timer(ranges->options.loop, &ranges->finding_timer, next);
}

static void remember(struct ranges *ranges, const unsigned char *key, int64_t daemon, int64_t size)
{
    struct known_file *known = place_of(ranges, key);

    memcpy(known->key, key, sizeof known->key);
    known->daemon = daemon;
    known->size = size;
    known->until_ms = loop_now_ms(ranges->options.loop) +
                      (daemon != 0 ? RANGES_PRESENT_MS : RANGES_ABSENT_MS);
}

/* One daemon's answer, late or not. A file counts once its manifest is finished. */
static void take_finding(struct ranges *ranges, struct relay_question *q, int64_t daemon,
                         const struct range_message *m)
{
    if (m->state == RANGE_FOUND && m->size >= 0 &&
        (m->root.len > 0 || !manifest_is_for(m->size))) {
        remember(ranges, q->key, daemon, m->size);
        q->is_unsure = true;
        end_findings(ranges, q->id, m->size, INT64_MIN);
    }
    q->is_unsure = q->is_unsure || m->state != RANGE_NOT_FOUND;
    if (q->open > 1)
        return;
    if (!q->is_unsure)
        remember(ranges, q->key, 0, -1);
    end_findings(ranges, q->id, -1, INT64_MIN);
}

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
    if (q->is_finding)
        take_finding(ranges, q, daemon, m);
    else
        send_note_to_relay(ranges, q->relay, q->relay_id, &note, -1);
    if (--q->open == 0)
        free_question(q);
    return true;
}

/* Asks every daemon of the zone. NULL without memory. */
static struct relay_question *ask_members(struct ranges *ranges, struct str zone, struct str sha1)
{
    struct range_message m = range_message(RANGE_ASK_FILE);
    struct relay_question *q = &ranges->questions[++ranges->last_question % RANGES_MAX_QUESTIONS];

    free_question(q); /* the oldest one, which nobody answered */
    q->daemons = calloc(ranges->member_count + 1, sizeof *q->daemons);
    if (q->daemons == NULL)
        return NULL;
    q->id = m.ask_id = ranges->last_question;
    m.sha1 = sha1;
    for (const struct member *member = ranges->members; member != NULL; member = member->next)
        if (!str_equal(str_of(member->daemon.zone), zone))
            continue;
        else if (send_to_member(ranges, member, &m) == 0)
            q->daemons[q->count++] = member->daemon.number;
        else
            q->is_unsure = true;
    q->open = (int64_t)q->count;
    return q;
}

/* Answers with how many were asked. */
static void pass_question(struct ranges *ranges, uint64_t relay, uint64_t id, struct str zone,
                          struct str sha1)
{
    struct relay_note note = relay_note(RELAY_ASKED);
    struct relay_question *q = ask_members(ranges, zone, sha1);

    if (q == NULL)
        return; /* the relay asks again */
    q->relay = relay;
    q->relay_id = id;
    note.asked = q->open;
    note.away = count_away(ranges, zone);
    note.daemon = q->count == 1 ? q->daemons[0] : 0;
    send_note_to_relay(ranges, relay, id, &note, -1);
    if (q->open == 0)
        free_question(q);
}

/* The open question for that file, or a new one. NULL: there is nobody to ask. */
static struct relay_question *find_question(struct ranges *ranges, const unsigned char *key,
                                            struct str zone, struct str sha1)
{
    for (size_t n = 0; n < RANGES_MAX_QUESTIONS; n++) {
        struct relay_question *q = &ranges->questions[n];
        if (q->id != 0 && q->is_finding && memcmp(q->key, key, sizeof q->key) == 0)
            return q;
    }
    struct relay_question *q = ask_members(ranges, zone, sha1);
    if (q == NULL)
        return NULL;
    q->is_finding = true;
    memcpy(q->key, key, sizeof q->key);
    if (q->open > 0)
        return q;
    free_question(q);
    return NULL;
}

static struct finding *new_finding(struct ranges *ranges)
{
    for (size_t n = 0; n < RANGES_MAX_FINDINGS; n++)
        if (ranges->findings[n].question == 0)
            return &ranges->findings[n];
    return NULL;
}

static void find_file(struct ranges *ranges, uint64_t worker, uint64_t id, struct str zone,
                      struct str sha1)
{
    int64_t now = loop_now_ms(ranges->options.loop);
    unsigned char key[SHA256_SIZE];

    make_key(zone, sha1, key);
    const struct known_file *known = place_of(ranges, key);
    bool is_known = known->until_ms > now && memcmp(known->key, key, sizeof key) == 0 &&
                    (known->daemon == 0 || find_member(ranges, known->daemon) != NULL);
    struct relay_question *q = is_known ? NULL : find_question(ranges, key, zone, sha1);
    struct finding *finding = q == NULL ? NULL : new_finding(ranges);
    if (finding == NULL) {
        answer_finding(ranges, worker, id, is_known ? known->size : -1);
        return;
    }
    *finding = (struct finding){q->id, now + RANGES_FIND_MS, worker, id};
    loop_set_timer(ranges->options.loop, &ranges->finding_timer,
                   clock_earlier(loop_timer_at_ms(&ranges->finding_timer), finding->until_ms));
}

void ranges_find(struct ranges *ranges, uint64_t worker, uint64_t id, struct str bytes)
{
    struct relay_note note;
    struct err e = {0};

    if (relay_note_parse(&note, bytes, &e) != 0) {
        log_line(LOG_WARN, "a gateway worker's note: %s", e.msg);
        return;
    }
    if (note.type == RELAY_FIND)
        find_file(ranges, worker, id, note.zone, note.sha1);
    relay_note_deinit(&note);
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
        pass_question(ranges, relay, id, note.zone, note.sha1);
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
    note.has_asker = member->daemon.has_asker;
    note.early = early;
    return send_note_to_relay(ranges, t->relay, 0, &note, fd) == 0;
}
