/* Connections that wait for a worker: the newest is next, the oldest goes if there are too many. */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "http/crew_waiting.h"

static struct crew_waiting waiting;

static void add(uint64_t id, size_t len)
{
    static char frame[CREW_WAITING_MAX_BYTES];
    struct err e = {0};

    memset(frame, (int)id, len);
    assert_int_equal(crew_waiting_add(&waiting, id, 0, (struct str){frame, len}, &e), 0);
}

static uint64_t id_of(struct crew_waiting_item *item)
{
    uint64_t id = item == NULL ? 0 : item->id;

    if (item != NULL) {
        assert_true(fcntl(item->fd, F_GETFD) >= 0 && item->fd > 2);
        assert_true(item->len == 0 || item->frame[item->len - 1] == (char)id);
    }
    crew_waiting_free(item);
    return id;
}

static void test_order(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= 5; id++)
        add(id, (size_t)id);
    assert_int_equal(id_of(crew_waiting_take_newest(&waiting)), 5);
    assert_int_equal(id_of(crew_waiting_take_oldest(&waiting)), 1);
    add(6, 6);
    assert_int_equal(id_of(crew_waiting_take_newest(&waiting)), 6);
    assert_int_equal(id_of(crew_waiting_take_newest(&waiting)), 4);
    assert_int_equal(id_of(crew_waiting_take_oldest(&waiting)), 2);
    assert_int_equal(id_of(crew_waiting_take_newest(&waiting)), 3);
    assert_int_equal(id_of(crew_waiting_take_newest(&waiting)), 0);
    assert_int_equal(id_of(crew_waiting_take_oldest(&waiting)), 0);
    assert_true(waiting.count == 0 && waiting.bytes == 0);
}

static void test_limits(void **state)
{
    (void)state;
    add(1, CREW_WAITING_MAX_BYTES);
    assert_false(crew_waiting_is_over(&waiting));
    add(2, 1);
    assert_true(crew_waiting_is_over(&waiting));
    assert_int_equal(id_of(crew_waiting_take_oldest(&waiting)), 1);
    assert_false(crew_waiting_is_over(&waiting));
    crew_waiting_clear(&waiting);
    assert_true(waiting.count == 0 && waiting.bytes == 0 && waiting.oldest == NULL);
}

static void test_without_a_descriptor(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(crew_waiting_add(&waiting, 1, -1, STR("x"), &e), -1);
    assert_int_equal(e.code, ERR_FAILED);
    assert_int_equal(waiting.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_without_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
