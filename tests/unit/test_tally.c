/* Connections per client address: IPv4 alone, IPv6 by /64, mapped IPv4 as IPv4. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "hub/tally.h"
#include "unit.h"

static struct addr address(const char *text)
{
    struct addr out;

    if (!addr_parse_literal(str_of(text), 1, &out))
        fail_msg("%s", text);
    return out;
}

static const struct pair_case {
    const char *name, *first, *second;
    bool is_same;
} pair_cases[] = {
    {"the same", "1.2.3.4", "1.2.3.4", true},
    {"another", "1.2.3.4", "1.2.3.5", false},
    {"mapped", "::ffff:1.2.3.4", "1.2.3.4", true},
    {"mapped another", "::ffff:1.2.3.4", "::ffff:1.2.3.5", false},
    {"one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
    {"two /64", "2001:db8:1:2::1", "2001:db8:1:3::1", false},
    {"loopback 6 and 4", "::1", "127.0.0.1", false},
};

static void test_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(pair_cases); i++) {
        struct err e = {0};
        struct tally *t = tally_new(1, &e);
        struct addr first = address(pair_cases[i].first), second = address(pair_cases[i].second);
        uint64_t place = tally_enter(t, &first), other = tally_enter(t, &second);
        unit_true(pair_cases[i].name, place != 0);
        unit_true(pair_cases[i].name, (other == 0) == pair_cases[i].is_same);
        tally_leave(t, other);
        tally_leave(t, place);
        unit_true(pair_cases[i].name, tally_enter(t, &second) != 0);
        tally_free(t);
    }
}

/* Many addresses, each up to its cap, leaving in another order, twice over. */
static void test_many(void **state)
{
    enum { ADDRESSES = 10000, EACH = 3 };
    static uint64_t places[ADDRESSES][EACH];
    struct err e = {0};
    struct tally *t = tally_new(EACH, &e);

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k <= EACH; k++)
            for (int i = 0; i < ADDRESSES; i++) {
                struct addr a = address("10.0.0.0");
                ((struct sockaddr_in *)&a.storage)->sin_addr.s_addr =
                    htonl(0x0a000000u + (unsigned)i);
                uint64_t place = tally_enter(t, &a);
                assert_int_equal(place == 0, k == EACH);
                if (k < EACH)
                    places[i][k] = place;
            }
        for (int k = 0; k < EACH; k++)
            for (int i = 0; i < ADDRESSES; i++)
                tally_leave(t, places[(i * 7919) % ADDRESSES][k]);
    }
    tally_leave(t, 0);
    tally_free(t);
    tally_free(NULL);
}

static void test_counts(void **state)
{
    struct err e = {0};
    struct tally *t = tally_new(10, &e);
    struct addr few = address("1.2.3.4"), many = address("2001:db8::1");
    uint64_t places[3];

    (void)state;
    assert_int_equal(tally_largest(t), 0);
    assert_int_equal(tally_holders(t), 0);
    assert_int_equal(tally_count(t, 0), 0);
    places[0] = tally_enter(t, &few);
    places[1] = tally_enter(t, &many);
    places[2] = tally_enter(t, &many);
    assert_int_equal(tally_holders(t), 2);
    assert_int_equal(tally_count(t, places[0]), 1);
    assert_int_equal(tally_count(t, places[2]), 2);
    assert_true(tally_largest(t) == places[1]);
    tally_leave(t, places[1]);
    tally_leave(t, places[2]);
    assert_int_equal(tally_holders(t), 1);
    assert_true(tally_largest(t) == places[0]);
    tally_leave(t, places[0]);
    assert_int_equal(tally_largest(t), 0);
    tally_free(t);
}

static const struct put_case {
    const char *address, *want;
} put_cases[] = {
    {"1.2.3.4", "1.2.3.4"},
    {"::ffff:1.2.3.4", "1.2.3.4"},
    {"2001:db8:1:2:3::9", "2001:db8:1:2::/64"},
};

static void test_put_address(void **state)
{
    struct err e = {0};
    struct tally *t = tally_new(2, &e);
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(put_cases); i++) {
        struct addr a = address(put_cases[i].address);
        buf_clear(&out);
        tally_put_address(t, tally_enter(t, &a), &out);
        unit_equal(put_cases[i].address, buf_cstr(&out), put_cases[i].want);
    }
    tally_free(t);
    buf_free(&out);
}

/* A user counts as such from any address, beside the addresses. */
static void users_count_beside_addresses(void **state)
{
    struct tally *t = tally_new(2, ERR_IGNORED);
    struct buf who = {0};

    (void)state;
    uint64_t one = tally_enter_user(t, STR("one")), two = tally_enter_user(t, STR("two"));
    assert_true(one != 0 && two != 0 && one != two);
    assert_int_equal(tally_enter_user(t, STR("one")), one);
    assert_int_equal(tally_enter_user(t, STR("one")), 0); /* as many as one may have */
    assert_int_equal(tally_count(t, one), 2);
    assert_int_equal(tally_holders(t), 2);
    assert_int_equal(tally_largest(t), one);
    tally_put_address(t, one, &who);
    assert_string_equal(buf_cstr(&who), "a user");
    tally_leave(t, one);
    tally_leave(t, one);
    tally_leave(t, two);
    assert_int_equal(tally_holders(t), 0);
    tally_free(t);
    buf_free(&who);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(users_count_beside_addresses),
        cmocka_unit_test(test_pairs), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_counts),
                                       cmocka_unit_test(test_put_address)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
