#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "base/json_check.h"
#include "base/quote.h"
#include "base/random.h"

/*
 * A document lives in one arena: cJSON's allocations are served from a block that json_check
 * measured, and freed together. `struct json` is cJSON's item under another name; the root is the
 * arena's first allocation, so that json_free finds the arena.
 */
union cell {
    double number;
    void *pointer;
};

struct arena {
    struct arena *older; /* blocks that were too small, if the measure was */
    size_t used, cap;
    union cell bytes[];
};

enum { ARENA_ALIGN = sizeof(union cell), SPARE_BYTES = 2048, BUSY_DOCUMENTS = 64 };

#if defined __SANITIZE_ADDRESS__
enum { KEEPS_SPARE = 0 }; /* a document that is used after json_free is to be found */
#else
enum { KEEPS_SPARE = 1 };
#endif

/* The arena of a short document, for the next one, in a process that has had many: with musl, to
 * allocate and free such a block often is to map and unmap its pages. */
static struct arena *spare;
static unsigned documents;

/* Where cJSON's hooks allocate: they have no argument for it. */
static struct arena *arena_now;

static struct arena *arena_new(size_t cap, struct arena *older)
{
    struct arena *arena = cap <= SPARE_BYTES ? spare : NULL;

    if (cap < SPARE_BYTES)
        cap = SPARE_BYTES;
    if (arena != NULL)
        spare = NULL;
    else
        arena = malloc(sizeof *arena + cap);
    if (arena != NULL) {
        arena->older = older;
        arena->used = 0;
        arena->cap = cap;
    }
    return arena;
}

static void arena_free(struct arena *arena)
{
    while (arena != NULL) {
        struct arena *older = arena->older;
        if (KEEPS_SPARE && spare == NULL && arena->cap == SPARE_BYTES &&
            documents > BUSY_DOCUMENTS)
            spare = arena;
        else
            free(arena);
        arena = older;
    }
}

static size_t round_up(size_t size)
{
    return (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

static void *arena_allocate(size_t size)
{
    size = round_up(size);
    if (size > arena_now->cap - arena_now->used) {
        struct arena *arena = arena_new(size + arena_now->cap, arena_now);
        if (arena == NULL)
            return NULL;
        arena_now = arena;
    }
    void *p = (char *)arena_now->bytes + arena_now->used;
    arena_now->used += size;
    return p;
}

/* Does nothing: all memory is freed with the arena. */
static void arena_ignore(void *p)
{
    (void)p;
}

static const cJSON *item_of(const struct json *value)
{
    return (const cJSON *)(const void *)value;
}

static const struct json *value_of(const cJSON *item)
{
    return (const struct json *)(const void *)item;
}

/* FNV-1a from a secret start, so that nobody can send keys that meet in one place. */
static size_t hash_key(const char *key, uint64_t seed)
{
    uint64_t h = seed;

    for (; *key != '\0'; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
    /* The last bytes have not reached the upper half yet. */
    return (size_t)((h ^ h >> 29) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static int refuse_duplicate_key(const cJSON *member, struct err *e)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_PROTOCOL, "malformed JSON: duplicate key \"%s\"",
                   quote_str(quoted, str_of(member->string)));
}

/* Checks the keys of an object of many members, which a stranger may send. */
static int check_many_keys(const cJSON *object, size_t count, struct err *e)
{
    size_t mask = 1;
    uint64_t seed;
    int status = 0;

    while (mask < 2 * count)
        mask = 2 * mask + 1;
    const cJSON **places = calloc(mask + 1, sizeof *places);
    if (places == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    random_bytes(&seed, sizeof seed);
    for (const cJSON *m = object->child; m != NULL && status == 0; m = m->next) {
        size_t i = hash_key(m->string, seed) & mask;
        while (places[i] != NULL && strcmp(places[i]->string, m->string) != 0)
            i = (i + 1) & mask;
        if (places[i] != NULL)
            status = refuse_duplicate_key(m, e);
        places[i] = m;
    }
    free(places);
    return status;
}

static int check_object_keys(const cJSON *object, struct err *e)
{
    enum { FEW = 16 };
    size_t count = json_count(value_of(object));

    if (count > FEW)
        return check_many_keys(object, count, e);
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        for (const cJSON *other = m->next; other != NULL; other = other->next)
            if (strcmp(m->string, other->string) == 0)
                return refuse_duplicate_key(m, e);
    return 0;
}

/* Checks the keys in `container` and below; the depth was checked before. */
static int check_keys_below(const cJSON *container, struct err *e)
{
    if (cJSON_IsObject(container) && check_object_keys(container, e) != 0)
        return -1;
    for (const cJSON *child = container->child; child != NULL; child = child->next)
        if (child->child != NULL && check_keys_below(child, e) != 0)
            return -1;
    return 0;
}

/* `text` was checked: only memory can be missing. */
static cJSON *parse_into_arena(struct str text, const struct json_measure *measure)
{
    size_t per_value = round_up(sizeof(cJSON)) + 3 * ARENA_ALIGN;
    cJSON_Hooks hooks = {arena_allocate, arena_ignore};
    struct arena *first = arena_new(measure->values * per_value + measure->text_bytes, NULL);

    if (first == NULL)
        return NULL;
    arena_now = first;
    cJSON_InitHooks(&hooks);
    cJSON *root = cJSON_ParseWithLength(text.p, text.len);
    cJSON_InitHooks(NULL);
    documents += documents <= BUSY_DOCUMENTS;
    if (root == NULL || (void *)root != (void *)first->bytes) {
        arena_free(arena_now);
        return NULL;
    }
    /* Later blocks hang behind the first, which json_free finds. */
    if (arena_now != first) {
        struct arena *last = arena_now;
        while (last->older != first)
            last = last->older;
        last->older = NULL;
        first->older = arena_now;
    }
    return root;
}

struct json *json_parse(struct str text, unsigned flags, struct err *e)
{
    struct json_measure measure = {0};
    struct buf rewritten = {0};
    cJSON *root = NULL;

    if (json_check(text, flags, &measure, &rewritten, e) != 0)
        goto out;
    root = parse_into_arena(rewritten.len > 0 ? buf_str(&rewritten) : text, &measure);
    if (root == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
    } else if (check_keys_below(root, e) != 0) {
        json_free((struct json *)(void *)root);
        root = NULL;
    }
out:
    buf_free(&rewritten);
    return (struct json *)(void *)root;
}

void json_free(struct json *root)
{
    if (root != NULL)
        arena_free((struct arena *)(void *)((char *)root - offsetof(struct arena, bytes)));
}

enum json_type json_type(const struct json *value)
{
    switch (item_of(value)->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (object == NULL || json_type(object) != JSON_OBJECT)
        return NULL;
    for (const cJSON *m = item_of(object)->child; m != NULL; m = m->next)
        if (strcmp(m->string, key) == 0)
            return value_of(m);
    return NULL;
}

const struct json *json_first(const struct json *container)
{
    return container == NULL ? NULL : value_of(item_of(container)->child);
}

const struct json *json_next(const struct json *value)
{
    return value_of(item_of(value)->next);
}

size_t json_count(const struct json *container)
{
    size_t count = 0;

    for (const struct json *child = json_first(container); child != NULL; child = json_next(child))
        count++;
    return count;
}

struct str json_key(const struct json *value)
{
    return str_of(item_of(value)->string);
}

bool json_str(const struct json *value, struct str *out)
{
    if (value == NULL || json_type(value) != JSON_STRING)
        return false;
    *out = str_of(item_of(value)->valuestring);
    return true;
}

bool json_bool(const struct json *value, bool *out)
{
    if (value == NULL || json_type(value) != JSON_BOOL)
        return false;
    *out = cJSON_IsTrue(item_of(value));
    return true;
}

bool json_number(const struct json *value, double *out)
{
    if (value == NULL || json_type(value) != JSON_NUMBER)
        return false;
    *out = item_of(value)->valuedouble;
    return true;
}

bool json_int(const struct json *value, int64_t *out)
{
    double number;

    if (!json_number(value, &number) || number > (double)JSON_MAX_SAFE_INTEGER ||
        number < -(double)JSON_MAX_SAFE_INTEGER || number != (double)(int64_t)number)
        return false;
    *out = (int64_t)number;
    return true;
}

static bool is_among(const char *key, const char *const *allowed)
{
    for (; *allowed != NULL; allowed++)
        if (strcmp(key, *allowed) == 0)
            return true;
    return false;
}

bool json_only_keys(const struct json *object, const char *const *allowed, struct str *unknown)
{
    if (object == NULL || json_type(object) != JSON_OBJECT)
        return false;
    for (const cJSON *m = item_of(object)->child; m != NULL; m = m->next) {
        if (is_among(m->string, allowed))
            continue;
        if (unknown != NULL)
            *unknown = str_of(m->string);
        return false;
    }
    return true;
}
