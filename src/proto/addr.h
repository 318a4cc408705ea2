/* Socket addresses: literals, listen addresses, order of attempts. Opens nothing. */
#ifndef PROTO_ADDR_H
#define PROTO_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { ADDR_MAX = 16, ADDR_MAX_HOST_BYTES = 255 };

struct addr {
    struct sockaddr_storage storage;
    socklen_t len;
};

struct addr_list {
    struct addr items[ADDR_MAX];
    size_t count;
};

/* Reads an IPv4 or IPv6 literal (no brackets; a %zone is accepted). Returns false when it is a
 * name. */
bool addr_parse_literal(struct str host, uint16_t port, struct addr *out);

/* Appends an address with that port. Families other than IPv4 and IPv6, and an address that does
 * not fit, are left out. */
void addr_list_add(struct addr_list *list, const struct sockaddr *sa, socklen_t len, uint16_t port);

/* Appends all addresses: IPv6 first, which takes IPv4 as well. */
void addr_list_add_any(struct addr_list *list, uint16_t port);

/* Interleaves the families, the first one's family first (RFC 8305 §4). */
void addr_interleave(struct addr_list *list);

/* Appends "1.2.3.4:80" or "[::1]:80". */
void addr_put(struct buf *out, const struct addr *a);

/* Appends the same without a port: "1.2.3.4", also of an IPv4 address that is mapped, or "::1". */
void addr_put_host(struct buf *out, const struct addr *a);

/* Writes "name:80", "1.2.3.4:80" or "[::1]:80" and a NUL, cut to ADDR_MAX_ENDPOINT bytes. */
enum { ADDR_MAX_ENDPOINT = 264 };
void addr_format_endpoint(struct str host, uint16_t port, char out[ADDR_MAX_ENDPOINT]);

/* Writes the bytes of an IPv6 address, and of an IPv4 address those that it is mapped to (RFC 4291
 * §2.5.5.2), as a socket for both shows it. Returns false, with all zeros, for other families. */
enum { ADDR_V6_BYTES = 16, ADDR_MAPPED_BYTES = 12 };
bool addr_to_v6(const struct addr *a, unsigned char out[ADDR_V6_BYTES]);

/* Returns true when such bytes are those of an IPv4 address. */
bool addr_is_mapped(const unsigned char address[ADDR_V6_BYTES]);

/* Returns the port in host order; 0 for families other than IPv4 and IPv6. */
uint16_t addr_port(const struct addr *a);

/* Splits "HOST:PORT", "[v6]:PORT", ":PORT" (all addresses), "PORT". ERR_USAGE quoting the text. */
int addr_split_listen(struct str text, struct str *host, uint16_t *port, struct err *e);

#endif
